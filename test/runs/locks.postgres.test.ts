import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../src/engine.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started } from "../support/engine.ts";
import { send } from "../support/http.ts";
import { anotherClient } from "../support/interrupt.ts";
import { expireLease } from "../support/jobs.ts";
import { expectSound, recordsOfAll } from "../support/records.ts";
import { startTestServer } from "../support/server.ts";

/** Lock order (section 4): job rows in the order of their ids, whatever order a batch names them in. */

let db: TestDatabase;
let other: PrismaClient;
let engines: readonly [EngineContext, EngineContext];
beforeAll(async () => {
  db = await openTestDatabase();
  other = anotherClient(db.url, 4);
  engines = [engineOn(db), engineOn({ ...db, prisma: other })];
});
afterAll(async () => {
  await other.$disconnect();
  await db.close();
});

const METRICS = { ...NO_METRICS, inputTokens: 1 };

async function held(count: number): Promise<Claim[]> {
  const claims: Claim[] = [];
  for (let index = 0; index < count; index++) claims.push(await started(engines[0]));
  return claims;
}

const beat = ({ run, leaseToken }: Claim) => ({
  workflowRunId: run.id,
  leaseToken,
  leaseSeconds: 60,
  metrics: METRICS,
});

const completion = ({ run, leaseToken }: Claim) => ({
  workflowRunId: run.id,
  leaseToken,
  metrics: METRICS,
  jobOutputs: null,
  writtenEntities: [],
  issues: [],
});

test("batches over the same runs, in opposite orders and at once, never block each other for good", async () => {
  const claims = await held(20);
  const backwards = claims.toReversed();
  db.statements();
  const ROUNDS = 40;
  for (let round = 0; round < ROUNDS; round++) {
    const [mine, theirs] = await Promise.all([
      heartbeatWorkflows(engines[0], claims.map(beat)),
      heartbeatWorkflows(engines[1], backwards.map(beat)),
    ]);
    expect([...mine, ...theirs].filter(({ directive }) => directive !== "CONTINUE")).toEqual([]);
  }
  // A deadlock would have been tried again: one transaction more, and a ROLLBACK.
  const received = db.statements();
  expect(received.filter((sql) => sql.startsWith("COMMIT"))).toHaveLength(ROUNDS);
  expect(received.filter((sql) => sql.startsWith("ROLLBACK"))).toHaveLength(0);
  const records = await recordsOfAll(
    other,
    claims.map(({ job }) => job.jobId),
  );
  for (const one of records.values()) {
    expectSound(one);
    expect(one.job.inputTokens).toBe(BigInt(2 * ROUNDS));
  }
});

test("completions of runs that two sweeps take at the same time end every job once", async () => {
  const claims = await held(30);
  await Promise.all(claims.filter((_, index) => index % 2 === 0).map((claim) => expireLease(db, claim)));
  const [results, mine, theirs] = await Promise.all([
    completeWorkflows(engines[1], claims.toReversed().map(completion)),
    recoverStalledRuns(engines[0]),
    recoverStalledRuns(engines[1]),
  ]);
  expect(results.filter((result) => "run" in result)).toHaveLength(15);
  expect(results.filter((result) => "code" in result && result.code === "LEASE_LOST")).toHaveLength(15);
  // A sweep leaves a job that somebody holds to the next one.
  const later = await recoverStalledRuns(engines[0]);
  expect(mine + theirs + later).toBe(15);
  const records = await recordsOfAll(
    other,
    claims.map(({ job }) => job.jobId),
  );
  const states = [];
  for (const { job } of claims) {
    const one = records.get(job.jobId);
    if (!one) throw new Error("A job was lost.");
    expectSound(one);
    states.push(one.job.state);
  }
  expect(states).toEqual(claims.map((_, index) => (index % 2 === 0 ? "QUEUED" : "COMPLETED")));
});

test("a report of a violation waits for no job of another workspace, and cannot tell that it is there", async () => {
  const [claim] = await held(1);
  const jobId = claim?.job.jobId ?? "";
  const server = await startTestServer(db);
  const report = async (ofJob: string) => {
    const input = `{ jobId: "${ofJob}", violationType: EXPORT, guardName: "g", trigger: "t", description: "d" }`;
    const query = `mutation { reportSecurityViolation(input: ${input}) { __typename ... on Error { message } } }`;
    return send(server.url, {
      method: "POST",
      headers: { "content-type": "application/json", "x-workspace-id": randomUUID() },
      body: JSON.stringify({ query }),
    });
  };
  await other.$transaction(async (tx) => {
    await tx.$queryRaw`SELECT FROM ai_jobs WHERE job_id = ${jobId}::uuid FOR NO KEY UPDATE`;
    expect(await report(jobId)).toEqual(await report(randomUUID()));
  });
  await server.close();
});
