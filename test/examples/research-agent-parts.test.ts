import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { modelCaller } from "../../examples/research-agent/call-model.ts";
import { newGate } from "../../examples/research-agent/gate.ts";
import { StartResearch } from "../../examples/research-agent/operations.ts";
import { Output } from "../../examples/research-agent/output.ts";
import { costMicrosOf, countersOf } from "../../examples/research-agent/prices.ts";
import { PROMPTS } from "../../examples/research-agent/prompts.ts";
import { QUESTION, SESSION_LABEL } from "../../examples/research-agent/protocols.ts";
import { billOf, differences, faultsOf, type RecordedJob, totalOf } from "../../examples/research-agent/record.ts";
import { startScriptedModel } from "../../examples/research-agent/scripted-model/endpoint.ts";
import { search } from "../../examples/research-agent/search.ts";
import { type AgentOptions, work } from "../../examples/research-agent/work.ts";
import { thisMoment } from "../../examples/worker/own-clock.ts";
import { Run } from "../../examples/worker/run.ts";
import { graphql } from "../generated/gql.ts";
import { aProtocol, cancel, jobIn, openWorkplace, readJob, SOON, type Workplace } from "./harness.ts";

/** A machine that is busy with other tests takes its time. */
const LIMIT_MS = 240_000;

vi.setConfig({ testTimeout: LIMIT_MS });

let workplace: Workplace;
beforeAll(async () => {
  workplace = await openWorkplace();
}, LIMIT_MS);
afterAll(() => workplace.close());

const Submit = graphql(`
  mutation ResearchPartsSubmit($input: SubmitAiJobInput!) {
    submitAiJob(input: $input) {
      ... on SubmitAiJobPayload {
        job {
          jobId
        }
      }
    }
  }
`);

async function submitQuestion(session: string, protocolId = QUESTION): Promise<string> {
  const input = {
    jobKind: "WORKFLOW_RUN",
    protocolId,
    jobInputs: { question: "When?" },
  } as const;
  const labels = [{ key: SESSION_LABEL, value: session }];
  const { submitAiJob } = await workplace.server.run(Submit, { input: { ...input, labels } });
  if (!("job" in submitAiJob)) throw new Error("The job was not stored.");
  return submitAiJob.job.jobId;
}

/** Employs a worker of the agent until the test is over. */
function employ(session: string, callModel: AgentOptions["callModel"]): { dismiss(): Promise<void> } {
  const leaving = new AbortController();
  const { url } = workplace.server;
  const worker = {
    workerId: `worker-of-${session}`,
    session,
    leaseSeconds: 900,
    callModel,
    leaving: leaving.signal,
    say: () => undefined,
  };
  const working = work({ url, ...worker });
  const dismiss = () => {
    leaving.abort();
    return working;
  };
  onTestFinished(dismiss);
  return { dismiss };
}

/** A call of a model that lasts until it is cut off. `begun` gives the signal that it got. */
function endlessCall() {
  let begin: (signal: AbortSignal) => void = () => undefined;
  const begun = new Promise<AbortSignal>((resolve) => {
    begin = resolve;
  });
  const callModel: AgentOptions["callModel"] = (run, nodeId) =>
    run.step({ nodeId, nodeType: "llm_call", inputPayload: null }, (signal) => {
      begin(signal);
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(new Error("It was cut off.")));
      });
    });
  return { callModel, begun };
}

