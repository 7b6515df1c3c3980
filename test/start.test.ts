import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDatabase } from "../src/db/open.ts";
import { within } from "../src/db/scope.ts";
import { EVERYWHERE, engineOn, started } from "./support/engine.ts";
import { expireLease } from "./support/jobs.ts";
import { killSpawned, post, spawnServer } from "./support/spawn-server.ts";

/** What a server does before it takes its first request, and how soon it is gone after its last one. */

let path: string;
beforeAll(async () => {
  path = await mkdtemp(join(tmpdir(), "ai-job-server-start-"));
});
afterAll(async () => {
  await killSpawned();
  await rm(path, { recursive: true });
});

test("a run whose lease passed while no server was there is recovered before the first request is answered", async () => {
  const database = await openDatabase({ kind: "folder", path });
  const claim = await started(engineOn(database));
  await within(EVERYWHERE, () => expireLease(database, claim));
  await database.close();

  // No sweep comes within this test: what is recovered was recovered by the start.
  const server = spawnServer({ DATABASE_URL: `file:${path}`, RECOVERY_INTERVAL_SECONDS: "3600" });
  const query = "query ($jobId: UUID!) { aiJob(jobId: $jobId) { state version statusReason workflowRun { state } } }";
  expect(await post(await server.url, query, { jobId: claim.job.jobId })).toEqual({
    aiJob: { state: "QUEUED", version: 4, statusReason: "retry_scheduled", workflowRun: { state: "STALLED" } },
  });
  expect((await server.end("SIGTERM")).code).toBe(0);
}, 180_000);

test("a port that somebody else has ends the start with a sentence, and nothing keeps the process", async () => {
  const first = spawnServer({ DATABASE_URL: "memory:" });
  const { port } = new URL(await first.url);
  const second = spawnServer({ DATABASE_URL: "memory:", PORT: port });
  const { code, stderr, msAfterError } = await second.exited;
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(`cannot listen on 127.0.0.1:${port}.`) });
  // Not from the start of the process: on a busy machine that alone may take half a minute.
  expect(msAfterError).toBeLessThan(4_000);
  expect((await first.end("SIGTERM")).code).toBe(0);
}, 180_000);

test("a connection that was opened ahead, and that nothing has come over, holds up no stop", async () => {
  const server = spawnServer({ DATABASE_URL: "memory:" });
  const { hostname, port } = new URL(await server.url);
  const ahead = net.connect(Number(port), hostname);
  ahead.on("error", () => undefined);
  await once(ahead, "connect");
  const begin = performance.now();
  expect((await server.end("SIGTERM")).code).toBe(0);
  // Requests in flight would have 5 seconds.
  expect(performance.now() - begin).toBeLessThan(4_000);
  ahead.destroy();
}, 180_000);
