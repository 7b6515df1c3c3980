import { setTimeout as sleep } from "node:timers/promises";
import { createClient, type Operation, ResolveUserReview, ResolveValidation } from "@ai-job-server/sdk/client";
import {
  CannotBeDone,
  createWorker,
  RetryAfter,
  type RunContext,
  type StepContext,
  Stopped,
  Waiting,
  type WorkerOptions,
} from "@ai-job-server/sdk/worker";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { print } from "graphql";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { graphql } from "../generated/gql.ts";
import { HOSTILE } from "../support/jobs.ts";
import { killSpawned, spawnServer } from "../support/spawn-server.ts";
import { countRequests } from "./counting-proxy.ts";
import { JOB, type KitServer, startKitServer, startWorker, stopWorkers } from "./server.ts";

/** The worker kit, in the package as it is built, with a server as users start it. */

let server: KitServer;
beforeAll(async () => {
  server = await startKitServer();
});
afterEach(stopWorkers);
afterAll(killSpawned);

const work = (say: Parameters<typeof startWorker>[1], options: Partial<WorkerOptions> = {}) =>
  startWorker(server.url, say, options);

/** A promise, and what resolves it. */
function signalled<T = void>() {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** The kit sends text; these are the types of its answer. */
function withTypes<Data, Variables>(node: TypedDocumentNode<Data, Variables>): Operation<Data, Variables> {
  return print(node);
}

const WORKER_KEY = graphql(`
  mutation KitWorkerKey($workspaceId: UUID!) {
    createWorkspace(input: { name: "kit", workspaceId: $workspaceId }) { __typename }
    createApiKey(input: { name: "worker", roles: [WORKER] }) { __typename ... on CreateApiKeyPayload { secret } }
  }
`);

const STEP_METRICS = graphql(`
  query KitStepMetrics($jobId: UUID!) {
    aiJob(jobId: $jobId) {
      workflowRun { steps { nodeId metrics { totalTokens tokensPlanner tokensExecutor entitiesRead } } }
    }
  }
`);

describe("a job", () => {
  test("of one step takes two requests, and its outputs are what the handler returns", async () => {
    const proxy = await countRequests(server.url);
    startWorker(proxy.url, (worker) =>
      worker.handle("DOC_SUMMARIZE", async (job, ctx) => {
        const shout = await ctx.step("shout", { type: "llm_call", input: job.inputs }, () => ({ text: "HELLO" }));
        return { outputs: shout };
      }),
    );
    const job = await server.client.submitAndWait({ ...JOB, jobInputs: { text: "hello" } });
    expect(job).toMatchObject({ state: "COMPLETED", jobOutputs: { text: "HELLO" }, attempt: 1 });
    await stopWorkers();
    expect(proxy.counts()).toMatchObject({ CompleteWorkflows: 1 });
    expect(proxy.counts()).not.toHaveProperty("AdvanceWorkflow");
    await proxy.close();
  });

  test("that fails after its second step makes the third alone when it is tried again", async () => {
    const calls: string[] = [];
    work((worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        for (const name of ["one", "two", "three"]) {
          await ctx.step(name, { input: { name } }, () => {
            calls.push(name);
            if (name === "three" && ctx.attempt === 1) throw new RetryAfter(new Date(), "The provider is busy.");
            return { name };
          });
        }
        return { outputs: { attempt: ctx.attempt } };
      }),
    );
    const job = await server.client.submitAndWait(JOB);
    expect(job).toMatchObject({ state: "COMPLETED", jobOutputs: { attempt: 2 } });
    expect(calls).toEqual(["one", "two", "three", "three"]);
  });

  test("takes a step of an earlier run only for the same input, and by its place among those of its name", async () => {
    const calls: unknown[] = [];
    work((worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        const call = (input: object) =>
          ctx.step("call", { input }, () => {
            calls.push(input);
            return input;
          });
        const answers = [await call({ a: 1, b: 2 }), await call({ b: ctx.attempt }), await call({ b: 0, a: 0 })];
        if (ctx.attempt === 1) throw new RetryAfter(new Date(), "Once more.");
        return { outputs: answers };
      }),
    );
    const job = await server.client.submitAndWait(JOB);
    expect(job.jobOutputs).toEqual([{ a: 1, b: 2 }, { b: 2 }, { a: 0, b: 0 }]);
    expect(calls).toEqual([{ a: 1, b: 2 }, { b: 1 }, { b: 0, a: 0 }, { b: 2 }]);
  });

  test("whose inputs or outputs do not fit fails clearly, and is not tried again", async () => {
    work((worker) =>
      worker
        .handle("DOC_SUMMARIZE", { inputs: z.object({ text: z.string() }) }, async (job) => ({
          outputs: job.inputs.text,
        }))
        .handle("DOC_EDIT", { outputs: z.object({ text: z.string() }) }, async () => ({
          outputs: JSON.parse('{ "text": 5 }'),
        })),
    );
    const [inputs, outputs] = await Promise.all([
      server.client.submitAndWait({ ...JOB, jobInputs: { text: 5 } }),
      server.client.submitAndWait({ ...JOB, jobKind: "DOC_EDIT" }),
    ]);
    expect(inputs).toMatchObject({ state: "FAILED", attempt: 1 });
    expect(inputs.errorMessage).toMatch(/^The job's inputs do not fit: text: /);
    expect(outputs.errorMessage).toMatch(/^The job's outputs do not fit: text: /);
  });

  test("that cannot be done fails for good, and one that returns nothing has no outputs", async () => {
    work((worker) =>
      worker
        .handle("DOC_SUMMARIZE", async () => {
          throw new CannotBeDone("The document is empty.");
        })
        .handle("DOC_EDIT", async () => undefined),
    );
    const [failed, empty] = await Promise.all([
      server.client.submitAndWait(JOB),
      server.client.submitAndWait({ ...JOB, jobKind: "DOC_EDIT" }),
    ]);
    expect(failed).toMatchObject({ state: "FAILED", errorMessage: "The document is empty.", attempt: 1 });
    expect(empty).toMatchObject({ state: "COMPLETED", jobOutputs: null });
  });
});

describe("a handler that misbehaves costs its own job alone", () => {
  test.each([
    ["outputs", async () => ({ outputs: { big: 5n } })],
    ["a step's value", (ctx: RunContext) => ctx.step("big", {}, () => 5n).then(() => undefined)],
    [
      "a step of more than 256 KiB",
      (ctx: RunContext) => ctx.step("long", {}, () => "x".repeat(300_000)).then(() => undefined),
    ],
    ["a question's payload", (ctx: RunContext) => ctx.ask("Why?", { payload: { big: 5n } }).then(() => undefined)],
  ])("%s that cannot be kept: it fails for good", async (_what, handler) => {
    work((worker) => worker.handle("DOC_SUMMARIZE", (_job, ctx) => handler(ctx)));
    const job = await server.client.submitAndWait(JOB);
    expect(job).toMatchObject({ state: "FAILED", attempt: 1 });
    expect(job.errorMessage).toMatch(/no JSON|256 KiB/);
  });

  test("one that throws what is no error, goes on though it was told to stop, or leaves promises alone", async () => {
    const began = signalled();
    work(
      (worker) =>
        worker
          // A worker in JavaScript may throw anything.
          // oxlint-disable-next-line typescript/prefer-promise-reject-errors
          .handle("DOC_SUMMARIZE", () => Promise.reject(Object.create(null)))
          .handle("DOC_EDIT", async (_job, ctx) => {
            const first = ctx.step("first", {}, () => began.resolve());
            const second = ctx.step("second", {}, ({ signal }) => sleep(60_000, undefined, { signal }));
            await first;
            await sleep(60_000);
            await second;
          }),
      { concurrency: 2 },
    );
    const odd = await server.client.submitAndWait({ ...JOB, maxAttempts: 1 });
    expect(odd).toMatchObject({ state: "FAILED", errorMessage: "It failed without a word." });
    const { jobId } = await server.client.submit({ ...JOB, jobKind: "DOC_EDIT" });
    await began.promise;
    await server.client.cancel(jobId, "Nobody needs it.");
    expect((await server.client.waitFor(jobId)).state).toBe("CANCELLED");
  });
});

test("steps side by side that end about when they are shown are each told once, and in order", async () => {
  work((worker) =>
    worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
      const times = Array.from({ length: 30 }, (_, at) => 940 + at * 4);
      await Promise.all(times.map((ms) => ctx.step("side", { input: { ms } }, () => sleep(ms))));
    }),
  );
  expect(await server.client.submitAndWait(JOB)).toMatchObject({ state: "COMPLETED", attempt: 1 });
});

