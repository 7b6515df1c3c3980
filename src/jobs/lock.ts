import { type AiJob, Prisma } from "../db/generated/client/client.ts";
import { type DocumentField, JOB_COLUMNS, JOB_SUMMARY_COLUMNS } from "../db/job-columns.ts";
import { FORCED_GENERIC_PLAN } from "../db/prepared.ts";
import type { JsonValue } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";

/** Locks on jobs' rows: whoever writes a job, its runs or its nodes has one first (section 4). */

/** A job whose row this transaction holds, as it is now that nobody else can change it. */
export type LockedJob = AiJob & {
  /** `order_xid` of the next version: the greater of this transaction's id and the job's last (section 4). */
  readonly nextOrderXid: bigint;
  /** The database's clock, read after the lock was had. Leases are judged by it. */
  readonly now: Date;
  /** What its capability profile grants at this moment (section 8). */
  readonly capabilities: readonly string[];
  /** What PromptInjectionGuard looks for in the jobs of that profile, beside its own patterns (section 7). */
  readonly injectionPatterns: readonly string[];
};

/** A locked job without its documents, so that a thousand of them fit into memory: enough to change its state. */
export type LockedJobSummary = Omit<LockedJob, DocumentField>;

/** A locked job as a worker's report is judged by it. */
export type ReportedJob = LockedJobSummary & {
  /** Its `entity_refs`, where they are what it may write; empty for a job that writes nothing. */
  readonly writeScope: JsonValue;
};

/**
 * What a `LockedJob` has beside its own columns, read from a table of the name `locked`. The clock is read when all of
 * that table is there, and so after the last wait for a lock: a lease may end while another row of the batch is waited for.
 */
const READ_UNDER_LOCK = Prisma.sql`greatest(current_order_xid(), order_xid) AS "nextOrderXid",
  (SELECT clock_timestamp() FROM (SELECT count(*) FROM locked) AS all_of_them) AS now,
  capabilities, injection_patterns AS "injectionPatterns"`;

/** That table with each job's capability profile. */
export const LOCKED_WITH_PROFILE = Prisma.sql`locked, LATERAL (
  SELECT capabilities, injection_patterns FROM capability_profiles WHERE id = locked.capability_profile_id LIMIT 1
) AS profile`;

/** What is read of `LOCKED` jobs. */
export const LOCKED_COLUMNS = Prisma.sql`${JOB_COLUMNS}, ${READ_UNDER_LOCK}`;

const REPORTED_COLUMNS = Prisma.sql`${JOB_SUMMARY_COLUMNS},
  CASE access_mode WHEN 'apply_scoped' THEN entity_refs ELSE '[]' END AS "writeScope"`;

/**
 * Locks jobs, in `job_id` order as everyone does (section 4), and reads them as they are under the lock.
 * @param condition a condition on `ai_jobs`; what it reads from other tables must never change.
 */
export async function lockJobs(tx: Transaction, condition: Prisma.Sql): Promise<ReadonlyMap<string, LockedJob>> {
  const rows = await lockRows<LockedJob>(tx, condition, JOB_COLUMNS);
  return new Map(rows.map((row) => [row.jobId, row]));
}

/** The same for many jobs at once, without their documents. */
export function lockJobSummaries(tx: Transaction, condition: Prisma.Sql): Promise<readonly LockedJobSummary[]> {
  return lockRows<LockedJobSummary>(tx, condition, JOB_SUMMARY_COLUMNS);
}

/**
 * The same, with what a worker's report is judged by. By job id.
 * @param ifLocked whether to wait for a row that somebody else holds, or to pass it over.
 */
export async function lockReportedJobs(
  tx: Transaction,
  condition: Prisma.Sql,
  ifLocked: "WAIT" | "SKIP",
): Promise<ReadonlyMap<string, ReportedJob>> {
  const rows = await lockRows<ReportedJob>(tx, condition, REPORTED_COLUMNS, { whenHeld: ifLocked });
  return new Map(rows.map((row) => [row.jobId, row]));
}

/** The same, but reads one job alone, and says how many were locked; undefined where that job is not among them. */
export async function lockJobsAndReadOne(
  tx: Transaction,
  condition: Prisma.Sql,
  jobId: string,
): Promise<{ readonly job: LockedJob; readonly locked: number } | undefined> {
  const columns = Prisma.sql`${JOB_COLUMNS}, (SELECT count(*)::int FROM locked) AS locked`;
  const isThatJob = Prisma.sql`job_id = ${jobId}::uuid`;
  const [row] = await lockRows<LockedJob & { readonly locked: number }>(tx, condition, columns, { read: isThatJob });
  if (!row) return undefined;
  const { locked, ...job } = row;
  return { job, locked };
}

/**
 * @param columns the select list of what a `Job` has of the table.
 * @param read which of the rows that are locked; all where it is left out.
 */
function lockRows<Job extends LockedJobSummary>(
  tx: Transaction,
  condition: Prisma.Sql,
  columns: Prisma.Sql,
  {
    read = Prisma.sql`true`,
    whenHeld = "WAIT",
  }: { readonly read?: Prisma.Sql; readonly whenHeld?: "WAIT" | "SKIP" } = {},
): Promise<Job[]> {
  const skip = whenHeld === "SKIP" ? Prisma.sql`SKIP LOCKED` : Prisma.empty;
  return tx.$queryRaw<Job[]>`
    ${FORCED_GENERIC_PLAN} WITH locked AS MATERIALIZED (SELECT * FROM ai_jobs WHERE ${condition} ORDER BY job_id FOR NO KEY UPDATE ${skip})
    SELECT ${columns}, ${READ_UNDER_LOCK} FROM ${LOCKED_WITH_PROFILE} WHERE ${read}`;
}

/** Locks one job; undefined where there is none, or it is of another workspace. */
export async function lockJob(tx: Transaction, workspaceId: string, jobId: string): Promise<LockedJob | undefined> {
  const jobs = await lockJobs(tx, Prisma.sql`job_id = ${jobId}::uuid AND workspace_id = ${workspaceId}::uuid`);
  return jobs.get(jobId);
}
