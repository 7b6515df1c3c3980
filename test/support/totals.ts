import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { JobMetrics } from "../../src/db/metrics.ts";
import type { Transaction } from "../../src/db/transaction.ts";
import { aggregateTotals } from "../../src/totals/aggregate.ts";
import { readTotals, type Totals } from "../../src/totals/read.ts";
import { WORKSPACE } from "./engine.ts";

/** The totals, counted from the jobs themselves. */
export async function counted(db: Transaction, workspaceId: string): Promise<readonly Totals[]> {
  const rows = await db.$queryRaw<(Omit<Totals, "metrics"> & JobMetrics)[]>`
    SELECT upper(job_kind::text) AS "jobKind", upper(state::text) AS state, count(*) AS jobs,
      sum(duration_ms)::bigint AS "durationMs", sum(total_tokens)::bigint AS "totalTokens",
      sum(input_tokens)::bigint AS "inputTokens", sum(output_tokens)::bigint AS "outputTokens",
      sum(tokens_planner)::bigint AS "tokensPlanner", sum(tokens_executor)::bigint AS "tokensExecutor",
      sum(entities_read)::bigint AS "entitiesRead", sum(entities_written)::bigint AS "entitiesWritten",
      sum(validators_run_count)::bigint AS "validatorsRunCount"
    FROM ai_jobs WHERE workspace_id = ${workspaceId}::uuid GROUP BY job_kind, ai_jobs.state ORDER BY job_kind, ai_jobs.state`;
  return rows.map(({ jobKind, state, jobs, ...metrics }) => ({ jobKind, state, jobs, metrics }));
}

/** Expects that the totals equal those counted from the jobs, in one snapshot. @returns the totals. */
export function expectExact(prisma: PrismaClient, workspaceId = WORKSPACE): Promise<readonly Totals[]> {
  return prisma.$transaction(
    async (tx) => {
      const totals = await readTotals(tx, workspaceId, {});
      expect(totals).toEqual(await counted(tx, workspaceId));
      return totals;
    },
    { isolationLevel: "RepeatableRead" },
  );
}

/** The number of jobs that have been aggregated into the totals. */
export async function aggregatedJobs(prisma: PrismaClient, workspaceId = WORKSPACE): Promise<number> {
  const { _sum } = await prisma.jobTotal.aggregate({ where: { workspaceId }, _sum: { jobs: true } });
  return Number(_sum.jobs ?? 0);
}

/**
 * Aggregates all events that are in the log now. The aggregation stops below the oldest open transaction of the database; this
 * waits for it.
 * @throws Error if that takes too long.
 */
export async function aggregateAll(prisma: PrismaClient): Promise<void> {
  for (let wait = 1; wait < 2000; wait++) {
    await aggregateTotals(prisma);
    const [notAggregated] = await prisma.$queryRaw<{ events: number }[]>`
      SELECT count(*)::int AS events FROM flight_recorder_events e, totals_position p
      WHERE (e.order_xid, e.job_id, e.version) > (p.order_xid, p.job_id, p.version)`;
    if (notAggregated?.events === 0) return;
    await sleep(10);
  }
  throw new Error("A transaction of the database has been open for too long.");
}