test("what a person sends back is done anew, and only once more", async () => {
  const calls: string[] = [];
  work((worker) =>
    worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
      const era = ctx.reviewComment ?? "first";
      const draft = await ctx.step("draft", {}, () => {
        calls.push(era);
        return { era };
      });
      if (ctx.attempt === 2) throw new RetryAfter(new Date(), "Once more.");
      return { outputs: draft, needsValidation: true };
    }),
  );
  const { client } = server;
  const { jobId } = await client.submit(JOB);
  for await (const { state, job } of client.watchJob(jobId)) {
    if (state === "AWAITING_VALIDATION") {
      const verdict = job.attempt === 1 ? "NEEDS_USER" : "APPROVED";
      await client.request(ResolveValidation, { input: { jobId, verdict } });
    }
    if (state === "AWAITING_USER")
      await client.request(ResolveUserReview, { input: { jobId, decision: "REVISE", comment: "shorter" } });
  }
  expect((await client.job(jobId))?.jobOutputs).toEqual({ era: "shorter" });
  expect(calls).toEqual(["first", "shorter"]);
});

describe("a run is told to stop", () => {
  test("by a cancellation, at once: its signal aborts the call of the model, with the directive", async () => {
    const began = signalled();
    const stopped = signalled<{ readonly reason: unknown; readonly at: number }>();
    work((worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        await ctx.step("call", { type: "llm_call" }, async ({ signal }) => {
          began.resolve();
          signal.addEventListener("abort", () => stopped.resolve({ reason: signal.reason, at: performance.now() }));
          await sleep(30_000, undefined, { signal });
        });
      }),
    );
    const { jobId } = await server.client.submit(JOB);
    await began.promise;
    await sleep(300);
    const cancelledAt = performance.now();
    await server.client.cancel(jobId, "Nobody needs it.");
    const { reason, at } = await stopped.promise;
    expect(reason).toBeInstanceOf(Stopped);
    expect(reason).toMatchObject({ directive: "STOP_CANCELLED" });
    expect(at - cancelledAt).toBeLessThan(2_000);
    expect((await server.client.waitFor(jobId)).state).toBe("CANCELLED");
  });

  test("by a guard, before the model sees what was read; what a call has used counts all the same", async () => {
    let wasSeen = false;
    const reasons: unknown[] = [];
    work((worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        ctx.signal.addEventListener("abort", () => reasons.push(ctx.signal.reason));
        ctx.reportUsage({ provider: "some", model: "small", inputTokens: 7, outputTokens: 3 });
        const clean = {
          sourceId: "a",
          content: "The minutes of the meeting.",
          sensitivity: "LOW",
          exportable: true,
        } as const;
        expect(await ctx.snippets([clean])).toEqual([clean.content]);
        await ctx.snippets([{ ...clean, sourceId: "b", content: HOSTILE }]);
        wasSeen = true;
      }),
    );
    const job = await server.client.submitAndWait(JOB);
    expect(job).toMatchObject({ state: "POISONED" });
    expect(wasSeen).toBe(false);
    expect(reasons).toMatchObject([{ directive: "STOP_POISONED" }]);
  });

  test("not by 20 seconds in which it blocks the event loop: the lease is kept, and nobody else gets the job", async () => {
    work((worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        await ctx.step("block", {}, () => {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20_000);
        });
        return { outputs: { attempt: ctx.attempt } };
      }),
    );
    expect(await server.client.submitAndWait(JOB)).toMatchObject({ state: "COMPLETED", jobOutputs: { attempt: 1 } });
  });

  test("nor by 20 seconds without a network, in which it goes on: nothing is lost, and everything counts once", async () => {
    const proxy = await countRequests(server.url);
    const usage = { prompt_tokens: 5, completion_tokens: 2 };
    const done: string[] = [];
    const handle: Parameters<typeof startWorker>[1] = (worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        await ctx.step("before", {}, () => done.push("before"));
        proxy.cut(20_000);
        for (const name of ["during", "then"])
          await ctx.step(name, { type: "llm_call" }, async () => {
            await sleep(500);
            done.push(name);
            return { model: "m", object: "chat.completion", usage };
          });
        return { outputs: { attempt: ctx.attempt } };
      });
    startWorker(proxy.url, handle, { leaseSeconds: 45 });
    const job = await server.client.submitAndWait(JOB);
    expect(job).toMatchObject({ state: "COMPLETED", jobOutputs: { attempt: 1 }, metrics: { totalTokens: 14 } });
    expect(done).toEqual(["before", "during", "then"]);
    await stopWorkers();
    await proxy.close();
  });
});

