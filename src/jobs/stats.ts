import { Prisma } from "../db/generated/client/client.ts";
import { METRIC_NAMES } from "../db/job-columns.ts";
import { type JobMetrics, MAX_SAFE_METRIC } from "../db/metrics.ts";
import { snakeCase } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { readTotals, type Totals } from "../totals/read.ts";
import { conditionsOf, type JobFilter } from "./filter.ts";
import { selectJobs } from "./list.ts";

/**
 * Reads exact counts and sums over a workspace's jobs that match a filter, by kind and state, in one snapshot (section 10).
 * Totals by kind and state are kept; any other condition has the matching jobs read.
 * @returns one entry for each kind and state that has jobs, ordered by kind, then state.
 */
export function readStats(db: Transaction, workspaceId: string, filter: JobFilter): Promise<readonly Totals[]> {
  const { states, kinds } = filter;
  const isKept = conditionsOf(filter).every(({ sql }) => "column" in sql);
  return isKept ? readTotals(db, workspaceId, { states, kinds }) : sumJobs(db, workspaceId, filter);
}

const SUMS = Prisma.raw(
  METRIC_NAMES.map((name) => `least(sum(${snakeCase(name)}), ${MAX_SAFE_METRIC})::bigint AS "${name}"`).join(", "),
);

async function sumJobs(db: Transaction, workspaceId: string, filter: JobFilter): Promise<readonly Totals[]> {
  const rows = await db.$queryRaw<(Omit<Totals, "metrics"> & JobMetrics)[]>`
    SELECT upper(job_kind::text) AS "jobKind", upper(state::text) AS state, count(*) AS jobs, ${SUMS}
    FROM (${selectJobs(Prisma.sql`ai_jobs.*`, workspaceId, filter)}) AS ai_jobs
    GROUP BY ai_jobs.job_kind, ai_jobs.state ORDER BY ai_jobs.job_kind, ai_jobs.state`;
  return rows.map(({ jobKind, state, jobs, ...metrics }) => ({ jobKind, state, jobs, metrics }));
}
