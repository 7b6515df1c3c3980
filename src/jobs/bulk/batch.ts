import { type BulkAction, Prisma } from "../../db/generated/client/client.ts";
import type { BulkActionKind, JobState } from "../../db/generated/client/enums.ts";
import { type CommandContext, inTransaction, type Transaction } from "../../db/transaction.ts";
import { type Actor, humanFor } from "../../log/event.ts";
import { cancelLockedJobs, checkCancellable } from "../cancel.ts";
import { type LockedJobSummary, lockJobSummaries } from "../lock.ts";
import { checkRetryable, retryLockedJobs } from "../retry.ts";
import { canRetry, mayBecome } from "../state.ts";
import { type ItemError, toStored } from "./error.ts";
import { type Item, lockPending, type Outcome, tryLock, writeOutcomes } from "./items.ts";

/** How one kind of bulk action changes jobs. */
interface Change {
  /** Whether a job in this state can be changed. */
  readonly canChange: (state: JobState) => boolean;
  /** @returns why this job cannot be changed; null where it can. */
  readonly check: (job: LockedJobSummary) => ItemError | null;
  /** Changes jobs for which `check` returned null, in a fixed number of statements. */
  readonly apply: (tx: Transaction, jobs: readonly LockedJobSummary[], by: Actor, reason: string) => Promise<unknown>;
}

/** The change of each kind of bulk action. */
export const CHANGES = {
  CANCEL: {
    canChange: (state) => mayBecome(state, "CANCELLED"),
    check: checkCancellable,
    apply: cancelLockedJobs,
  },
  RETRY: { canChange: canRetry, check: checkRetryable, apply: retryLockedJobs },
} as const satisfies Record<BulkActionKind, Change>;

/**
 * Processes some items of an action in one transaction: the changes of their jobs and the outcomes of the items commit together.
 * One server at a time processes an action: a second one would wait for the locks of the first one's jobs, and then find their items
 * processed. The number of statements does not grow with the number of items.
 * @returns false if another server is processing this action; nothing was done.
 * @throws TryAgainError when every attempt was rolled back, or the connection broke before the commit: nothing was kept.
 */
export function processItems(context: CommandContext, action: BulkAction, items: readonly Item[]): Promise<boolean> {
  const { check, apply }: Change = CHANGES[action.kind];
  return inTransaction(context, [action.workspaceId], async (tx) => {
    if (!(await tryLock(tx, action.id))) return false;
    const jobIds = items.map(({ jobId }) => jobId);
    const locked = await lockJobSummaries(tx, Prisma.sql`job_id = ANY(${jobIds}::uuid[])`);
    const jobs = new Map(locked.map((job) => [job.jobId, job]));
    // Skips items that another server processed before this transaction had the lock.
    const pending = await lockPending(tx, action.id, items);
    const decisions = pending.map(({ position, jobId }) => {
      const job = jobs.get(jobId);
      if (!job) throw new Error(`The job ${jobId} of a bulk action was not found.`);
      return { position, job, error: check(job) };
    });
    await apply(
      tx,
      decisions.flatMap(({ job, error }) => (error ? [] : [job])),
      humanFor(action.actorId),
      action.reason ?? "",
    );
    await writeOutcomes(
      tx,
      action.id,
      decisions.map(({ position, job, error }): Outcome => ({ position, error: error && toStored(error, job) })),
    );
    return true;
  });
}