describe("by its own clock a run stops when its lease may be over", () => {
  const LOST = { name: "Stopped", directive: "STOP_LEASE_LOST", message: expect.stringContaining("own clock") };

  test("where nobody hears it: its signal is aborted, and the job is done once more by whoever gets it then", async () => {
    const proxy = await countRequests(server.url);
    const reasons: unknown[] = [];
    startWorker(proxy.url, (worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        if (ctx.attempt > 1) return { outputs: ctx.attempt };
        proxy.cut(17_000);
        await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
        await ctx.step("late", {}, () => reasons.push("begun")).catch((reason: unknown) => reasons.push(reason));
        throw ctx.signal.reason;
      }),
    );
    expect(await server.client.submitAndWait(JOB)).toMatchObject({ state: "COMPLETED", jobOutputs: 2 });
    expect(reasons).toMatchObject([LOST]);
    await stopWorkers();
    await proxy.close();
  }, 90_000);

  test("where the machine has slept, for which a steady clock may have stood still: no step begins", async () => {
    const reasons: unknown[] = [];
    work((worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        if (ctx.attempt > 1) return { outputs: ctx.attempt };
        vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 16_000 });
        await ctx.step("late", {}, () => reasons.push("begun")).catch((reason: unknown) => reasons.push(reason));
        vi.useRealTimers();
        throw ctx.signal.reason;
      }),
    );
    expect(await server.client.submitAndWait(JOB)).toMatchObject({ state: "COMPLETED", jobOutputs: 2 });
    expect(reasons).toMatchObject([LOST]);
  }, 90_000);
});

