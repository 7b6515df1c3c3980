import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { bringTo } from "../support/jobs.ts";
import { costSince, untilCost } from "../support/long-poll.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { idsFrom, type RequestOptions, submitTo } from "../support/workers.ts";

/** Workers that wait while something is due that is not for them: it must not keep them from what is. */

let db: TestDatabase;
let engine: EngineContext;
let server: TestServer;
let workspaceId: string;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});
beforeEach(() => {
  workspaceId = randomUUID();
  costSince(db);
});

const claim = (workerId: string, ways: RequestOptions = {}) =>
  idsFrom(server.url, { workerId, waitSeconds: 20 }, { workspaceId, ...ways });

/** A job that was sent back, and is kept for this worker. */
async function kept(workerId: string, milliseconds = 60_000): Promise<string> {
  const jobId = await submitTo(
    server.url,
    { runAfter: new Date(Date.now() + 3_600_000).toISOString() },
    { workspaceId },
  );
  const preferredUntil = new Date(Date.now() + milliseconds);
  await bringTo(engine, jobId, "QUEUED", { runAfter: null, preferredWorkerId: workerId, preferredUntil });
  return jobId;
}

test("a job that was sent back goes to the worker that had it, whoever waits before it", async () => {
  const gone = new AbortController();
  const others = Promise.allSettled([
    claim("worker-1", { signal: gone.signal }),
    claim("worker-2", { signal: gone.signal }),
  ]);
  await untilCost(db, ({ claims, looks }) => claims > 1 && looks > 1);
  const mine = claim("worker-7");
  await untilCost(db, ({ claims, looks }) => claims > 0 && looks > 0);
  const since = performance.now();
  const jobId = await kept("worker-7");
  expect(await mine).toEqual([jobId]);
  expect(performance.now() - since).toBeLessThan(8000);
  gone.abort();
  await others;
});

test("while it is kept for somebody else, who waits costs no more than ever; when it is kept no more, is given it", async () => {
  const jobId = await kept("worker-7", 3000);
  const other = claim("worker-1");
  await untilCost(db, ({ claims }) => claims > 0);
  await new Promise((resolve) => setTimeout(resolve, 100));
  costSince(db);
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const { looks, statements } = costSince(db);
  expect(looks).toBeLessThanOrEqual(10);
  expect(statements).toBe(looks);
  expect(await other).toEqual([jobId]);
});

test("what is due in hundreds of workspaces that nobody serves hides nothing", async () => {
  for (let at = 0; at < 220; at++) {
    const elsewhere = `00000000-0000-4000-8000-${String(at).padStart(12, "0")}`;
    ok(await submitAiJob(engine, elsewhere, SOMEBODY, aSubmit({ jobKind: "TERMINAL_EXEC" })));
  }
  workspaceId = `ffffffff-${randomUUID().slice(9)}`;
  const here = claim("worker-1");
  const anywhere = idsFrom(server.url, { workerId: "worker-2", waitSeconds: 20, jobKinds: ["DOC_EDIT"] });
  await untilCost(db, ({ claims, looks }) => claims > 1 && looks > 1);
  const since = performance.now();
  const summary = await submitTo(server.url, {}, { workspaceId });
  expect(await here).toEqual([summary]);
  const edit = await submitTo(server.url, { jobKind: "DOC_EDIT" }, { workspaceId });
  expect(await anywhere).toEqual([edit]);
  expect(performance.now() - since).toBeLessThan(8000);
});
