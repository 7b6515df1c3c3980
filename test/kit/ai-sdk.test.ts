import { once } from "node:events";
import { createServer } from "node:http";
import { RetryAfter } from "@ai-job-server/sdk/worker";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText } from "ai";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { killSpawned } from "../support/spawn-server.ts";
import { JOB, type KitServer, startKitServer, startWorker, stopWorkers } from "./server.ts";

/** The kit with the AI SDK, and a model over HTTP. */

let server: KitServer;
beforeAll(async () => {
  server = await startKitServer();
});
afterEach(stopWorkers);
afterAll(killSpawned);

/** A model that says the same each time, with what it has used; it never answers a prompt that asks it to hang. */
async function startModel() {
  let calls = 0;
  let broken = 0;
  const http = createServer((request, response) => {
    calls += 1;
    response.once("close", () => {
      if (!response.writableFinished) broken += 1;
    });
    let body = "";
    request.on("data", (data: Buffer) => {
      body += data.toString();
    });
    request.on("end", () => {
      if (body.includes("hang")) return;
      const usage = {
        prompt_tokens: 100,
        completion_tokens: 20,
        total_tokens: 120,
        prompt_tokens_details: { cached_tokens: 40 },
      };
      const choices = [{ index: 0, message: { role: "assistant", content: "A plan." }, finish_reason: "stop" }];
      response.writeHead(200, { "content-type": "application/json" });
      response.end(
        JSON.stringify({ id: "1", object: "chat.completion", created: 0, model: "scripted-1", choices, usage }),
      );
    });
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const address = http.address();
  if (typeof address !== "object" || address === null) throw new Error("It listens on no port.");
  const provider = createOpenAICompatible({ name: "scripted", baseURL: `http://127.0.0.1:${address.port}/v1` });
  return {
    model: provider.chatModel("scripted-1"),
    calls: () => calls,
    broken: () => broken,
    close: () => {
      http.closeAllConnections();
      http.close();
    },
  };
}

test("a call by generateText is made once, counted once, and answers the same in a later run", async () => {
  const scripted = await startModel();
  const seen: string[] = [];
  startWorker(server.url, (worker) =>
    worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
      const plan = await ctx.step("plan", { type: "llm_call", input: "Plan it." }, (s) =>
        generateText({ model: scripted.model, prompt: "Plan it.", maxRetries: 0, abortSignal: s.signal, ...s.track }),
      );
      seen.push(`${plan.text} ${plan.finishReason}`);
      if (ctx.attempt === 1) throw new RetryAfter(new Date(), "Once more.");
      return { outputs: { summary: plan.text } };
    }),
  );
  const job = await server.client.submitAndWait(JOB);
  expect(job).toMatchObject({ state: "COMPLETED", jobOutputs: { summary: "A plan." } });
  expect(seen).toEqual(["A plan. stop", "A plan. stop"]);
  expect(scripted.calls()).toBe(1);
  expect(job.modelUsage).toMatchObject([
    { model: "scripted-1", inputTokens: 60, cachedInputTokens: 40, outputTokens: 20, reasoningTokens: 0, calls: 1 },
  ]);
  scripted.close();
});

test("a cancellation breaks off the call that is under way", async () => {
  const scripted = await startModel();
  startWorker(server.url, (worker) =>
    worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
      await ctx.step("plan", { type: "llm_call" }, (s) =>
        generateText({
          model: scripted.model,
          prompt: "Please hang.",
          maxRetries: 0,
          abortSignal: s.signal,
          ...s.track,
        }),
      );
    }),
  );
  const { jobId } = await server.client.submit(JOB);
  await expect.poll(() => scripted.calls(), { timeout: 20_000 }).toBe(1);
  await server.client.cancel(jobId, "Nobody needs it.");
  await expect.poll(() => scripted.broken(), { timeout: 20_000 }).toBe(1);
  scripted.close();
});