describe("a job waits", () => {
  test("for an answer of a person, of the schema's kind, and goes on with the steps that are done", async () => {
    let drafts = 0;
    work((worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        const draft = await ctx.step("draft", {}, () => ({ text: `draft ${++drafts}` }));
        const { send } = await ctx.ask("Send it?", { schema: z.object({ send: z.boolean() }), payload: draft });
        return { outputs: { send, draft } };
      }),
    );
    const { jobId } = await server.client.submit(JOB);
    for await (const { job } of server.client.watchJob(jobId)) {
      if (!job.userInputRequest) continue;
      const { requestId, question, payload } = job.userInputRequest;
      expect({ question, payload }).toEqual({ question: "Send it?", payload: { text: "draft 1" } });
      await expect(server.client.answer(jobId, { send: "yes" })).rejects.toMatchObject({ code: "INVALID_INPUT" });
      await server.client.answer(jobId, { send: true }, { requestId });
      break;
    }
    const job = await server.client.waitFor(jobId);
    expect(job.jobOutputs).toEqual({ send: true, draft: { text: "draft 1" } });
    expect(job.attempt).toBe(2);
  });

  test("for its children, each of which is submitted once, with a worker that has room for one job", async () => {
    let calls = 0;
    work((worker) =>
      worker
        .handle("DOC_SUMMARIZE", async (_job, ctx) => {
          calls += 1;
          for (const part of ["one", "two"])
            await ctx.children.submit({ ...JOB, jobKind: "DOC_EDIT", jobInputs: { part } });
          const children = await ctx.children.wait();
          return { outputs: children.map(({ jobOutputs }) => jobOutputs) };
        })
        .handle("DOC_EDIT", async ({ inputs }) => ({ outputs: inputs })),
    );
    const job = await server.client.submitAndWait(JOB);
    expect(job.jobOutputs).toEqual([{ part: "one" }, { part: "two" }]);
    expect(calls).toBe(2);
  });

  test("for another worker, where its handler gives it back, and goes on in its trace", async () => {
    work((worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        if (ctx.attempt === 1) await ctx.release("Another worker is better at it.");
        return { outputs: ctx.traceparent };
      }),
    );
    const job = await server.client.submitAndWait({ ...JOB, maxAttempts: 1 });
    expect(job.jobOutputs).toMatch(new RegExp(`^00-${job.traceId.replaceAll("-", "")}-[0-9a-f]{16}-01$`));
    expect(job.attempt).toBe(2);
  });

  test("for a time; a handler that swallows what ends its run changes nothing", async () => {
    const until = new Date(Date.now() + 11_000);
    let swallowed: unknown;
    work((worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        await ctx.sleepUntil(until).catch((error: unknown) => {
          swallowed = error;
        });
        return { outputs: { at: Date.now() } };
      }),
    );
    const job = await server.client.submitAndWait(JOB);
    expect(swallowed).toBeInstanceOf(Waiting);
    expect(z.object({ at: z.number() }).parse(job.jobOutputs).at).toBeGreaterThanOrEqual(until.getTime());
  });
});

