import { Prisma } from "./generated/client/client.ts";

/** Labels as they are read with the row of their job (section 14). */

/** A label of a job. */
export interface Label {
  readonly key: string;
  readonly value: string;
}

/**
 * @param job the name by which the statement knows a row of `ai_jobs`.
 * @returns its labels as JSON, by key, as an expression; NULL for a job without any, of which nothing is read.
 */
export function labelsOf(job: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`CASE WHEN ${job}.label_count > 0 THEN (
    SELECT json_agg(json_build_object('key', label.key, 'value', label.value) ORDER BY label.key)
    FROM job_labels label WHERE label.job_id = ${job}.job_id) END`;
}
