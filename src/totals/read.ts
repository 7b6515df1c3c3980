import { Prisma } from "../db/generated/client/client.ts";
import type { JobKind, JobState } from "../db/generated/client/enums.ts";
import { METRIC_NAMES } from "../db/job-columns.ts";
import type { JobMetrics } from "../db/metrics.ts";
import { MAX_SAFE_METRIC } from "../db/metrics.ts";
import { snakeCase, toDbEnum } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { changesNotFolded, METRIC_COLUMNS, TOTALS_IN_CHANGE } from "./changes.ts";

/** The jobs of one kind and state. */
export interface Totals {
  readonly jobKind: JobKind;
  readonly state: JobState;
  readonly jobs: bigint;
  /** Sums over these jobs; each at most 2^53 - 1, also where the sum is larger. */
  readonly metrics: JobMetrics;
}

/** Which jobs count; all where a condition is left out. */
export interface TotalsFilter {
  readonly states?: readonly JobState[] | null | undefined;
  readonly kinds?: readonly JobKind[] | null | undefined;
}

/**
 * Exact counts and sums over a workspace's jobs at this moment, by kind and state (section 9). Kinds and states that no job
 * has are left out.
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
    WITH change AS MATERIALIZED (${changesNotFolded(Prisma.sql`ARRAY[${workspaceId}::uuid]`)})
    SELECT upper(job_kind::text) AS "jobKind", upper(state::text) AS state, sum(jobs)::bigint AS jobs,
      ${Prisma.raw(sums.join(", "))}
    FROM (
      SELECT workspace_id, job_kind, state, jobs, ${METRIC_COLUMNS} FROM job_totals
      UNION ALL
      ${TOTALS_IN_CHANGE}
    ) AS total
    WHERE ${Prisma.join(conditions, " AND ")}
    GROUP BY total.job_kind, total.state HAVING sum(jobs) > 0 ORDER BY total.job_kind, total.state`;
  return rows.map(({ jobKind, state, jobs, ...metrics }) => ({ jobKind, state, jobs, metrics }));
}
