import { type AiJob, Prisma } from "../db/generated/client/client.ts";
import { type DocumentField, JOB_COLUMNS, JOB_SUMMARY_COLUMNS } from "../db/job-columns.ts";
import { type Label, labelsOf } from "../db/job-labels.ts";
import { PREPARE_MARKER } from "../db/prepared.ts";
import type { JsonValue } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";

/** Locks on job rows. A transaction that writes a job, its runs or its nodes must lock the job's row first (section 4). */

/** A job whose row this transaction has locked, read under the lock: nobody else can change it until the transaction ends. */
export type LockedJob = AiJob & {
  /** `order_xid` of the next version: the greater of this transaction's id and the job's last (section 4). */
  readonly nextOrderXid: bigint;
  /** The time by the database's clock, read after the lock was acquired. Leases are compared with it. */
  readonly now: Date;
  /** The capabilities that its capability profile grants now (section 8). */
  readonly capabilities: readonly string[];
  /** The patterns of that profile, which PromptInjectionGuard seeks in addition to its own (section 7). */
  readonly injectionPatterns: readonly string[];
  /** Its labels, by key; null where it has none. A worker gets them with the job, so they are guarded with it. */
  readonly labels: readonly Label[] | null;
};

/** A locked job without its documents, so that a thousand jobs fit into memory. It is enough for a change of state. */
export type LockedJobSummary = Omit<LockedJob, DocumentField | "labels">;

/** A locked job without its documents, but with the entities that it may write: what is needed to check a worker's report. */
export type LockedJobWithWriteScope = LockedJobSummary & {
  /** Its `entity_refs` if it is `apply_scoped`: the entities that it may write. An empty list otherwise. */
  readonly writeScope: JsonValue;
};

/**
 * What a `LockedJob` has in addition to its own columns, selected from a table named `locked`. The clock is read in a subquery
 * that counts all of `locked`, and so after the last wait for a lock. Otherwise the time could be from before a wait for
 * another row of the batch, and a lease that expired during the wait would still count as valid.
 */
const READ_UNDER_LOCK = Prisma.sql`greatest((SELECT current_order_xid()), order_xid) AS "nextOrderXid",
  (SELECT clock_timestamp() FROM (SELECT count(*) FROM locked) AS all_of_them) AS now,
  capabilities, injection_patterns AS "injectionPatterns"`;

/** The table `locked`, joined with each job's capability profile. */
export const LOCKED_WITH_PROFILE = Prisma.sql`locked, LATERAL (
  SELECT capabilities, injection_patterns FROM capability_profiles WHERE id = locked.capability_profile_id LIMIT 1
) AS profile`;

/** The columns of a `LockedJob` that are its own. */
const OWN_COLUMNS = Prisma.sql`${JOB_COLUMNS}, ${labelsOf(Prisma.sql`locked`)} AS labels`;

/** The select list of a `LockedJob`. */
export const LOCKED_COLUMNS = Prisma.sql`${OWN_COLUMNS}, ${READ_UNDER_LOCK}`;

const COLUMNS_WITH_WRITE_SCOPE = Prisma.sql`${JOB_SUMMARY_COLUMNS},
  CASE access_mode WHEN 'apply_scoped' THEN entity_refs ELSE '[]' END AS "writeScope"`;

/**
 * Locks jobs in `job_id` order (section 4), and reads them under the lock.
 * @param condition a condition on `ai_jobs`. What it reads from other tables must never change: after a wait for a lock,
 *   PostgreSQL checks it again with the new version of the job's row, but with the old rows of other tables.
 * @returns the jobs by their ids.
 */
export async function lockJobs(tx: Transaction, condition: Prisma.Sql): Promise<ReadonlyMap<string, LockedJob>> {
  const rows = await lockRows<LockedJob>(tx, condition, OWN_COLUMNS);
  return new Map(rows.map((row) => [row.jobId, row]));
}

/**
 * The same without the documents, for many jobs at once.
 * @param ifLocked whether to wait for a row that another transaction has locked, or to skip it.
 * @returns the jobs in any order.
 */
export function lockJobSummaries(
  tx: Transaction,
  condition: Prisma.Sql,
  ifLocked: "WAIT" | "SKIP" = "WAIT",
): Promise<readonly LockedJobSummary[]> {
  return lockRows<LockedJobSummary>(tx, condition, JOB_SUMMARY_COLUMNS, { ifLocked });
}

/**
 * The same with each job's write scope, to check workers' reports.
 * @param ifLocked whether to wait for a row that another transaction has locked, or to skip it.
 * @returns the jobs by their ids.
 */
export async function lockJobsWithWriteScope(
  tx: Transaction,
  condition: Prisma.Sql,
  ifLocked: "WAIT" | "SKIP",
): Promise<ReadonlyMap<string, LockedJobWithWriteScope>> {
  const rows = await lockRows<LockedJobWithWriteScope>(tx, condition, COLUMNS_WITH_WRITE_SCOPE, { ifLocked });
  return new Map(rows.map((row) => [row.jobId, row]));
}

/**
 * Locks jobs as `lockJobs` does, but reads only one of them.
 * @returns that job and the number of locked jobs; undefined where the job is not among them.
 */
export async function lockJobsAndReadOne(
  tx: Transaction,
  condition: Prisma.Sql,
  jobId: string,
): Promise<{ readonly job: LockedJob; readonly lockedCount: number } | undefined> {
  const columns = Prisma.sql`${OWN_COLUMNS}, (SELECT count(*)::int FROM locked) AS "lockedCount"`;
  const isThatJob = Prisma.sql`job_id = ${jobId}::uuid`;
  const [row] = await lockRows<LockedJob & { readonly lockedCount: number }>(tx, condition, columns, {
    rowsToRead: isThatJob,
  });
  if (!row) return undefined;
  const { lockedCount, ...job } = row;
  return { job, lockedCount };
}

/**
 * Locks rows and reads them.
 * @param columns the select list of a `Job`'s own columns.
 * @param rowsToRead a condition on the locked rows that are read; all of them where it is left out.
 * @param ifLocked whether to wait for a row that another transaction has locked, or to skip it.
 */
function lockRows<Job extends LockedJobSummary>(
  tx: Transaction,
  condition: Prisma.Sql,
  columns: Prisma.Sql,
  {
    rowsToRead = Prisma.sql`true`,
    ifLocked = "WAIT",
  }: { readonly rowsToRead?: Prisma.Sql; readonly ifLocked?: "WAIT" | "SKIP" } = {},
): Promise<Job[]> {
  const skip = ifLocked === "SKIP" ? Prisma.sql`SKIP LOCKED` : Prisma.empty;
  return tx.$queryRaw<Job[]>`
    ${PREPARE_MARKER} WITH locked AS MATERIALIZED (SELECT * FROM ai_jobs WHERE ${condition} ORDER BY job_id FOR NO KEY UPDATE ${skip})
    SELECT ${columns}, ${READ_UNDER_LOCK} FROM ${LOCKED_WITH_PROFILE} WHERE ${rowsToRead}`;
}

/** Locks one job. @returns undefined where there is none of this id in this workspace. */
export async function lockJob(tx: Transaction, workspaceId: string, jobId: string): Promise<LockedJob | undefined> {
  const jobs = await lockJobs(tx, Prisma.sql`job_id = ${jobId}::uuid AND workspace_id = ${workspaceId}::uuid`);
  return jobs.get(jobId);
}