test("a worker that stops gives back what it cannot finish, and the next one goes on, nothing charged", async () => {
  const calls: string[] = [];
  const began = signalled();
  const say: Parameters<typeof startWorker>[1] = (worker) =>
    worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
      await ctx.step("first", {}, () => void calls.push("first"));
      await ctx.step("second", {}, async ({ signal }) => {
        calls.push("second");
        began.resolve();
        if (calls.length === 2) await sleep(60_000, undefined, { signal });
      });
      return { outputs: { attempt: ctx.attempt } };
    });
  work(say);
  const { jobId } = await server.client.submit({ ...JOB, maxAttempts: 1 });
  await began.promise;
  await stopWorkers();
  expect(await server.client.job(jobId)).toMatchObject({ state: "QUEUED", waitsFor: null });
  work(say);
  expect(await server.client.waitFor(jobId)).toMatchObject({ state: "COMPLETED" });
  expect(calls).toEqual(["first", "second", "second"]);
});

test("people see how far a run is, and what it puts out, while it works", async () => {
  const seen = signalled();
  work((worker) =>
    worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
      ctx.progress(0.5, "half of it");
      for (const word of ["The ", "minutes ", "say that."]) ctx.output.write(word);
      await seen.promise;
    }),
  );
  const { jobId } = await server.client.submit(JOB);
  const read = (async () => {
    let text = "";
    for await (const chunk of server.client.output(jobId)) text += chunk.text;
    return text;
  })();
  for await (const { job } of server.client.watchJob(jobId)) {
    if (job.progress) seen.resolve();
  }
  expect(await read).toBe("The minutes say that.");
  expect((await server.client.job(jobId))?.progress).toMatchObject({ fraction: 0.5, message: "half of it" });
});