describe("a worker of the agent", () => {
  test("hears of a cancellation at once, long before its next heartbeat, and cuts the model off", async () => {
    const session = aProtocol();
    const { callModel, begun } = endlessCall();
    employ(session, callModel);
    const jobId = await submitQuestion(session);
    const signal = await begun;
    await cancel(workplace, jobId);
    await expect.poll(() => signal.aborted, SOON).toBe(true);
    expect(signal.reason).toMatchObject({ name: "Stopped", directive: "STOP_CANCELLED" });
    expect(await readJob(workplace, jobId)).toMatchObject({ state: "CANCELLED" });
  });

  test("fails a job of a protocol that it does not know for good, and goes on", async () => {
    const session = aProtocol();
    const answer = { text: "On Monday.", toolCalls: [] };
    employ(session, async () => answer);
    const other = await submitQuestion(session, "unknown-v1");
    const jobId = await submitQuestion(session);
    expect(await jobIn(workplace, other, "FAILED")).toMatchObject({ attempt: 1 });
    const finding = { question: "When?", answer: "On Monday.", sources: [] };
    expect(await jobIn(workplace, jobId, "COMPLETED")).toMatchObject({ jobOutputs: finding });
  });

  test("searches what the model asks for, gives it what was found, and names the sources", async () => {
    const session = aProtocol();
    const heard: string[] = [];
    employ(session, async (_run, nodeId, { messages }) => {
      heard.push(JSON.stringify(messages));
      const call = { toolCallId: "call-1", toolName: "search", input: { query: "production queue october" } };
      return nodeId === "ask-1" ? { text: "", toolCalls: [call] } : { text: "In October.", toolCalls: [] };
    });
    const jobId = await submitQuestion(session);
    const { jobOutputs, workflowRun } = await jobIn(workplace, jobId, "COMPLETED");
    expect(jobOutputs).toMatchObject({
      answer: "In October.",
      sources: expect.arrayContaining(["platform-team-minutes.md#5"]),
    });
    expect(heard[1]).toContain("The team decided to move production");
    expect(workflowRun?.steps).toMatchObject([{ nodeId: "search-1-1", nodeType: "tool", state: "COMPLETED" }]);
  });
});

/** A run that the test holds itself. */
async function aRun() {
  const jobId = await submitQuestion(aProtocol());
  const claimSentAt = thisMoment();
  const input = { jobId, workerId: "w", leaseSeconds: 900 };
  const { startWorkflow } = await workplace.server.run(StartResearch, { input });
  if (startWorkflow.__typename !== "StartWorkflowPayload") throw new Error("It was not started.");
  const { leaseToken, workflowRun } = startWorkflow.claim;
  const lease = { ...workflowRun, leaseToken, leaseSeconds: 900, claimSentAt, completed: new Map() };
  return { jobId, run: new Run(workplace.server, lease, new AbortController().signal) };
}

test("a model call that ended when its job was cancelled already is counted all the same, once", async () => {
  const goesOn = newGate();
  const begun = newGate();
  const model = await startScriptedModel(goesOn.opened, begun.open);
  onTestFinished(() => model.close());
  const { jobId, run } = await aRun();
  const callModel = modelCaller({ baseURL: model.baseURL, model: "scripted-1" });
  const messages = [{ role: "user" as const, content: "Findings.\n\nWhen?\nOn Monday, at ten in the morning." }];
  const call = callModel(run, "draft", { system: PROMPTS.draft, messages });
  await begun.opened;
  await cancel(workplace, jobId);
  goesOn.open();
  await expect(call).rejects.toMatchObject({ name: "Stopped", directive: "STOP_CANCELLED" });
  const { calls, costMicros, ...counters } = billOf("scripted-1", model.calls);
  const { state, metrics } = await readJob(workplace, jobId);
  expect(state).toBe("CANCELLED");
  expect(calls).toBe(1);
  expect(costMicros).toBeGreaterThan(0);
  expect(metrics.totalTokens).toBe(Object.values(counters).reduce((sum, count) => sum + count));
});

describe("partial output", () => {
  async function anOutput() {
    const { jobId, run } = await aRun();
    const stored = () =>
      workplace.db.prisma.$queryRaw<{ text: string }[]>`
        SELECT text FROM output_chunks WHERE job_id = ${jobId}::uuid ORDER BY sequence`;
    return {
      jobId,
      output: new Output(workplace.server, run),
      stored: async () => (await stored()).map(({ text }) => text),
    };
  }

  test("is sent after a moment up to the end of a word, and the rest at the end", async () => {
    const { output, stored } = await anOutput();
    output.write("One tw");
    output.write("o thr");
    await expect.poll(stored, SOON).toEqual(["One two "]);
    output.write("ee.");
    await output.end();
    expect(await stored()).toEqual(["One two ", "three."]);
  });

  test("is sent in chunks that the server takes, however much comes at once", async () => {
    const { output, stored } = await anOutput();
    const text = "🦀 ".repeat(10_000);
    output.write(text);
    await output.end();
    const chunks = await stored();
    expect(chunks.length).toBeGreaterThan(1);
    expect(chunks.join("")).toBe(text);
  });

  test("ends with what the server refused it by", async () => {
    const { jobId, output } = await anOutput();
    await cancel(workplace, jobId);
    output.write("Too late.");
    await expect(output.end()).rejects.toMatchObject({ name: "Stopped", directive: "STOP_CANCELLED" });
  });
});

