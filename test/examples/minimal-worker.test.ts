import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openTestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";
import { dueNow, HOSTILE } from "../support/jobs.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

const PROGRAM = fileURLToPath(new URL("../../examples/minimal-worker.mjs", import.meta.url));

/** A machine that is busy with other tests takes its time. */
const LONG = { timeout: 240_000 };

let database: Database;
let server: TestServer;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startTestServer(database, {}, { maxBodyBytes: 100_000 });
});
afterAll(async () => {
  await server.close();
  await database.close();
});

/** Has a worker do what is due. @param modelUrl the model that it calls; left out: the one that it brings. */
async function work(modelUrl?: string): Promise<void> {
  const worker = spawn(process.execPath, [PROGRAM], {
    env: { AI_JOB_SERVER_URL: server.url, ...(modelUrl === undefined ? {} : { MODEL_URL: modelUrl }) },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [code] = await once(worker, "exit");
  expect(code).toBe(0);
}

/** Gives a worker jobs about these texts, one after the other. @returns them as it leaves them. */
async function worked(protocolId: string, texts: readonly string[]) {
  const engine = engineOn(database);
  for (const text of texts) await submitted(engine, { protocolId, jobInputs: { text } });
  await work();
  return database.prisma.aiJob.findMany({ where: { protocolId }, orderBy: { createdAt: "asc" } });
}

test("a worker in plain fetch does jobs in three calls of a model, and lets go of what is poisoned", LONG, async () => {
  const jobs = await worked("some", [" hello", "good  morning", HOSTILE, "good night"]);
  expect(jobs.map(({ state, jobOutputs, inputTokens }) => [state, jobOutputs, Number(inputTokens)])).toEqual([
    ["COMPLETED", { text: "HELLO" }, 6 + 5 + 5],
    ["COMPLETED", { text: "GOOD MORNING" }, 13 + 12 + 12],
    ["POISONED", null, 0],
    ["COMPLETED", { text: "GOOD NIGHT" }, 10 + 10 + 10],
  ]);
});

/** A model that does as the worker's own, and remembers its calls; one of them it refuses the first time. */
async function startModel(refused: string) {
  const calls: { readonly path: string | undefined; readonly key: string | undefined }[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const { url: path, headers } = request;
    const isRefused = path === refused && !calls.some((call) => call.path === refused);
    calls.push({ path, key: headers["idempotency-key"]?.toString() });
    const asked = await text(request);
    response.writeHead(isRefused ? 503 : 200).end(asked.toUpperCase());
  };
  const model = createServer((request, response) => void answer(request, response)).listen(0, "127.0.0.1");
  await once(model, "listening");
  const address = model.address();
  const url = `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
  return { url, calls, close: () => model.close() };
}

test(
  "a job that fails behind its second call of the model makes the third alone when it is tried again",
  LONG,
  async () => {
    const model = await startModel("/proofread");
    const { jobId } = await submitted(engineOn(database), { protocolId: "model", jobInputs: { text: "hello" } });
    const { aiJob } = database.prisma;
    try {
      await work(model.url);
      // The wait before the next attempt is short: on a slow machine the worker may still have been there when it was over.
      if ((await aiJob.findUniqueOrThrow({ where: { jobId } })).state === "QUEUED") {
        await dueNow(engineOn(database), jobId);
        await work(model.url);
      }
      expect(model.calls.map(({ path }) => path)).toEqual(["/tidy", "/shout", "/proofread", "/proofread"]);
      const job = await aiJob.findUniqueOrThrow({ where: { jobId } });
      expect(job).toMatchObject({ state: "COMPLETED", attempt: 2, jobOutputs: { text: "HELLO" } });
      // Three calls were answered, and count; whoever answers can tell by the key what was asked before.
      expect(await database.prisma.usageEntry.count({ where: { jobId } })).toBe(3);
      expect(new Set(model.calls.map(({ path, key }) => `${path} ${key}`))).toEqual(
        new Set(["tidy", "shout", "proofread"].map((step) => `/${step} ${jobId}:${step}`)),
      );
    } finally {
      model.close();
    }
  },
);

test("it goes on where all that it would have got was poisoned, and fails what the server refuses", LONG, async () => {
  const poisoned = Array.from({ length: 10 }, () => HOSTILE);
  // In upper case each of these letters is three: more than this server reads.
  const jobs = await worked("others", [...poisoned, "\u0390".repeat(30_000), "hello"]);
  expect(jobs.map(({ state }) => state)).toEqual([...poisoned.map(() => "POISONED"), "FAILED", "COMPLETED"]);
  expect(jobs.at(-2)).toMatchObject({ errorMessage: expect.stringContaining("too large") });
});

test("its program is about a hundred lines long", async () => {
  const lines = (await readFile(PROGRAM, "utf8")).trimEnd().split("\n");
  expect(lines.length).toBeLessThanOrEqual(105);
});
