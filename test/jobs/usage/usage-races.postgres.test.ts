import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Claim } from "../../../src/claims/acquire-lease.ts";
import type { PrismaClient } from "../../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../../src/engine.ts";
import { AppError } from "../../../src/errors.ts";
import { deltaOfCalls } from "../../../src/jobs/metrics.ts";
import type { ModelCall } from "../../../src/jobs/usage/model-usage.ts";
import { SYSTEM_ACTOR } from "../../../src/log/event.ts";
import { heartbeatWorkflows } from "../../../src/runs/heartbeat.ts";
import { reportUsage } from "../../../src/runs/report-usage.ts";
import { reportSecurityViolation } from "../../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../../support/database.ts";
import { engineOn, ok, started } from "../../support/engine.ts";
import { anotherClient } from "../../support/interrupt.ts";
import { FOUND } from "../../support/jobs.ts";
import { expectSound, recordsOf } from "../../support/records.ts";
import { aHeartbeat } from "../../support/reports.ts";

/** Reports of usage that race at two servers: against a budget, and against the poisoning of their job. */

let db: TestDatabase;
let other: PrismaClient;
let engines: readonly [EngineContext, EngineContext];
beforeAll(async () => {
  db = await openTestDatabase();
  other = anotherClient(db.url, 10);
  engines = [engineOn(db), engineOn({ ...db, prisma: other })];
});
afterAll(async () => {
  await other.$disconnect();
  await db.close();
});

const ROUNDS = 100;
const ROUND_MS = 3_000;

const calling = (costMicros: number): ModelCall => ({
  provider: "openai",
  model: "gpt-5",
  inputTokens: 8,
  cachedInputTokens: 0,
  outputTokens: 2,
  reasoningTokens: 0,
  costMicros,
});

const use = (engine: EngineContext, { run, leaseToken }: Claim, usage: readonly ModelCall[], reportId = randomUUID()) =>
  reportUsage(engine, { workflowRunId: run.id, leaseToken, reportId, usage });

const beat = async (engine: EngineContext, claim: Claim, usage: readonly ModelCall[]) =>
  (await heartbeatWorkflows(engine, [aHeartbeat(claim, { metrics: deltaOfCalls(usage), reportId: randomUUID() })]))[0];

const entriesOf = ({ job }: Claim) => other.usageEntry.findMany({ where: { jobId: job.jobId } });

test(
  "a job passes its cost budget by the one or the other of two racing reports, and every micro-unit is counted",
  async () => {
    const refused = { alone: 0, together: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      const [here, there] = engines;
      // Sometimes either report passes it, sometimes both together do.
      const costBudgetMicros = round % 2 === 0 ? 10 : 15;
      const claim = await started(here, { costBudgetMicros });
      const [late, heartbeat] = await Promise.all([use(here, claim, [calling(11)]), beat(there, claim, [calling(12)])]);
      expect(late).toMatchObject({ isLate: expect.any(Boolean) });
      const records = await recordsOf(other, claim.job.jobId);
      expectSound(records);
      const { job, runs, events } = records;
      // A heartbeat that came after the end is refused, and its usage is not counted; the usage report always is.
      const isRefused = heartbeat?.error?.code === "ILLEGAL_TRANSITION";
      expect(job).toMatchObject({
        state: "FAILED",
        statusReason: "budget_exceeded",
        costMicros: isRefused ? 11n : 23n,
      });
      expect(runs).toMatchObject([{ state: "FAILED", leaseExpiresAt: null }]);
      expect(
        events.filter(({ state, previousState }) => state === "FAILED" && previousState === "RUNNING"),
      ).toHaveLength(1);
      const entries = await entriesOf(claim);
      expect(entries.reduce((sum, { costMicros }) => sum + costMicros, 0n)).toBe(job.costMicros);
      if (isRefused) refused[costBudgetMicros === 10 ? "alone" : "together"]++;
    }
    // Where either passes it, each came first at times; where both together do, neither comes after the end.
    expect(refused.alone).toBeGreaterThan(0);
    expect(refused.alone).toBeLessThan(ROUNDS / 2);
    expect(refused.together).toBe(0);
  },
  ROUNDS * ROUND_MS,
);

test(
  "what is used is counted once, whether its report or the poisoning of its job comes first",
  async () => {
    const counted = { before: 0, beside: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      const [here, there] = engines;
      const claim = await started(here);
      const { workspaceId, jobId } = claim.job;
      const reportId = randomUUID();
      const send = (engine: EngineContext) => use(engine, claim, [calling(7)], reportId);
      const poison = reportSecurityViolation(there, workspaceId, SYSTEM_ACTOR, jobId, FOUND);
      const answers = await Promise.all([send(here), send(there), poison]);
      for (const answer of answers) expect(answer).not.toBeInstanceOf(AppError);
      const records = await recordsOf(other, jobId);
      expectSound(records);
      expect(records.job.state).toBe("POISONED");
      const entries = await entriesOf(claim);
      expect(entries).toMatchObject([{ calls: 1, costMicros: 7n }]);
      const isBeside = entries[0]?.version === null;
      expect(records.job.costMicros).toBe(isBeside ? 0n : 7n);
      counted[isBeside ? "beside" : "before"]++;
      ok(await send(here));
      expect(await entriesOf(claim)).toEqual(entries);
    }
    // Both happen, or nothing was raced.
    expect(counted.before).toBeGreaterThan(0);
    expect(counted.beside).toBeGreaterThan(0);
  },
  ROUNDS * ROUND_MS,
);
