import { Prisma, type Quota } from "../db/generated/client/client.ts";
import { MAX_SAFE_METRIC } from "../db/metrics.ts";
import { QUOTA_COLUMNS } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { usageNotFolded } from "../totals/changes.ts";

/** A quota, and how much of it is used at this moment. */
export interface QuotaUsage extends Quota {
  /** At most 2^53 - 1. */
  readonly used: bigint;
  /** When enough of it will have left the window; null while there is room, and where nobody can tell. */
  readonly freesAt: Date | null;
}

/** How many jobs have an active run now (section 1). */
const ACTIVE_JOBS = Prisma.sql`
  SELECT count(*) FROM ai_jobs j
  WHERE j.workspace_id = quota.workspace_id AND j.state IN ('running', 'awaiting_validation', 'awaiting_user')
    AND (quota.capability_profile_id IS NULL OR j.capability_profile_id = quota.capability_profile_id)`;

/** What was used in each minute of a quota's window; nothing for one that has none. */
const USAGE_BY_MINUTE = Prisma.sql`
  SELECT minute, CASE quota.resource WHEN 'tokens' THEN tokens ELSE jobs END AS amount
  FROM (
    SELECT workspace_id, capability_profile_id, minute, tokens, jobs FROM usage_minutes
    UNION ALL
    SELECT workspace_id, capability_profile_id, minute, tokens, jobs FROM recent
  ) AS usage
  WHERE usage.workspace_id = quota.workspace_id
    AND (quota.capability_profile_id IS NULL OR usage.capability_profile_id = quota.capability_profile_id)
    AND minute > statement_timestamp() - quota.length - interval '1 minute'`;

/** When so much has left the window that what is left is less than the most: with the first minute that leaves so little. */
const FREES_AT = Prisma.sql`
  SELECT min(minute + quota.length + interval '1 minute') FROM (
    SELECT minute, sum(amount) OVER (ORDER BY minute DESC GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later
    FROM (${USAGE_BY_MINUTE}) AS used
  ) AS leaving WHERE coalesce(later, 0) < quota.max`;

/**
 * Quotas with what is used of them, oldest first, in one statement however many they are. A window is counted by whole
 * minutes: what was used in one counts until all of that minute has left the window.
 * @param condition a condition on `quotas`.
 */
export function readQuotaUsage(db: Transaction, condition: Prisma.Sql): Promise<QuotaUsage[]> {
  const withWindow = Prisma.sql`ARRAY(SELECT workspace_id FROM quota WHERE window_seconds IS NOT NULL)`;
  return db.$queryRaw<QuotaUsage[]>`
    WITH quota AS MATERIALIZED (
      SELECT *, make_interval(secs => window_seconds) AS length FROM quotas WHERE ${condition}
    ), recent AS MATERIALIZED (${usageNotFolded(withWindow)}
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
