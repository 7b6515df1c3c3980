import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { blocksOf, readText } from "../support/documents.ts";
import { HOSTILE } from "../support/jobs.ts";
import { killSpawned } from "../support/spawn-server.ts";
import { MODEL_ANSWERS } from "./model-answers.ts";
import { JOB, type KitServer, startKitServer } from "./server.ts";

/** The worker kit for Python, as a process of its own, with a server as users start it. */

const PROGRAM = fileURLToPath(new URL("worker.py", import.meta.url));
const SOURCES = fileURLToPath(new URL("../../clients/python/src", import.meta.url));
const ENVIRONMENT = { PATH: process.env.PATH, PYTHONPATH: SOURCES, PYTHONDONTWRITEBYTECODE: "1" };
const PYTHON = process.env.TEST_PYTHON ?? "python3";

let server: KitServer;
let running: PythonWorker[] = [];
beforeAll(async () => {
  server = await startKitServer();
});
afterEach(async () => {
  await Promise.all(running.map((worker) => worker.end()));
  running = [];
});
afterAll(killSpawned);

/** A worker in Python, and what it tells. */
class PythonWorker {
  readonly told: unknown[][] = [];
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown[]>;
  #onTold: () => void = () => undefined;

  constructor(...options: readonly string[]) {
    const stdio = ["ignore", "pipe", "inherit"] as const;
    this.#child = spawn(PYTHON, [PROGRAM, server.url, ...options], { env: ENVIRONMENT, stdio: [...stdio] });
    this.#exited = once(this.#child, "exit");
    if (!this.#child.stdout) throw new Error("Its output is a pipe.");
    createInterface(this.#child.stdout).on("line", (line) => {
      this.told.push(z.array(z.unknown()).parse(JSON.parse(line)));
      this.#onTold();
    });
    running.push(this);
  }

  /** Resolves when it has told this. */
  async tells(what: string): Promise<unknown[]> {
    for (;;) {
      const found = this.told.find(([word]) => word === what);
      if (found) return found;
      await new Promise<void>((resolve) => {
        this.#onTold = resolve;
      });
    }
  }

  calls(): unknown[] {
    return this.told.flatMap(([word, name]) => (word === "call" ? [name] : []));
  }

  /** Stops it as a deploy does. */
  async end(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    this.#child.kill(signal);
    const [code] = await this.#exited;
    if (signal === "SIGTERM" && code !== 0) throw new Error(`It ended with ${String(code)}.`);
  }
}

const python = (args: readonly string[]) => promisify(execFile)(PYTHON, args, { env: ENVIRONMENT });

const of = (name: string, more: object = {}) => ({ ...JOB, jobInputs: { case: name, ...more } });

describe("a job", () => {
  test("that fails after its second step makes the third alone when it is tried again", async () => {
    const worker = new PythonWorker();
    const job = await server.client.submitAndWait(of("retried"));
    expect(job).toMatchObject({ state: "COMPLETED", jobOutputs: { attempt: 2 } });
    expect(worker.calls()).toEqual(["one", "two", "three", "three"]);
  });

  test("that cannot be done, or whose inputs do not fit, fails for good; a call of a model is counted", async () => {
    new PythonWorker();
    const { client } = server;
    const [impossible, unfit, counted] = await Promise.all([
      client.submitAndWait(of("impossible")),
      client.submitAndWait({ ...JOB, jobInputs: {} }),
      client.submitAndWait(of("counted")),
    ]);
    expect(impossible).toMatchObject({ state: "FAILED", errorMessage: "The document is empty.", attempt: 1 });
    expect(unfit).toMatchObject({ state: "FAILED", errorMessage: "The job's inputs do not fit: 'case'", attempt: 1 });
    expect(counted.modelUsage).toMatchObject([
      { provider: "openai", model: "gpt-5", inputTokens: 40, cachedInputTokens: 60, outputTokens: 50, calls: 1 },
    ]);
  });

  test("has what its steps count once, though it is tried again, and the tokens of who plans and who does it in the total", async () => {
    const worker = new PythonWorker();
    const { client } = server;
    const entityRefs = [{ entityKind: "file", entityId: "a" }];
    const job = { ...of("measured"), accessMode: "APPLY_SCOPED", entityRefs } as const;
    const { jobId, attempt } = await client.submitAndWait(job);
    expect(attempt).toBe(2);
    // Of more calls than a report may bring, the others are reported by themselves, and are in the total alone.
    const counted = { totalTokens: 65, tokensPlanner: 25, tokensExecutor: 32, entitiesRead: 3, entitiesWritten: 2 };
    await expect.poll(async () => (await client.job(jobId))?.metrics).toMatchObject(counted);
    const wrong = ["wrong", "entities_read must be a whole number from 0."];
    expect(worker.told.filter(([word]) => word === "wrong")).toEqual([wrong, wrong, wrong]);
  });

  test("that is given back by its handler goes on in its trace", async () => {
    new PythonWorker();
    const job = await server.client.submitAndWait(of("released"));
    expect(job.jobOutputs).toMatch(new RegExp(`^00-${job.traceId.replaceAll("-", "")}-[0-9a-f]{16}-01$`));
    expect(job.attempt).toBe(2);
  });

  test("waits for an answer, for its children, for a time", async () => {
    const worker = new PythonWorker();
    const { client } = server;
    const others = Promise.all([client.submitAndWait(of("parent")), client.submitAndWait(of("slept"))]);
    const { jobId } = await client.submit(of("asked"));
    for await (const { job } of client.watchJob(jobId)) {
      if (!job.userInputRequest) continue;
      await expect(client.answer(jobId, "yes")).rejects.toMatchObject({ code: "INVALID_INPUT" });
      await client.answer(jobId, true);
      break;
    }
    expect(await client.waitFor(jobId)).toMatchObject({ state: "COMPLETED", jobOutputs: true });
    expect(worker.calls()).toEqual(["draft"]);
    expect((await others).map(({ jobOutputs }) => jobOutputs)).toEqual([
      [{ part: "one" }, { part: "two" }],
      { attempt: 2 },
    ]);
  });
});

