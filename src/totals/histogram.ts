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
 * @param times a column with a list of buckets, one for each time; NULL for none.
 * @returns expressions for the two columns of its histogram: buckets, and how many times each has. A bucket may come more than once.
 */
export function histogramOfList(times: string): Prisma.Sql {
  return Prisma.raw(`coalesce(${times}, '{}'), array_fill(1::bigint, ARRAY[coalesce(cardinality(${times}), 0)])`);
}

/** From so many entries on, a histogram is written with each of its buckets once: to append to it is less work than to add it up. */
const MAX_ENTRIES = 64;

/**
 * In an upsert, the histogram of the stored row, `old`, and of what is added to it, `excluded`.
 * @param which the beginning of the names of its columns.
 */
export function sumOfHistograms(which: "queue" | "run"): Prisma.Sql {
  const appended = (column: string) => `old.${which}_${column} || excluded.${which}_${column}`;
  const isFew = `cardinality(old.${which}_buckets) + cardinality(excluded.${which}_buckets) < ${MAX_ENTRIES}`;
  return Prisma.raw(`
    SELECT ${appended("buckets")}, ${appended("jobs")} WHERE ${isFew}
    UNION ALL
    SELECT array_agg(bucket), array_agg(jobs) FROM (
      SELECT bucket, sum(jobs)::bigint AS jobs FROM unnest(${appended("buckets")}, ${appended("jobs")}) AS entry(bucket, jobs)
      GROUP BY bucket
    ) AS filled HAVING NOT (${isFew})`);
}