describe("the search", () => {
  test("finds the paragraphs with the most of the words, best first", async () => {
    const [best] = await search({ query: "How many forecasts were compared with the gauge over the winter?" });
    expect(best).toMatchObject({ sourceId: expect.stringMatching(/^tidewatch-readme\.md#/) });
    expect(best?.content).toContain("Over the winter of last year");
  });

  test.each([[null], ["queue"], [{ question: "queue" }], [{ query: "" }], [{ query: "xyzzy" }]])(
    "finds nothing for %j",
    async (input) => {
      expect(await search(input)).toEqual([]);
    },
  );
});

describe("prices", () => {
  test("each token is in one counter, though providers count cached and reasoning ones twice", () => {
    const usage = { inputTokens: 100, cachedInputTokens: 30, outputTokens: 50, reasoningTokens: 20, totalTokens: 150 };
    const counters = { inputTokens: 70, cachedInputTokens: 30, outputTokens: 30, reasoningTokens: 20 };
    expect(countersOf(usage)).toEqual(counters);
    expect(costMicrosOf("scripted-1", counters)).toBe(70 * 3 + 30 * 1 + 50 * 15);
    expect(costMicrosOf("unknown", counters)).toBe(0);
  });

  test("a provider that reports nothing used nothing", () => {
    const usage = { inputTokens: undefined, outputTokens: undefined, totalTokens: undefined };
    expect(countersOf(usage)).toEqual({ inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, reasoningTokens: 0 });
  });
});

describe("the record", () => {
  const call = { nodeId: "plan", nodeType: "llm_call" };
  const counters = { inputTokens: 10, cachedInputTokens: 0, outputTokens: 2, reasoningTokens: 0 };
  const usage = { provider: "p", model: "scripted-1", calls: 1, ...counters, costMicros: 60 };
  const runs = (...ends: string[]) => ends.map((endReason, at) => ({ endReason, steps: at === 0 ? [call] : [] }));
  const job: RecordedJob = {
    jobId: "job-1",
    state: "COMPLETED",
    statusReason: "completed",
    errorMessage: null,
    jobInputs: null,
    costMicros: 60,
    modelUsage: [usage],
    workflowRuns: { nodes: runs("lease_expired", "released", "answered", "completed") },
  };

  test("has no fault where each call was made once, and the crash and the deploy happened", () => {
    expect(faultsOf([job])).toEqual([]);
  });

  test.each<[string, Partial<RecordedJob>, string]>([
    [
      "a call was made again",
      { workflowRuns: { nodes: [...job.workflowRuns.nodes, ...runs("completed")] } },
      "again for plan",
    ],
    ["a call has no usage", { modelUsage: [] }, "has 1 calls, and usage of 0"],
    ["the cost is not that of the calls", { costMicros: 61 }, "costs 61, and its calls 60"],
    ["nothing crashed", { workflowRuns: { nodes: runs("released", "answered") } }, "No run ended as lease_expired"],
    ["it failed", { state: "FAILED", errorMessage: "Why." }, "is FAILED: Why."],
  ])("tells that %s", (_what, change, fault) => {
    expect(faultsOf([{ ...job, ...change }]).join("\n")).toContain(fault);
  });

  test("tells of a prompt that the model was sent twice, and of what differs from its bill", () => {
    const calls = [{ prompt: "a", counters }];
    expect(differences(totalOf([job]), totalOf([job]), calls)).toEqual([]);
    expect(differences(totalOf([job]), totalOf([job]), [...calls, ...calls])).toEqual([
      "The model was sent the prompt a again.",
    ]);
    expect(differences(totalOf([job]), totalOf([job, job]), calls)).toHaveLength(1);
  });
});
