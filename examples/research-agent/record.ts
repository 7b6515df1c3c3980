import type { ResearchRecordQuery } from "../../test/generated/graphql.ts";
import { type Api, send } from "../client.ts";
import { type Counters, priceOf } from "./prices.ts";
import type { ModelCall } from "./scripted-model/endpoint.ts";
import { ResearchRecord } from "./watch-operations.ts";

/** What the server has recorded of the research, and whether it is what should have happened. */

export type RecordedJob = ResearchRecordQuery["aiJobs"]["nodes"][number];

/** @returns the research, and then its questions. */
export async function readRecord(api: Api, jobId: string): Promise<readonly RecordedJob[]> {
  return (await send(api, ResearchRecord, { jobId })).aiJobs.nodes;
}

export interface Total extends Counters {
  readonly calls: number;
  readonly costMicros: number;
}

const NOTHING: Total = {
  calls: 0,
  inputTokens: 0,
  cachedInputTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
  costMicros: 0,
};

function add(one: Total, other: Total): Total {
  return {
    calls: one.calls + other.calls,
    inputTokens: one.inputTokens + other.inputTokens,
    cachedInputTokens: one.cachedInputTokens + other.cachedInputTokens,
    outputTokens: one.outputTokens + other.outputTokens,
    reasoningTokens: one.reasoningTokens + other.reasoningTokens,
    costMicros: one.costMicros + other.costMicros,
  };
}

/** What the server counted, over all jobs and models. */
export function totalOf(jobs: readonly RecordedJob[]): Total {
  return jobs.flatMap(({ modelUsage }) => modelUsage).reduce(add, NOTHING);
}

/** What the model's side counted. */
export function billOf(model: string, calls: readonly ModelCall[]): Total {
  return calls
    .map(({ counters }) => ({ calls: 1, ...counters, costMicros: priceOf({ model, ...counters }) }))
    .reduce(add, NOTHING);
}

/** The faults of the record by itself: whatever the model, no call was made twice, and the crash and the deploy happened. */
export function faultsOf(jobs: readonly RecordedJob[]): readonly string[] {
  const faults: string[] = [];
  const ends = jobs.flatMap(({ workflowRuns }) => workflowRuns.nodes.map(({ endReason }) => endReason));
  for (const expected of ["lease_expired", "released", "answered"]) {
    if (!ends.includes(expected)) faults.push(`No run ended as ${expected}.`);
  }
  for (const { jobId, state, statusReason, errorMessage, workflowRuns, costMicros, modelUsage } of jobs) {
    if (state !== "COMPLETED") faults.push(`${jobId} is ${state}: ${errorMessage ?? statusReason}.`);
    const calls = workflowRuns.nodes.flatMap(({ steps }) => steps.filter(({ nodeType }) => nodeType === "llm_call"));
    const names = calls.map(({ nodeId }) => nodeId);
    const repeated = names.filter((name, at) => names.indexOf(name) !== at);
    if (repeated.length > 0) faults.push(`${jobId} called the model again for ${repeated.join(", ")}.`);
    const sum = modelUsage.reduce(add, NOTHING);
    if (sum.calls !== calls.length) faults.push(`${jobId} has ${calls.length} calls, and usage of ${sum.calls}.`);
    if (sum.costMicros !== costMicros) faults.push(`${jobId} costs ${costMicros}, and its calls ${sum.costMicros}.`);
  }
  return faults;
}

/** What differs between what the server has and what the scripted model counted, and prompts that it was sent twice. */
export function differences(total: Total, bill: Total, calls: readonly ModelCall[]): readonly string[] {
  const prompts = calls.map(({ prompt }) => prompt);
  const repeated = prompts.filter((prompt, at) => prompts.indexOf(prompt) !== at);
  const faults = repeated.map((prompt) => `The model was sent the prompt ${prompt} again.`);
  if (JSON.stringify(total) !== JSON.stringify(bill)) {
    faults.push(`The server has ${JSON.stringify(total)}, the model ${JSON.stringify(bill)}.`);
  }
  return faults;
}
