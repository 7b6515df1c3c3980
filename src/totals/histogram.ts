import { Prisma } from "../db/generated/client/client.ts";

/**
 * How long jobs took, as numbers of jobs in buckets: so the times of any number of jobs are few numbers, which can be added up, and
 * percentiles of the sum are within 5 %. Stored rows name buckets by their numbers, so what a bucket means never changes: with other
 * values here, totals must be counted anew.
 */

/** Below so many milliseconds each has a bucket of its own, since the middle of a wider one would be rounded by too much. */
const EXACT_BELOW = 100;
/** Above, a bucket reaches from one time to so many times that. Its middle is at most 4.5 % away, and half a millisecond for rounding. */
const RATIO = 1.09;

/** An expression for the bucket of a time. @param milliseconds an SQL expression; NULL has no bucket. */
export function bucketOf(milliseconds: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`(CASE WHEN ${milliseconds} < ${EXACT_BELOW} THEN greatest(${milliseconds}, 0)
    ELSE ${EXACT_BELOW} + floor(ln(${milliseconds}::float8 / ${EXACT_BELOW}) / ${Math.log(RATIO)}::float8) END)::smallint`;
}

/** @returns the time in the middle of a bucket, in milliseconds. */
export function middleOf(bucket: number): number {
  return bucket < EXACT_BELOW ? bucket : Math.round(EXACT_BELOW * RATIO ** (bucket - EXACT_BELOW + 0.5));
}

/**
 * A query with one row for several times: the buckets that have any, `buckets`, and in the same order how many each has, `jobs`.
 * @param pairs a query with a bucket, `bucket`, and a number of times in it, `jobs`; a bucket may come more than once.
 */
export function histogramOf(pairs: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    SELECT coalesce(array_agg(bucket ORDER BY bucket), '{}') AS buckets, coalesce(array_agg(jobs ORDER BY bucket), '{}') AS jobs
    FROM (SELECT bucket, sum(jobs)::bigint AS jobs FROM (${pairs}) AS pair GROUP BY bucket) AS filled`;
}
