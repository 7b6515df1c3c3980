import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openTestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";
import { HOSTILE } from "../support/jobs.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

const PROGRAM = fileURLToPath(new URL("../../examples/minimal-worker.mjs", import.meta.url));

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

/** Gives a worker jobs about these texts, one after the other. @returns them as it leaves them. */
async function worked(protocolId: string, texts: readonly string[]) {
  const engine = engineOn(database);
  for (const text of texts) await submitted(engine, { protocolId, jobInputs: { text } });
  const worker = spawn(process.execPath, [PROGRAM], {
    env: { AI_JOB_SERVER_URL: server.url },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [code] = await once(worker, "exit");
  expect(code).toBe(0);
  return database.prisma.aiJob.findMany({ where: { protocolId }, orderBy: { createdAt: "asc" } });
}

test("a worker in 60 lines of plain fetch does jobs, and lets go of what is poisoned", async () => {
  const jobs = await worked("some", ["hello", "good morning", HOSTILE, "good night"]);
  expect(jobs.map(({ state, jobOutputs, inputTokens }) => [state, jobOutputs, Number(inputTokens)])).toEqual([
    ["COMPLETED", { text: "HELLO" }, 5],
    ["COMPLETED", { text: "GOOD MORNING" }, 12],
    ["POISONED", null, 0],
    ["COMPLETED", { text: "GOOD NIGHT" }, 10],
  ]);
});

test("it goes on where all that it would have got was poisoned, and fails what the server refuses", async () => {
  const poisoned = Array.from({ length: 10 }, () => HOSTILE);
  // In upper case each of these letters is three: more than this server reads.
  const jobs = await worked("others", [...poisoned, "\u0390".repeat(30_000), "hello"]);
  expect(jobs.map(({ state }) => state)).toEqual([...poisoned.map(() => "POISONED"), "FAILED", "COMPLETED"]);
  expect(jobs.at(-2)).toMatchObject({ errorMessage: expect.stringContaining("too large") });
});

test("its program has no more than 60 lines", async () => {
  const lines = (await readFile(PROGRAM, "utf8")).trimEnd().split("\n");
  expect(lines.length).toBeLessThanOrEqual(60);
});