test("what it puts out comes in chunks that end with a word and that the server takes, however much it is at once", async () => {
  const seen = signalled();
  const crabs = "🦀 ".repeat(10_000);
  work((worker) =>
    worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
      for (const text of ["One tw", "o thr"]) ctx.output.write(text);
      await seen.promise;
      ctx.output.write(`ee. ${crabs}`);
    }),
  );
  const { jobId } = await server.client.submit(JOB);
  const chunks: string[] = [];
  for await (const { text } of server.client.output(jobId)) {
    chunks.push(text);
    seen.resolve();
  }
  expect(chunks[0]).toBe("One two ");
  expect(chunks.join("")).toBe(`One two three. ${crabs}`);
  expect(chunks.length).toBeGreaterThan(3);
});

test("a call of a model is counted once, with its cost, and shows as its step's", async () => {
  work(
    (worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        const answer = await ctx.step("call", { type: "llm_call" }, () => ({
          model: "gpt-5",
          choices: [{ message: { content: "hello" } }],
          usage: {
            prompt_tokens: 100,
            completion_tokens: 50,
            prompt_tokens_details: { cached_tokens: 60 },
            completion_tokens_details: { reasoning_tokens: 20 },
          },
        }));
        return { outputs: answer.choices[0] };
      }),
    { priceOf: ({ inputTokens = 0 }) => inputTokens * 2.01 },
  );
  const job = await server.client.submitAndWait(JOB);
  const { provider, model, inputTokens, cachedInputTokens, outputTokens, reasoningTokens, costMicros } =
    job.modelUsage[0] ?? {};
  expect({ provider, model, inputTokens, cachedInputTokens, outputTokens, reasoningTokens, costMicros }).toEqual({
    provider: "openai",
    model: "gpt-5",
    inputTokens: 40,
    cachedInputTokens: 60,
    outputTokens: 30,
    reasoningTokens: 20,
    costMicros: 80,
  });
  expect(job.metrics.totalTokens).toBe(150);
});

