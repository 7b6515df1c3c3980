import { z } from "zod";
import { type ScopedId, scopedIdTable } from "../db/batched-read.ts";
import { Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import type { Label } from "../db/job-labels.ts";
import { boundedText } from "./input-text.ts";

/** Labels (section 14): pairs by which submitters find their jobs again. They are written with the job, and never change. */

/** The most labels that a job, or a filter, has. The database enforces the same limit for jobs. */
export const MAX_LABELS = 32;

/** A key: lower case and few other characters, so that it has one spelling. */
export const labelKey = z
  .string()
  .regex(/^[a-z0-9_./-]{1,63}$/, "must be 1 to 63 characters of a-z, 0-9, _, ., - and /");
/** A value: any text, the empty one too. */
export const labelValue = boundedText(200, 0);

const labels = z.array(z.looseObject({ key: z.string() })).max(MAX_LABELS);

/** Validates the labels of a filter, where a key may come twice: no job has both. */
export const filterLabels = labels;

/** Validates the labels of a job: each key once. */
export const jobLabels = labels.superRefine((all, context) => {
  const seen = new Set<string>();
  for (const [index, { key }] of all.entries()) {
    if (seen.has(key))
      context.addIssue({ code: "custom", message: "is a key that an earlier label has", path: [index, "key"] });
    seen.add(key);
  }
});

/** @returns the same labels by key, byte by byte as the database orders them: their order means nothing. */
export function byKey(all: readonly Label[]): readonly Label[] {
  return all.toSorted((one, other) => (one.key < other.key ? -1 : Number(one.key > other.key)));
}

/** Whether two labels have the same key and value. */
export function isSame(one: Label, other: Label): boolean {
  return one.key === other.key && one.value === other.value;
}

/** A row of `job_labels`, for who asked for its job. */
export interface LabelOfJob extends Label {
  readonly workspaceId: string;
  readonly jobId: string;
}

/** Reads the labels of several jobs, in one statement; those of one job by key. */
export function listLabelsOf(prisma: PrismaClient, jobs: readonly ScopedId[]): Promise<LabelOfJob[]> {
  return prisma.$queryRaw<LabelOfJob[]>`
    SELECT workspace_id AS "workspaceId", job_id AS "jobId", key, value
    FROM ${scopedIdTable(jobs)} JOIN job_labels ON job_id = requested_id AND workspace_id = requested_workspace_id
    ORDER BY job_id, key`;
}

/**
 * @returns a condition on `ai_jobs`: whether a job has all of these labels. Aggregated, so that PostgreSQL looks the labels of each
 *   job up by the primary key, and never joins all jobs with a label. Nothing is read of a job with fewer labels.
 */
export function hasLabels(wanted: readonly Label[]): Prisma.Sql {
  const distinct = distinctLabels(wanted);
  return Prisma.sql`(label_count >= ${distinct.length} AND ${distinct.length} = (
    SELECT count(*) FROM ${wantedTable(distinct)}
    JOIN job_labels AS label (label_workspace_id, label_job_id, label_key, label_value)
      ON label_job_id = job_id AND label_key = wanted_key AND label_value = wanted_value))`;
}

/** How many entries of each label are counted to find a rare one. */
const MAX_COUNTED = 1_000;

/**
 * Lists the workspace's jobs with a label, as a SELECT of `job_id` and `created_at` that the index of labels serves in its order. Of
 * several labels it is the one that fewest jobs have; a label of more than MAX_COUNTED jobs counts as common.
 * @param wanted at least one.
 * @returns the table, and the WITH clause that must stand before the statement that has it; empty for one label.
 */
export function jobsWithLabel(
  workspaceId: string,
  wanted: readonly Label[],
): { readonly with: Prisma.Sql; readonly table: Prisma.Sql } {
  const distinct = distinctLabels(wanted);
  const select = (key: Prisma.Sql, value: Prisma.Sql) => Prisma.sql`
    SELECT job_id, created_at FROM job_labels WHERE workspace_id = ${workspaceId}::uuid AND key = ${key} AND value = ${value}`;
  const [first, ...others] = distinct;
  if (first && others.length === 0)
    return { with: Prisma.empty, table: select(Prisma.sql`${first.key}`, Prisma.sql`${first.value}`) };
  const rarest = Prisma.sql`
    WITH rarest AS MATERIALIZED (
      SELECT wanted_key, wanted_value FROM ${wantedTable(distinct)}, LATERAL (
        SELECT count(*) AS jobs FROM (
          SELECT FROM job_labels WHERE workspace_id = ${workspaceId}::uuid AND key = wanted_key AND value = wanted_value
          LIMIT ${MAX_COUNTED}) AS entry) AS counted
      ORDER BY jobs LIMIT 1)`;
  return {
    with: rarest,
    table: select(Prisma.sql`(SELECT wanted_key FROM rarest)`, Prisma.sql`(SELECT wanted_value FROM rarest)`),
  };
}

/** Each label once: the database counts how many of them a job has. */
function distinctLabels(wanted: readonly Label[]): readonly Label[] {
  return [...new Map(wanted.map((label) => [JSON.stringify([label.key, label.value]), label])).values()];
}

function wantedTable(wanted: readonly Label[]): Prisma.Sql {
  return Prisma.sql`unnest(${wanted.map(({ key }) => key)}::text[], ${wanted.map(({ value }) => value)}::text[])
    AS wanted (wanted_key, wanted_value)`;
}
