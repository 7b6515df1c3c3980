import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStorage } from "../src/storage/open.ts";
import { engineOn, started } from "./support/engine.ts";
import { expireLease } from "./support/jobs.ts";
import { killSpawned, post, spawnServer } from "./support/spawn-server.ts";

/** What a server does before it takes its first request. */

let path: string;
beforeAll(async () => {
  path = await mkdtemp(join(tmpdir(), "ai-job-server-start-"));
});
afterAll(async () => {
  await killSpawned();
  await rm(path, { recursive: true });
});

test("a run whose lease passed while no server was there is recovered before the first request is answered", async () => {
  const storage = await openStorage({ kind: "folder", path });
  const claim = await started(engineOn(storage));
  await expireLease(storage, claim);
  await storage.close();

  // No sweep comes within this test: what is recovered was recovered by the start.
  const server = spawnServer({ DATABASE_URL: `file:${path}`, RECOVERY_INTERVAL_SECONDS: "3600" });
  const query = "query ($jobId: UUID!) { aiJob(jobId: $jobId) { state version statusReason workflowRun { state } } }";
  expect(await post(await server.url, query, { jobId: claim.job.jobId })).toEqual({
    aiJob: { state: "QUEUED", version: 4, statusReason: "retry_scheduled", workflowRun: { state: "STALLED" } },
  });
  expect((await server.end("SIGTERM")).code).toBe(0);
}, 60_000);
