import { Prisma } from "../db/generated/client/client.ts";
import type { JobKind, JobState } from "../db/generated/client/enums.ts";
import { METRIC_NAMES } from "../db/job-columns.ts";
import type { JobMetrics } from "../db/metrics.ts";
import { MAX_SAFE_METRIC } from "../db/metrics.ts";
import { snakeCase, toDbEnum } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { changesNotAggregated, METRIC_COLUMNS, TOTALS_DELTAS } from "./changes.ts";

/** The total over the jobs of one kind and state. */
export interface Totals {
  readonly jobKind: JobKind;
  readonly state: JobState;
  /** The number of these jobs. */
  readonly jobs: bigint;
  /** The sums of their metrics; a sum above 2^53 - 1 is returned as 2^53 - 1. */
  readonly metrics: JobMetrics;
}

/** Which jobs are counted; a condition that is left out matches every job. */
export interface TotalsFilter {
  readonly states?: readonly JobState[] | null | undefined;
  readonly kinds?: readonly JobKind[] | null | undefined;
}

/**
 * Reads exact counts and sums over a workspace's jobs, by kind and state, in one snapshot (section 10).
 * @returns one entry for each kind and state that has jobs, ordered by kind, then state.
 */
export async function readTotals(
  db: Transaction,
  workspaceId: string,
  { states, kinds }: TotalsFilter,
): Promise<readonly Totals[]> {
  const conditions = [
    Prisma.sql`workspace_id = ${workspaceId}::uuid`,
    ...(states ? [Prisma.sql`state = ANY(${states.map((name) => toDbEnum(name))}::text[]::"JobState"[])`] : []),
    ...(kinds ? [Prisma.sql`job_kind = ANY(${kinds.map((name) => toDbEnum(name))}::text[]::"JobKind"[])`] : []),
  ];
  const sums = METRIC_NAMES.map((name) => `least(sum(${snakeCase(name)}), ${MAX_SAFE_METRIC})::bigint AS "${name}"`);
  const rows = await db.$queryRaw<(Omit<Totals, "metrics"> & JobMetrics)[]>`
    WITH change AS MATERIALIZED (${changesNotAggregated(Prisma.sql`ARRAY[${workspaceId}::uuid]`)})
    SELECT upper(job_kind::text) AS "jobKind", upper(state::text) AS state, sum(jobs)::bigint AS jobs,
      ${Prisma.raw(sums.join(", "))}
    FROM (
      SELECT workspace_id, job_kind, state, jobs, ${METRIC_COLUMNS} FROM job_totals
      UNION ALL
      ${TOTALS_DELTAS}
    ) AS total
    WHERE ${Prisma.join(conditions, " AND ")}
    GROUP BY total.job_kind, total.state HAVING sum(jobs) > 0 ORDER BY total.job_kind, total.state`;
  return rows.map(({ jobKind, state, jobs, ...metrics }) => ({ jobKind, state, jobs, metrics }));
}
