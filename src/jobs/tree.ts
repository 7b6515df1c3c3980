import { type AiJob, Prisma } from "../db/generated/client/client.ts";
import { jobColumns } from "../db/job-columns.ts";
import { toDbEnum } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { IllegalTransitionError, InvalidInputError, JobPoisonedError, NotFoundError } from "../errors.ts";
import { type LockedJob, type LockedJobSummary, lockJobSummaries, lockJobsAndReadOne } from "./lock.ts";
import { hasEnded, statesBefore } from "./state.ts";
import { readJob } from "./store.ts";

/** Jobs with a parent: how one joins its tree, and how a tree is locked by whoever cancels or poisons it. */

/** Descendants that the job at the top of a tree may have; the database refuses more, too. */
export const MAX_DESCENDANTS = 1000;

/** What a child has from its parent. */
export type InheritedFromParent = Pick<AiJob, "traceId" | "rootJobId">;

/** Why a parent gets no more children. */
export type ParentError = NotFoundError | JobPoisonedError | IllegalTransitionError | InvalidInputError;

/**
 * The place of a new child, held until the transaction ends: its parent does not end before, and no other child of the
 * tree is counted meanwhile. The parent's row is locked first, then the count, as the database's own rule does it.
 */
export async function reserveChildSlot(
  tx: Transaction,
  workspaceId: string,
  parentJobId: string,
): Promise<InheritedFromParent | ParentError> {
  const parent = await lockParent(tx, workspaceId, parentJobId);
  if (!parent) return new NotFoundError("job that could be the parent");
  const { state, traceId } = parent;
  if (state === "POISONED") return parentPoisonedError(tx, parentJobId);
  if (hasEnded(state)) {
    const message = `The parent is ${state}: a job that has ended gets no more children. Nothing was changed.`;
    return new IllegalTransitionError(state, "QUEUED", null, message);
  }
  const rootJobId = parent.rootJobId ?? parentJobId;
  if ((await countDescendants(tx, rootJobId)) >= MAX_DESCENDANTS) {
    const message = `The job at the top of this tree has ${MAX_DESCENDANTS} descendants already; more are refused.`;
    return new InvalidInputError(["input", "parentJobId"], message);
  }
  return { traceId, rootJobId };
}

/** FOR SHARE: children of one parent do not wait for each other, and whoever would end it waits for them. */
async function lockParent(tx: Transaction, workspaceId: string, jobId: string) {
  const columns = jobColumns(["state", "traceId", "rootJobId"]);
  const [parent] = await tx.$queryRaw<Pick<AiJob, "state" | "traceId" | "rootJobId">[]>`
    SELECT ${columns} FROM ai_jobs
    WHERE job_id = ${jobId}::uuid AND workspace_id = ${workspaceId}::uuid FOR SHARE`;
  return parent;
}

async function parentPoisonedError(tx: Transaction, jobId: string): Promise<JobPoisonedError> {
  const parent = await readJob(tx, jobId);
  if (!parent) throw new Error("A job whose row is locked is there.");
  return new JobPoisonedError(parent, "The parent is poisoned: it gets no more children. Nothing was changed.");
}

async function countDescendants(tx: Transaction, rootJobId: string): Promise<number> {
  const [row] = await tx.$queryRaw<{ descendants: number }[]>`
    SELECT lock_and_count_descendants(${rootJobId}::uuid) AS descendants`;
  if (!row) throw new Error("A call of a function answers one row.");
  return row.descendants;
}

/** A job, and those of its descendants that may take part in what is done to it, their rows locked. */
export interface LockedTree {
  readonly job: LockedJob;
  readonly descendants: readonly LockedJobSummary[];
}

/**
 * Locks a job, whatever its state, and all its descendants that may become `to`, in one statement and in `job_id` order.
 *
 * The descendants are read by a second statement, which looks again: while the first one waited for the rows that it
 * knew of, a child of one of them may have been submitted, whose submit holds no more than its parent's row. What is
 * locked gets no more children, so this ends: at once, unless the tree is growing just now.
 * @returns undefined where there is no such job.
 */
export async function lockTree(
  tx: Transaction,
  jobId: string,
  to: "CANCELLED" | "POISONED",
  workspaceId?: string,
): Promise<LockedTree | undefined> {
  const leavableStates = statesBefore(to).map((state) => toDbEnum(state));
  const inTree = Prisma.sql`job_id = ANY(ARRAY(
    WITH RECURSIVE tree AS (
      SELECT ${jobId}::uuid AS job_id
      UNION ALL SELECT child.job_id FROM ai_jobs child JOIN tree ON child.parent_job_id = tree.job_id
    ) SELECT job_id FROM tree))`;
  const isLeavable = Prisma.sql`state = ANY(${leavableStates}::text[]::"JobState"[])`;
  const inWorkspace = workspaceId === undefined ? Prisma.empty : Prisma.sql`AND workspace_id = ${workspaceId}::uuid`;
  const condition = Prisma.sql`${inTree} AND (job_id = ${jobId}::uuid OR ${isLeavable}) ${inWorkspace}`;
  const first = await lockJobsAndReadOne(tx, condition, jobId);
  if (!first) return undefined;
  const { job } = first;
  for (let lockedCount = first.locked - 1; ; ) {
    const descendants = await lockJobSummaries(
      tx,
      Prisma.sql`${inTree} AND ${isLeavable} AND job_id <> ${jobId}::uuid`,
    );
    if (descendants.length === lockedCount) return { job, descendants: descendants };
    lockedCount = descendants.length;
  }
}
