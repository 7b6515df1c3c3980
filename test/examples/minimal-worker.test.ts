import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStorage, type Storage } from "../../src/storage/open.ts";
import { engineOn, submitted } from "../support/engine.ts";
import { HOSTILE } from "../support/jobs.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

const PROGRAM = fileURLToPath(new URL("../../examples/minimal-worker.mjs", import.meta.url));

let storage: Storage;
let server: TestServer;
beforeAll(async () => {
  storage = await openStorage({ kind: "memory" });
  server = await startTestServer(storage);
});
afterAll(async () => {
  await server.close();
  await storage.close();
});

test("a worker in 60 lines of plain fetch does jobs, and lets go of what is poisoned", async () => {
  const engine = engineOn(storage);
  const texts = ["hello", "good morning", HOSTILE, "good night"];
  // One after the other, so that their ages tell them apart.
  for (const text of texts) await submitted(engine, { jobInputs: { text } });
  const worker = spawn(process.execPath, [PROGRAM, server.url], { stdio: ["ignore", "pipe", "inherit"] });
  const [code] = await once(worker, "exit");
  expect(code).toBe(0);
  const jobs = await storage.prisma.aiJob.findMany({ orderBy: { createdAt: "asc" } });
  expect(jobs.map(({ state, jobOutputs, inputTokens }) => [state, jobOutputs, Number(inputTokens)])).toEqual([
    ["COMPLETED", { text: "HELLO" }, 5],
    ["COMPLETED", { text: "GOOD MORNING" }, 12],
    ["POISONED", null, 0],
    ["COMPLETED", { text: "GOOD NIGHT" }, 10],
  ]);
});

test("its program has no more than 60 lines", async () => {
  const lines = (await readFile(PROGRAM, "utf8")).trimEnd().split("\n");
  expect(lines.length).toBeLessThanOrEqual(60);
});