describe("what a step counts", () => {
  const usage = { prompt_tokens: 20, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 8 } };
  const answer = { model: "m", object: "chat.completion", usage };

  test("comes with its end, so that a job of one step still takes two requests", async () => {
    const proxy = await countRequests(server.url);
    startWorker(proxy.url, (worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        await ctx.step("read", {}, (s) => {
          s.reportMetrics({ entitiesRead: 2 });
          s.reportMetrics({ entitiesRead: 1 });
        });
      }),
    );
    expect((await server.client.submitAndWait(JOB)).metrics).toMatchObject({ entitiesRead: 3, entitiesWritten: 0 });
    await stopWorkers();
    expect(proxy.counts()).toMatchObject({ CompleteWorkflows: 1 });
    expect(proxy.counts()).not.toHaveProperty("AdvanceWorkflow");
    await proxy.close();
  });

  test("shows as its own, and the tokens of who plans and who does it as parts of the total", async () => {
    work((worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        await ctx.step("plan", { countTokensAs: "planner" }, () => answer);
        const works: Record<string, (s: StepContext) => void> = {
          write: (s) => s.reportUsage({ provider: "p", model: "m", inputTokens: 7, reasoningTokens: 2 }),
          read: (s) => s.reportMetrics({ entitiesRead: 3 }),
          look: () => undefined,
          think: () => undefined,
        };
        // They end together, and so are reported one after another.
        const all = signalled();
        let begun = 0;
        const steps = Object.entries(works).map(([name, work]) =>
          ctx.step(name, { countTokensAs: "executor" }, async (s) => {
            begun += 1;
            if (begun === 4) all.resolve();
            await all.promise;
            work(s);
          }),
        );
        await Promise.all(steps);
      }),
    );
    const job = await server.client.submitAndWait(JOB);
    expect(job.metrics).toMatchObject({ totalTokens: 34, tokensPlanner: 25, tokensExecutor: 9, entitiesRead: 3 });
    const { aiJob } = await server.client.request(withTypes(STEP_METRICS), { jobId: job.jobId });
    const none = { totalTokens: 0, tokensPlanner: 0, tokensExecutor: 0, entitiesRead: 0 };
    expect(aiJob?.workflowRun?.steps.map(({ nodeId, metrics }) => [nodeId, metrics])).toEqual([
      ["plan", { ...none, totalTokens: 25, tokensPlanner: 25 }],
      ["write", { ...none, totalTokens: 9, tokensExecutor: 9 }],
      ["read", { ...none, entitiesRead: 3 }],
      ["look", none],
      ["think", none],
    ]);
  });

  test("counts once, though an answer is lost and the handler is called again; a step that fails counts what it did", async () => {
    const proxy = await countRequests(server.url);
    startWorker(proxy.url, (worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        await ctx.step("plan", { countTokensAs: "planner" }, (s) => {
          s.reportMetrics({ entitiesRead: 1 });
          return answer;
        });
        await ctx.step("write", {}, (s) => {
          s.reportMetrics({ entitiesWritten: 1 });
          if (ctx.attempt === 1) throw new RetryAfter(new Date(), "Once more.");
        });
      }),
    );
    // The server has the report of the first step, and the worker does not know it.
    proxy.loseNextAnswer("AdvanceWorkflow");
    const entity = { entityKind: "file", entityId: "a" };
    const job = await server.client.submitAndWait({ ...JOB, accessMode: "APPLY_SCOPED", entityRefs: [entity] });
    const counted = { entitiesRead: 1, entitiesWritten: 2, totalTokens: 25, tokensPlanner: 25, tokensExecutor: 0 };
    expect(job).toMatchObject({ state: "COMPLETED", attempt: 2, metrics: counted });
    await stopWorkers();
    expect(proxy.counts()["AdvanceWorkflow"]).toBeGreaterThan(2);
    await proxy.close();
  });

  test("counts of more calls than a report may bring all tokens, and as the planner's those of the first 16", async () => {
    work((worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        await ctx.step("plan", { countTokensAs: "planner" }, (s) => {
          for (let call = 0; call < 20; call += 1) s.countUsage(answer);
        });
      }),
    );
    const { jobId } = await server.client.submitAndWait(JOB);
    const metrics = async () => (await server.client.job(jobId))?.metrics;
    await expect.poll(metrics).toMatchObject({ totalTokens: 500, tokensPlanner: 400 });
  });

  test("is a whole number, or its step fails", async () => {
    work((worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        await ctx.step("read", {}, (s) => {
          for (const entitiesRead of [-1, 1.5]) expect(() => s.reportMetrics({ entitiesRead })).toThrow(RangeError);
          s.reportMetrics({ entitiesRead: Number.NaN });
        });
      }),
    );
    const job = await server.client.submitAndWait({ ...JOB, maxAttempts: 1 });
    expect(job).toMatchObject({ state: "FAILED", errorMessage: "entitiesRead must be a whole number from 0." });
  });
});

test("a key with the role WORKER alone is enough for the worker, and any wrong one ends it with what to do", async () => {
  const operatorKey = "kit-operator-key-kit-operator-key-0123456789";
  const guarded = spawnServer({ DATABASE_URL: "memory:", OPERATOR_KEY: operatorKey });
  const url = await guarded.url;
  const workspaceId = "01a22d17-4c47-7248-80bc-4d05c8161d98";
  const operator = createClient({ url, key: operatorKey, workspaceId });
  const { createWorkspace, createApiKey } = await operator.request(withTypes(WORKER_KEY), { workspaceId });
  expect(createWorkspace.__typename).toBe("CreateWorkspacePayload");
  if (createApiKey.__typename !== "CreateApiKeyPayload") throw new Error("There is no key.");
  const calls: string[] = [];
  startWorker(
    url,
    (worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        await ctx.step("one", {}, () => void calls.push("one"));
        ctx.output.write("words");
        if (ctx.attempt === 1) throw new RetryAfter(new Date(), "Once more.");
        return { outputs: await ctx.children.wait() };
      }),
    { key: createApiKey.secret },
  );
  expect(await operator.submitAndWait(JOB)).toMatchObject({ state: "COMPLETED", jobOutputs: [] });
  expect(calls).toEqual(["one"]);
  await stopWorkers();
  const stranger = createWorker({ url, key: "nobody" }).handle("DOC_SUMMARIZE", async () => undefined);
  await expect(stranger.run()).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
});
