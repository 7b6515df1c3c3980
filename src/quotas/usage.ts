import { stateCodes } from "../db/enum-codes.ts";
import { Prisma, type Quota } from "../db/generated/client/client.ts";
import { MAX_SAFE_METRIC } from "../db/metrics.ts";
import { QUOTA_COLUMNS } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { usageNotAggregated } from "../totals/changes.ts";

/** A quota with its current usage. */
export interface QuotaUsage extends Quota {
  /** The amount in the window, or the number of active jobs; at most 2^53 - 1, also where it is really more. */
  readonly used: bigint;
  /**
   * When so much usage has left the window that `used` is below `max`. Null where it is below already, for ACTIVE_JOBS, and for
   * a `max` of 0.
   */
  readonly freesAt: Date | null;
}

/** Subquery: the number of jobs at work that a `quota` counts. One that waits for a person takes no place: that may last for days. */
const ACTIVE_JOBS = Prisma.sql`
  SELECT count(*) FROM ai_jobs j
  WHERE j.workspace_id = quota.workspace_id AND j.state_code = ANY(${stateCodes(["RUNNING", "AWAITING_VALIDATION"])}::int2[])
    AND (quota.capability_profile_id IS NULL OR j.capability_profile_id = quota.capability_profile_id)`;

/**
 * Subquery: the usage in each minute of a `quota`'s window; no rows for a quota without a window. The start of the window is a column:
 * under row-level security no expression that may fail, as a subtraction of times may, is a condition of an index (section 11).
 */
const USAGE_BY_MINUTE = Prisma.sql`
  SELECT minute, CASE quota.resource WHEN 'tokens' THEN tokens WHEN 'cost' THEN cost_micros ELSE jobs END AS amount
  FROM (
    SELECT workspace_id, capability_profile_id, minute, tokens, cost_micros, jobs FROM usage_minutes
    UNION ALL
    SELECT workspace_id, capability_profile_id, minute, tokens, cost_micros, jobs FROM not_aggregated
  ) AS usage
  WHERE usage.workspace_id = quota.workspace_id
    AND (quota.capability_profile_id IS NULL OR usage.capability_profile_id = quota.capability_profile_id)
    AND minute > quota.window_start`;

/**
 * Subquery: when usage falls below the quota's `max`, by time alone. That happens once enough of the oldest minutes have left
 * the window. `later` is the usage of all minutes after a given minute. The result is when the earliest minute whose `later`
 * is below `max` has left the window.
 */
const FREES_AT = Prisma.sql`
  SELECT min(minute + quota.length + interval '1 minute') FROM (
    SELECT minute, sum(amount) OVER (ORDER BY minute DESC GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later
    FROM (${USAGE_BY_MINUTE}) AS used
  ) AS leaving WHERE coalesce(later, 0) < quota.max`;

/**
 * Reads quotas with their current usage, in one statement for all of them. Windows are counted by whole minutes: the usage of a
 * minute counts until the whole minute has left the window.
 * @param condition a condition on `quotas`.
 * @returns the quotas, oldest first.
 */
export function readQuotaUsage(db: Transaction, condition: Prisma.Sql): Promise<QuotaUsage[]> {
  const withWindow = Prisma.sql`ARRAY(SELECT workspace_id FROM quota WHERE window_seconds IS NOT NULL)`;
  return db.$queryRaw<QuotaUsage[]>`
    WITH quota AS MATERIALIZED (
      SELECT *, make_interval(secs => window_seconds) AS length,
        statement_timestamp() - make_interval(secs => window_seconds) - interval '1 minute' AS window_start
      FROM quotas WHERE ${condition}
    ), not_aggregated AS MATERIALIZED (${usageNotAggregated(withWindow)}
    ), quota_use AS MATERIALIZED (
      SELECT *, CASE resource
        WHEN 'active_jobs' THEN (${ACTIVE_JOBS})
        ELSE (SELECT coalesce(sum(amount), 0) FROM (${USAGE_BY_MINUTE}) AS used)
      END AS used
      FROM quota
    )
    SELECT ${QUOTA_COLUMNS}, least(used, ${MAX_SAFE_METRIC})::bigint AS used,
      CASE WHEN used >= max THEN (${FREES_AT}) END AS "freesAt"
    FROM quota_use AS quota ORDER BY created_at, id`;
}
