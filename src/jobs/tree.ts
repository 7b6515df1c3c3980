import { type AiJob, Prisma } from "../db/generated/client/client.ts";
import { jobColumns } from "../db/job-columns.ts";
import { type Label, labelsOf } from "../db/job-labels.ts";
import { toDbEnum } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { IllegalTransitionError, InvalidInputError, JobPoisonedError, NotFoundError } from "../errors.ts";
import { type LockedJob, type LockedJobSummary, lockJobSummaries, lockJobsAndReadOne } from "./lock.ts";
import { hasEnded, statesBefore } from "./state.ts";
import { readJob } from "./store.ts";

/** Trees of jobs: adding a child to a parent, and locking a job with its descendants to cancel or poison them (section 6). */

/** The largest number of descendants of a job without a parent. The database enforces the same limit. */
export const MAX_DESCENDANTS = 1000;

/** What a child gets from its parent. */
export type InheritedFromParent = Pick<AiJob, "traceId" | "rootJobId"> & {
  /** The parent's labels, which it gets unless it has its own. */
  readonly labels: readonly Label[];
};

/** Why a job cannot become a parent, or gets no more children. */
export type ParentError = NotFoundError | JobPoisonedError | IllegalTransitionError | InvalidInputError;

/**
 * Reserves a slot for a new child in a tree: until the transaction ends, the parent cannot end, and no other transaction can
 * count the tree's descendants. Locks the parent's row, then the count; the database's trigger uses the same
 * order, so the two cannot deadlock (section 4).
 * @returns what the child inherits; or why it is refused.
 */
export async function reserveChildSlot(
  tx: Transaction,
  workspaceId: string,
  parentJobId: string,
): Promise<InheritedFromParent | ParentError> {
  const parent = await lockParent(tx, workspaceId, parentJobId);
  if (!parent) return new NotFoundError("job that could be the parent");
  const { state, traceId, labels } = parent;
  if (state === "POISONED") return parentPoisonedError(tx, parentJobId);
  if (hasEnded(state)) {
    const message = `The parent is ${state}: a job that has ended gets no more children. Nothing was changed.`;
    return new IllegalTransitionError(state, "QUEUED", null, message);
  }
  const rootJobId = parent.rootJobId ?? parentJobId;
  if ((await countDescendants(tx, rootJobId)) >= MAX_DESCENDANTS) {
    const message = `The job at the top of this tree already has ${MAX_DESCENDANTS} descendants, the largest number allowed.`;
    return new InvalidInputError(["input", "parentJobId"], message);
  }
  return { traceId, rootJobId, labels: labels ?? [] };
}

/** Locks FOR SHARE: submits of several children do not wait for each other, and a change that ends the parent waits for them. */
async function lockParent(tx: Transaction, workspaceId: string, jobId: string) {
  const columns = jobColumns(["state", "traceId", "rootJobId"]);
  const [parent] = await tx.$queryRaw<
    (Pick<AiJob, "state" | "traceId" | "rootJobId"> & { readonly labels: readonly Label[] | null })[]
  >`
    SELECT ${columns}, ${labelsOf(Prisma.sql`ai_jobs`)} AS labels FROM ai_jobs
    WHERE job_id = ${jobId}::uuid AND workspace_id = ${workspaceId}::uuid FOR SHARE`;
  return parent;
}

async function parentPoisonedError(tx: Transaction, jobId: string): Promise<JobPoisonedError> {
  const parent = await readJob(tx, jobId);
  if (!parent) throw new Error("A job whose row is locked was not found.");
  return new JobPoisonedError(parent, null, "The parent is poisoned: it gets no more children. Nothing was changed.");
}

async function countDescendants(tx: Transaction, rootJobId: string): Promise<number> {
  const [row] = await tx.$queryRaw<{ descendants: number }[]>`
    SELECT lock_and_count_descendants(${rootJobId}::uuid) AS descendants`;
  if (!row) throw new Error("lock_and_count_descendants returned no row.");
  return row.descendants;
}

/** A job, and those of its descendants to which the same change may be applied. All their rows are locked. */
export interface LockedTree {
  readonly job: LockedJob;
  readonly descendants: readonly LockedJobSummary[];
}

/**
 * Locks a job in any state, and all its descendants that may enter the state `to`, in `job_id` order (section 4).
 *
 * A first statement locks the rows that its snapshot shows. While it waits for one of them, a child of one of these jobs may
 * be submitted: that submit locks only its parent's row. So a second statement searches the tree again, and is repeated until
 * it finds no further job. This ends, because a locked job gets no more children; usually the second statement finds none.
 * @param workspaceId where given, a job of another workspace is not found.
 * @returns undefined where there is no such job.
 */
export async function lockTree(
  tx: Transaction,
  jobId: string,
  to: "CANCELLED" | "POISONED",
  workspaceId?: string,
): Promise<LockedTree | undefined> {
  const fromStates = statesBefore(to).map((state) => toDbEnum(state));
  const inTree = Prisma.sql`job_id = ANY(ARRAY(
    WITH RECURSIVE tree AS (
      SELECT ${jobId}::uuid AS job_id
      UNION ALL SELECT child.job_id FROM ai_jobs child JOIN tree ON child.parent_job_id = tree.job_id
    ) SELECT job_id FROM tree))`;
  const canEnter = Prisma.sql`state = ANY(${fromStates}::text[]::"JobState"[])`;
  const inWorkspace = workspaceId === undefined ? Prisma.empty : Prisma.sql`AND workspace_id = ${workspaceId}::uuid`;
  const condition = Prisma.sql`${inTree} AND (job_id = ${jobId}::uuid OR ${canEnter}) ${inWorkspace}`;
  const first = await lockJobsAndReadOne(tx, condition, jobId);
  if (!first) return undefined;
  const { job } = first;
  for (let lockedCount = first.lockedCount - 1; ; ) {
    const descendants = await lockJobSummaries(tx, Prisma.sql`${inTree} AND ${canEnter} AND job_id <> ${jobId}::uuid`);
    if (descendants.length === lockedCount) return { job, descendants };
    lockedCount = descendants.length;
  }
}
