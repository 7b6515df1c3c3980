import { canRetry, mayBecome } from "../jobs/state.ts";
import type { Actor } from "../recorder/event.ts";
import { type LockedHead, lockHeads } from "../recorder/lock.ts";
import { inTransaction, type Recorder, type Transaction } from "../recorder/transaction.ts";
import { type BulkAction, Prisma } from "../storage/generated/client/client.ts";
import type { BulkActionKind, JobState } from "../storage/generated/client/enums.ts";
import { type ItemError, toStored } from "./bulk-error.ts";
import { type Item, lockPending, type Outcome, settleItems } from "./bulk-items.ts";
import { cancelLocked, refuseCancel } from "./cancel.ts";
import { refuseRetry, retryLocked } from "./retry-job.ts";

/** What one kind of bulk action does to a job. */
interface Change {
  /** Whether it can do it to a job in this state. */
  readonly leaves: (state: JobState) => boolean;
  /** Why it cannot do it to this job; null where it can. */
  readonly refuse: (job: LockedHead) => ItemError | null;
  /** Does it to jobs that it can do it to, in a fixed number of statements. */
  readonly apply: (tx: Transaction, jobs: readonly LockedHead[], by: Actor, reason: string) => Promise<unknown>;
}

export const CHANGES = {
  CANCEL: {
    leaves: (state) => mayBecome(state, "CANCELLED"),
    refuse: refuseCancel,
    apply: cancelLocked,
  },
  RETRY: { leaves: canRetry, refuse: refuseRetry, apply: retryLocked },
} as const satisfies Record<BulkActionKind, Change>;

/**
 * Does some items of an action: their jobs' changes and what came of each commit together, or nothing of it does. The
 * jobs' locks decide who does an item where several try; each item is done once. The number of statements does not
 * grow with the number of items.
 */
export function doItems(recorder: Recorder, action: BulkAction, items: readonly Item[]): Promise<void> {
  const { refuse, apply }: Change = CHANGES[action.kind];
  return inTransaction(recorder, async (tx) => {
    const jobIds = items.map(({ jobId }) => jobId);
    const locked = await lockHeads(tx, Prisma.sql`job_id = ANY(${jobIds}::uuid[])`);
    const jobs = new Map(locked.map((job) => [job.jobId, job]));
    // Done by somebody else while this transaction waited for the locks: not this one's any more.
    const pending = await lockPending(tx, action.id, items);
    const judged = pending.map(({ position, jobId }) => {
      const job = jobs.get(jobId);
      if (!job) throw new Error(`The job ${jobId} of a bulk action is gone.`);
      return { position, job, error: refuse(job) };
    });
    await apply(
      tx,
      judged.flatMap(({ job, error }) => (error ? [] : [job])),
      { actor: action.actor, actorId: action.actorId },
      action.reason ?? "",
    );
    await settleItems(
      tx,
      action.id,
      judged.map(({ position, job, error }): Outcome => ({ position, error: error && toStored(error, job) })),
    );
  });
}
