import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { LeaseLostError } from "../../src/errors.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, started } from "../support/engine.ts";
import { expireLease } from "../support/jobs.ts";

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());
afterEach(() => vi.useRealTimers());

test("a lease is judged by the database's clock, whatever this server's says", async () => {
  const hour = 3_600_000;
  const held = await started(engine, {}, 60);
  const real = Date.now();

  vi.useFakeTimers({ toFake: ["Date"], now: real + hour });
  ok(await advanceWorkflow(engine, aStep(held, "in-time")));
  const heartbeat = { workflowRunId: held.run.id, leaseToken: held.leaseToken, leaseSeconds: 120, metrics: NO_METRICS };
  const [answer] = await heartbeatWorkflows(engine, [heartbeat]);
  expect(answer?.directive).toBe("CONTINUE");
  expect(Math.abs((answer?.leaseExpiresAt?.getTime() ?? 0) - (real + 120_000))).toBeLessThan(30_000);

  vi.setSystemTime(real - hour);
  await expireLease(db, held);
  expect(await advanceWorkflow(engine, aStep(held, "late"))).toBeInstanceOf(LeaseLostError);
});
