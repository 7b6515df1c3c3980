import { expect } from "vitest";
import { z } from "zod";
import { METRIC_NAMES } from "../../src/db/job-columns.ts";
import {
  listModelUsage,
  listModelUsageOfSteps,
  readMetricsOfRuns,
  readMetricsOfSteps,
} from "../../src/jobs/usage/read.ts";
import { testSide } from "../support/database.ts";
import type { Records } from "../support/records.ts";
import type { Real } from "./real.ts";
import { deltaOf, tokensOfCall } from "./rules.ts";
import { type CountedCall, type Event, type Job, MAX, type Metrics, noMetrics, type Run } from "./world.ts";

/**
 * Compares what jobs, runs and steps have used with the model, to the token and the micro-unit: by model, from the ledger, and their
 * metrics, from the log.
 */
export async function expectSameUsage(
  real: Real,
  jobs: readonly Job[],
  records: ReadonlyMap<string, Records>,
): Promise<void> {
  const prisma = testSide(real.engine);
  const of = ({ number }: Job) => records.get(real.jobId(number));
  const jobIds = jobs.flatMap((job) => of(job)?.job ?? []).map(({ workspaceId, jobId: id }) => ({ workspaceId, id }));
  const pairs = jobs.flatMap((job) => job.runs.map((run, index) => ({ run, row: of(job)?.runs[index] })));
  const runs = pairs.flatMap(({ run, row }) => (row ? [{ run, id: row.id, workspaceId: row.workspaceId }] : []));
  const steps = runs.flatMap(({ run, id: runId }) =>
    run.nodes.flatMap((_, index) => {
      const row = of(run.job)?.nodes.find((node) => node.workflowRunId === runId && node.sequence === index + 1);
      return row ? [{ run, step: index + 1, id: row.id, workspaceId: row.workspaceId }] : [];
    }),
  );
  const views = {
    jobs: byId(await listModelUsage(prisma, "job", jobIds)),
    runs: byId(await listModelUsage(prisma, "run", runs)),
    steps: byId(await listModelUsageOfSteps(prisma, steps)),
  };
  expect(jobIds.map(({ id }) => views.jobs(id).map(usageView))).toEqual(
    jobs.map((job) => byModel(job.runs.flatMap(({ calls }) => calls))),
  );
  expect(runs.map(({ id }) => views.runs(id).map(usageView))).toEqual(runs.map(({ run }) => byModel(run.calls)));
  expect(steps.map(({ id }) => views.steps(id).map(usageView))).toEqual(
    steps.map(({ run, step }) => byModel(run.calls.filter((counted) => counted.step === step))),
  );
  const ofRuns = byId(await readMetricsOfRuns(prisma, runs));
  expect(runs.map(({ id }) => ofRuns(id).map(metricsView))).toEqual(runs.map(({ run }) => [metricsOfRun(run)]));
  const ofSteps = byId(await readMetricsOfSteps(prisma, steps));
  expect(steps.map(({ id }) => ofSteps(id).map(metricsView))).toEqual(
    steps.map(({ run, step }) => [added(run, (event) => isOfStep(event, step))]),
  );
}

function byId<Row extends { readonly id: string }>(rows: readonly Row[]): (id: string) => readonly Row[] {
  return (id) => rows.filter((row) => row.id === id);
}

const COUNTERS = ["inputTokens", "cachedInputTokens", "outputTokens", "reasoningTokens", "costMicros"] as const;

function usageView(row: Awaited<ReturnType<typeof listModelUsage>>[number]) {
  const numbers = COUNTERS.map((name) => Number(row[name]));
  return { provider: row.provider, model: row.model, calls: Number(row.calls), numbers };
}

/** The calls by provider and model, in the order of these names. */
function byModel(calls: readonly CountedCall[]) {
  const names = [...new Set(calls.map(({ call }) => `${call.provider} ${call.model}`))].toSorted();
  return names.map((name) => {
    const [provider, model] = name.split(" ");
    const same = calls.filter(({ call }) => call.provider === provider && call.model === model);
    const numbers = COUNTERS.map((counter) => same.reduce((sum, { call }) => sum + call[counter], 0));
    return { provider, model, calls: same.length, numbers };
  });
}

function metricsView(row: Awaited<ReturnType<typeof readMetricsOfRuns>>[number]): Metrics {
  const view = noMetrics();
  for (const name of METRIC_NAMES) view[name] = Number(row[name]);
  return view;
}

/** What the events of a run have added to the job's metrics, and the calls that no event has. */
function metricsOfRun(run: Run): Metrics {
  const metrics = added(run, () => true);
  const beside = run.calls.filter(({ isBeside }) => isBeside).map(({ call }) => call);
  const { inputTokens = 0, outputTokens = 0 } = deltaOf(beside);
  const more = { inputTokens, outputTokens, totalTokens: beside.reduce((sum, call) => sum + tokensOfCall(call), 0) };
  for (const name of ["inputTokens", "outputTokens", "totalTokens"] as const)
    metrics[name] = Math.min(metrics[name] + more[name], MAX);
  return metrics;
}

function added({ job, attempt }: Run, isCounted: (event: Event) => boolean): Metrics {
  const sum = noMetrics();
  for (const [index, event] of job.events.entries()) {
    const before = job.events[index - 1]?.metrics ?? noMetrics();
    if (event.attempt !== attempt || !isCounted(event)) continue;
    for (const name of METRIC_NAMES) sum[name] += event.metrics[name] - before[name];
  }
  return sum;
}

/** Whether the event is of a report of this step alone. */
function isOfStep({ payload }: Event, step: number): boolean {
  const ofOneStep = z.object({ steps: z.tuple([z.object({ sequence: z.literal(step) })]) });
  return ofOneStep.safeParse(payload).success;
}
