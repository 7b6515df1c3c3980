import { createClient, type JobClient } from "@ai-job-server/sdk/client";
import { createWorker, runOnce } from "@ai-job-server/sdk/worker";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { type AgentOptions, createAgent } from "../../examples/research-agent/agent.ts";
import { priceOf } from "../../examples/research-agent/prices.ts";
import { QUESTION } from "../../examples/research-agent/protocols.ts";
import { differences, faultsOf, type RecordedJob, totalOf } from "../../examples/research-agent/record.ts";
import { search } from "../../examples/research-agent/search.ts";
import { jobIn, openWorkplace, readJob, SOON, type Workplace } from "./harness.ts";

/** A machine that is busy with other tests takes its time. */
const LIMIT_MS = 240_000;

vi.setConfig({ testTimeout: LIMIT_MS });

let workplace: Workplace;
let client: JobClient;
beforeAll(async () => {
  workplace = await openWorkplace();
  const { url } = workplace.server;
  client = createClient({ url });
  // The first claim of a process loads what it needs, which on a busy machine takes longer than a worker waits: its job would be leased to nobody.
  await client.submit({ jobKind: "DOC_EDIT", protocolId: "p" });
  const first = createWorker({ url }).handle("DOC_EDIT", async () => undefined);
  await runOnce(first, { waitSeconds: 20 }).catch(() => undefined);
}, LIMIT_MS);
afterAll(() => workplace.close());

async function submitQuestion(protocolId = QUESTION): Promise<string> {
  const jobInputs = { question: "When?" };
  return (await client.submit({ jobKind: "WORKFLOW_RUN", protocolId, jobInputs, maxAttempts: 1 })).jobId;
}

/** Employs a worker of the agent until it is told to leave, or the test is over. @returns what it says, and how to tell it. */
function employ(callModel: AgentOptions["callModel"]) {
  const leaving = new AbortController();
  const said: string[] = [];
  const { url } = workplace.server;
  const worker = { workerId: "worker-1", leaseSeconds: 900, leaving: leaving.signal };
  const agent = createAgent({ url, ...worker, callModel, say: (line) => said.push(line) });
  const working = agent.run();
  const dismiss = () => {
    leaving.abort();
    agent.stop();
    return working;
  };
  onTestFinished(dismiss);
  return { dismiss, said };
}

/** A call of a model that lasts until it is cut off, or `finish` is called. `begun` gives the signal that it got. */
function longCall() {
  let begin: (signal: AbortSignal) => void = () => undefined;
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const begun = new Promise<AbortSignal>((resolve) => {
    begin = resolve;
  });
  const callModel: AgentOptions["callModel"] = (ctx, name) =>
    ctx.step(name, { type: "llm_call" }, async ({ signal }) => {
      begin(signal);
      const cut = new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => reject(new Error("It was cut off.")));
      });
      await Promise.race([finished, cut]);
      return { text: "", toolCalls: [SEARCH] };
    });
  return { callModel, begun, finish };
}

const SEARCH = { toolCallId: "call-1", toolName: "search", input: { query: "production queue october" } };

describe("a worker of the agent", () => {
  test("hears of a cancellation at once, long before its next heartbeat, and cuts the model off", async () => {
    const { callModel, begun } = longCall();
    employ(callModel);
    const jobId = await submitQuestion();
    const signal = await begun;
    await client.cancel(jobId, "Nobody needs it.");
    await expect.poll(() => signal.aborted, SOON).toBe(true);
    expect(signal.reason).toMatchObject({ name: "Stopped", directive: "STOP_CANCELLED" });
    expect(await readJob(workplace, jobId)).toMatchObject({ state: "CANCELLED" });
  });

  test("that is told to leave ends its step, and gives its job back; the next one does not call again", async () => {
    const { callModel, begun, finish } = longCall();
    const first = employ(callModel);
    const jobId = await submitQuestion();
    await begun;
    const left = first.dismiss();
    finish();
    await left;
    expect(await readJob(workplace, jobId)).toMatchObject({ state: "QUEUED", statusReason: "released", attempt: 1 });
    const second = employ((ctx, name) => ctx.step(name, { type: "llm_call" }, () => ({ text: "Now.", toolCalls: [] })));
    expect(await jobIn(workplace, jobId, "COMPLETED")).toMatchObject({ jobOutputs: { answer: "Now." } });
    expect(second.said).toContain("ask-1 was done by an earlier run");
  });

  test("fails a job of a protocol that it does not know for good, and goes on", async () => {
    employ(async () => ({ text: "On Monday.", toolCalls: [] }));
    const other = await submitQuestion("unknown-v1");
    const jobId = await submitQuestion();
    const { errorMessage } = await jobIn(workplace, other, "FAILED");
    expect(errorMessage).toContain("unknown-v1");
    const finding = { question: "When?", answer: "On Monday.", sources: [] };
    expect(await jobIn(workplace, jobId, "COMPLETED")).toMatchObject({ jobOutputs: finding });
  });

  test("searches what the model asks for, shows the guards and the model what was found, and names the sources", async () => {
    const heard: string[] = [];
    employ(async (_ctx, name, { messages }) => {
      heard.push(JSON.stringify(messages));
      return name === "ask-1" ? { text: "", toolCalls: [SEARCH] } : { text: "In October.", toolCalls: [] };
    });
    const jobId = await submitQuestion();
    const { jobOutputs, workflowRun } = await jobIn(workplace, jobId, "COMPLETED");
    expect(jobOutputs).toMatchObject({
      answer: "In October.",
      sources: expect.arrayContaining(["platform-team-minutes.md#5"]),
    });
    expect(heard[1]).toContain("The team decided to move production");
    expect(workflowRun?.steps).toMatchObject([
      { nodeId: "search-1-1", nodeType: "tool", state: "COMPLETED" },
      { nodeId: "snippets", nodeType: "retrieval", state: "COMPLETED" },
    ]);
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

test("a token costs what its counter costs; those of a model without prices cost nothing", () => {
  const counters = { inputTokens: 70, cachedInputTokens: 30, outputTokens: 30, reasoningTokens: 20 };
  expect(priceOf({ model: "scripted-1", ...counters })).toBe(70 * 3 + 30 * 1 + 50 * 15);
  expect(priceOf({ model: "scripted-1", outputTokens: 1 })).toBe(15);
  expect(priceOf({ model: "unknown", ...counters })).toBe(0);
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