describe.each([
  ["in threads", []],
  ["in a process of its own", ["isolate"]],
])("a worker that keeps its leases %s", (_where, options) => {
  test("is told to stop at once", async () => {
    const worker = new PythonWorker(...options);
    const { client } = server;
    const { jobId } = await client.submit(of("stopped"));
    await worker.tells("began");
    await client.cancel(jobId, "Nobody needs it.");
    expect(await worker.tells("stopped")).toEqual(["stopped", "Stopped", "STOP_CANCELLED"]);
    const hostile = await client.submitAndWait(of("hostile", { text: "clean" }));
    expect(hostile.state).toBe("COMPLETED");
  });

  test("gives back what it has when it is stopped, nothing charged, and what is killed is recovered", async () => {
    const first = new PythonWorker(...options);
    const { client } = server;
    const { jobId } = await client.submit({ ...of("stopped"), maxAttempts: 2 });
    await first.tells("began");
    await first.end();
    running = [];
    expect(await first.tells("stopped")).toEqual(["stopped", "GivenBack", null]);
    const second = new PythonWorker(...options);
    await second.tells("began");
    await second.end("SIGKILL");
    running = [];
    const third = new PythonWorker(...options);
    await third.tells("began");
    // The killed one alone is charged.
    expect(await client.job(jobId)).toMatchObject({ state: "RUNNING", attempt: 3, maxAttempts: 2 });
    await client.cancel(jobId, "The test is over.");
    await third.tells("stopped");
  });

  test("shows how far it is, and what it puts out", async () => {
    new PythonWorker(...options);
    const { client } = server;
    const { jobId } = await client.submit(of("shown"));
    let text = "";
    for await (const chunk of client.output(jobId)) {
      text += chunk.text;
      if (text === "The minutes say that.") break;
    }
    for await (const { job } of client.watchJob(jobId)) if (job.progress) break;
    expect((await client.cancel(jobId, "The test is over.")).progress).toMatchObject({
      fraction: 0.5,
      message: "half of it",
    });
  });
});

test("the worker and the client of the package's README do what it says", async () => {
  const [worker = "", client = ""] = blocksOf(readText("clients/python/README.md")).map(({ text }) =>
    text.replaceAll("http://127.0.0.1:4000/graphql", server.url),
  );
  const working = python(["-c", worker]);
  const { stdout } = await python(["-c", client]);
  expect(stdout).toBe("{'sent': True, 'summary': 'The minutes of the meeting.'}\n");
  working.child.kill("SIGTERM");
  await working;
});

test("usage is taken from answers of models as the kit for TypeScript takes it", async () => {
  const program =
    "import json, sys, ai_job_server as kit; print(json.dumps([kit.usage_of(a) for a in json.loads(sys.argv[1])]))";
  const { stdout } = await python(["-c", program, JSON.stringify(MODEL_ANSWERS.map(({ answer }) => answer))]);
  expect(JSON.parse(stdout)).toEqual(MODEL_ANSWERS.map(({ usage }) => usage && { ...usage, costMicros: 0 }));
});

test("text that a guard refuses is seen by nobody", async () => {
  const worker = new PythonWorker();
  const job = await server.client.submitAndWait(of("hostile", { text: "clean" }));
  expect(job.state).toBe("COMPLETED");
  expect(await worker.tells("seen")).toBeTruthy();
  const poisoned = await server.client.submitAndWait(of("hostile", { text: HOSTILE }));
  expect(poisoned.state).toBe("POISONED");
  expect(worker.told.filter(([word]) => word === "seen")).toHaveLength(1);
});

test("a handler that holds the interpreter's lock for 18 seconds loses no lease of 15 that a process of its own keeps", async () => {
  new PythonWorker("isolate");
  expect(await server.client.submitAndWait(of("blocked"))).toMatchObject({
    state: "COMPLETED",
    jobOutputs: { attempt: 1 },
  });
});
