import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { readConfig } from "../../src/config.ts";
import { within } from "../../src/db/scope.ts";
import { type RunningServer, start } from "../../src/start.ts";
import { createPostgresDatabase } from "../support/database.ts";
import { EVERYWHERE } from "../support/engine.ts";
import { claimFrom, submitTo } from "../support/workers.ts";

/** The whole server, as it is started: a worker that dies is noticed within its lease plus one sweep. */

const LEASE_SECONDS = 5;
const SWEEP_SECONDS = 0.5;
/** For the sweep itself, on a busy machine. */
const GRACE_MS = 3000;

let server: RunningServer;
let drop: () => Promise<void>;
beforeAll(async () => {
  const onPostgres = process.env.TEST_STORE === "postgres";
  const database = onPostgres
    ? await createPostgresDatabase()
    : { env: { DATABASE_URL: "memory:" }, drop: async () => undefined };
  drop = database.drop;
  const config = readConfig({
    ...database.env,
    PORT: "0",
    RECOVERY_INTERVAL_SECONDS: String(SWEEP_SECONDS),
    RETRY_FIRST_SECONDS: "0",
  });
  server = await start(config, pino({ level: "silent" }));
});
afterAll(async () => {
  await server.close();
  await drop();
});

const recoveryPayload = z.object({ worker_id: z.string(), lease_expired_at: z.iso.datetime() });

test("a worker that dies is noticed within its lease plus one sweep, and who waits is given its job", async () => {
  const { url, database } = server;
  const jobId = await submitTo(url);
  const [dead] = (await claimFrom(url, { workerId: "dead", leaseSeconds: LEASE_SECONDS })).claims;
  expect(dead?.job.jobId).toBe(jobId);
  const since = performance.now();
  // Nobody is heard from any more; another worker waits for something to do.
  const [next] = (await claimFrom(url, { workerId: "next", waitSeconds: 20 })).claims;
  expect(next).toMatchObject({ job: { jobId }, workflowRun: { attempt: 2 } });
  expect(performance.now() - since).toBeGreaterThan(LEASE_SECONDS * 1000 - 500);
  expect(performance.now() - since).toBeLessThan((LEASE_SECONDS + SWEEP_SECONDS) * 1000 + 2 * GRACE_MS);

  const recovery = await within(EVERYWHERE, () =>
    database.prisma.flightRecorderEvent.findFirstOrThrow({ where: { jobId, type: "WORKFLOW_RECOVERY" } }),
  );
  const { worker_id, lease_expired_at } = recoveryPayload.parse(recovery.payload);
  expect(worker_id).toBe("dead");
  const noticedAfter = recovery.recordedAt.getTime() - Date.parse(lease_expired_at);
  expect(noticedAfter).toBeGreaterThanOrEqual(0);
  expect(noticedAfter).toBeLessThan(SWEEP_SECONDS * 1000 + GRACE_MS);
});
