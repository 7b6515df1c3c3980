import { afterAll, beforeAll, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../src/engine.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, started } from "../support/engine.ts";
import { anotherClient } from "../support/interrupt.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { aHeartbeat, reportOutcome } from "../support/reports.ts";

/** Reports that race against a token budget, at two servers: none slips past it. */

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

const REPORTS = 50;

/** Each costs another number of tokens, so that the sum tells which of them were counted. */
const cost = (at: number) => 1000 + 2 ** (at % 10) + at;

async function report(at: number, taken: Claim): Promise<string> {
  const engine = engines[at % 2 === 0 ? 0 : 1];
  const metrics = { ...NO_METRICS, inputTokens: cost(at) - 7, outputTokens: 7 };
  if (at % 3 === 0) return reportOutcome(await advanceWorkflow(engine, { ...aStep(taken, `n${at}`), metrics }));
  const [answer] = await heartbeatWorkflows(engine, [aHeartbeat(taken, { metrics })]);
  return reportOutcome(answer?.error);
}

test.each([1, 10_000, 25_000, 40_000])(
  "of 50 racing reports against a budget of %i tokens one crosses it, and the total is right to the token",
  async (tokenBudget) => {
    const taken = await started(engines[0], { tokenBudget });
    const answers = await Promise.all(Array.from({ length: REPORTS }, (_, at) => report(at, taken)));

    const counted = (word: string) => answers.flatMap((answer, at) => (answer === word ? [cost(at)] : []));
    const sum = (costs: readonly number[]) => costs.reduce((total, one) => total + one, 0);
    const accepted = counted("done");
    const crossing = counted("BUDGET_EXCEEDED STOP_FAILED");
    const late = counted("ILLEGAL_TRANSITION STOP_FAILED");
    expect(crossing).toHaveLength(1);
    expect(accepted.length + crossing.length + late.length).toBe(REPORTS);
    expect(sum(accepted)).toBeLessThanOrEqual(tokenBudget);
    expect(sum(accepted) + sum(crossing)).toBeGreaterThan(tokenBudget);

    const after = await recordsOf(other, taken.job.jobId);
    expectSound(after);
    expect(after.job).toMatchObject({ state: "FAILED", statusReason: "budget_exceeded" });
    expect(after.job.totalTokens).toBe(BigInt(sum(accepted) + sum(crossing)));
    // Submitted and claimed, one version for each report that counted, and one that tells of the end.
    expect(after.job.version).toBe(2 + accepted.length + crossing.length + 1);
    expect(after.events.filter(({ state }) => state === "FAILED")).toHaveLength(1);
  },
);
