import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { DOCUMENTS_FOLDER } from "../../examples/demo/documents.ts";
import { modelSummariser } from "../../examples/worker/model.ts";
import { cancel, jobIn, jobToRetry, openWorkplace, readJob, submit, type Workplace } from "./harness.ts";
import { type ChatAnswer, type ChatRequest, startModelServer } from "./model-server.ts";

vi.setConfig({ testTimeout: 90_000 });

let workplace: Workplace;
let model: Awaited<ReturnType<typeof startModelServer>> | undefined;
beforeAll(async () => {
  workplace = await openWorkplace();
});
afterEach(async () => {
  await workplace.clear();
  await model?.close();
});
afterAll(() => workplace.close());

/** A job whose worker asks a model that answers so. */
async function jobFor(
  documentName: string,
  answer: (request: ChatRequest) => ChatAnswer | Promise<ChatAnswer>,
  apiKey?: string,
) {
  model = await startModelServer(answer);
  const { baseURL, requests } = model;
  const summariser = modelSummariser({ baseURL, model: "test-model", ...(apiKey ? { apiKey } : {}) });
  workplace.employ({ documents: DOCUMENTS_FOLDER, summariser });
  return { jobId: await submit(workplace, "test", { documentName }), requests };
}

test("a document is summarised by the model, and its bill is the job's", async () => {
  const { jobId, requests } = await jobFor(
    "platform-team-minutes.md",
    () => ({ text: " The queue moves. ", usage: [700, 5] }),
    "key-1",
  );
  const job = await jobIn(workplace, jobId, "COMPLETED");
  expect(job.jobOutputs).toMatchObject({ summary: "The queue moves.", summariser: "test-model" });
  expect(job.metrics).toMatchObject({ inputTokens: 700, outputTokens: 5, totalTokens: 705, tokensExecutor: 705 });
  expect(job.workflowRun?.steps.at(-1)).toMatchObject({ nodeType: "llm_call", state: "COMPLETED" });
  expect(requests).toHaveLength(1);
  expect(requests[0]).toMatchObject({ model: "test-model", authorization: "Bearer key-1" });
  expect(requests[0]?.messages.map(({ role }) => role)).toEqual(["system", "user"]);
  expect(requests[0]?.messages[1]?.content).toContain("Jonas reported");
});

test("a server that does not count tokens has them counted for it", async () => {
  const { jobId } = await jobFor("toshokan-oshirase.ja.txt", () => ({ text: "図書館は改修します。" }));
  const { metrics } = await jobIn(workplace, jobId, "COMPLETED");
  expect(metrics.inputTokens).toBeGreaterThan(500);
  expect(metrics.outputTokens).toBeGreaterThan(3);
});

test("a document that is too long for the model is summarised chunk by chunk, and then the summaries are", async () => {
  let answers = 0;
  const { jobId, requests } = await jobFor("us-constitution.txt", () => {
    answers += 1;
    return { text: `Summary ${answers}.`, usage: [100, 10] };
  });
  const job = await jobIn(workplace, jobId, "COMPLETED");
  expect(job.jobOutputs).toMatchObject({ summary: "Summary 10.", chunks: 9 });
  expect(requests.at(-1)?.messages[1]?.content).toMatch(/^Summary 1\.\n\nSummary 2\./);
  expect(job.metrics.totalTokens).toBe(1100);
});

test("a hostile document never reaches the model", async () => {
  const { jobId, requests } = await jobFor("invoice-reminder.eml", () => ({ text: "Pay at once." }));
  await jobIn(workplace, jobId, "POISONED");
  expect(requests).toEqual([]);
});

test("a model that refuses, or answers nothing, gives the job back for another attempt", async () => {
  const { jobId } = await jobFor("letter-to-the-landlord.txt", () => ({ status: 400 }));
  expect(await jobToRetry(workplace, jobId)).toMatchObject({ state: "QUEUED", errorMessage: "The model refuses." });
  await workplace.clear();
  await model?.close();

  const mute = await jobFor("letter-to-the-landlord.txt", () => ({ text: "  " }));
  expect(await jobToRetry(workplace, mute.jobId)).toMatchObject({ errorMessage: "test-model answered nothing." });
});

test("a model that is still thinking when the job is cancelled is not waited for", async () => {
  let asked = () => {};
  const thinking = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const { jobId } = await jobFor("letter-to-the-landlord.txt", () => {
    asked();
    return new Promise<ChatAnswer>(() => {});
  });
  await thinking;
  await cancel(workplace, jobId);
  // Returns only when the worker has ended the run.
  await workplace.dismiss();
  expect(await readJob(workplace, jobId)).toMatchObject({ state: "CANCELLED", jobOutputs: null });
});
