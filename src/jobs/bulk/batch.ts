import { type BulkAction, Prisma } from "../../db/generated/client/client.ts";
import type { BulkActionKind, JobState } from "../../db/generated/client/enums.ts";
import { type CommandContext, inTransaction, type Transaction } from "../../db/transaction.ts";
import type { Actor } from "../../log/event.ts";
import { cancelLockedJobs, refuseCancel } from "../cancel.ts";
import { type LockedJobSummary, lockJobSummaries } from "../lock.ts";
import { refuseRetry, retryLockedJobs } from "../retry.ts";
import { canRetry, mayBecome } from "../state.ts";
import { type ItemError, toStored } from "./error.ts";
import { type Item, lockPending, type Outcome, writeOutcomes } from "./items.ts";

/** What one kind of bulk action does to a job. */
interface Change {
  /** Whether it can do it to a job in this state. */
  readonly canChange: (state: JobState) => boolean;
  /** Why it cannot do it to this job; null where it can. */
  readonly refuse: (job: LockedJobSummary) => ItemError | null;
  /** Does it to jobs that it can do it to, in a fixed number of statements. */
  readonly apply: (tx: Transaction, jobs: readonly LockedJobSummary[], by: Actor, reason: string) => Promise<unknown>;
}

export const CHANGES = {
  CANCEL: {
    canChange: (state) => mayBecome(state, "CANCELLED"),
    refuse: refuseCancel,
    apply: cancelLockedJobs,
  },
  RETRY: { canChange: canRetry, refuse: refuseRetry, apply: retryLockedJobs },
} as const satisfies Record<BulkActionKind, Change>;

/**
 * Does some items of an action: their jobs' changes and what came of each commit together, or nothing of it does. The
 * jobs' locks decide who does an item where several try; each item is done once. The number of statements does not
 * grow with the number of items.
 */
export function processItems(context: CommandContext, action: BulkAction, items: readonly Item[]): Promise<void> {
  const { refuse, apply }: Change = CHANGES[action.kind];
  return inTransaction(context, async (tx) => {
    const jobIds = items.map(({ jobId }) => jobId);
    const locked = await lockJobSummaries(tx, Prisma.sql`job_id = ANY(${jobIds}::uuid[])`);
    const jobs = new Map(locked.map((job) => [job.jobId, job]));
    // Done by somebody else while this transaction waited for the locks: not this one's any more.
    const pending = await lockPending(tx, action.id, items);
    const decisions = pending.map(({ position, jobId }) => {
      const job = jobs.get(jobId);
      if (!job) throw new Error(`The job ${jobId} of a bulk action is gone.`);
      return { position, job, error: refuse(job) };
    });
    await apply(
      tx,
      decisions.flatMap(({ job, error }) => (error ? [] : [job])),
      { actor: action.actor, actorId: action.actorId },
      action.reason ?? "",
    );
    await writeOutcomes(
      tx,
      action.id,
      decisions.map(({ position, job, error }): Outcome => ({ position, error: error && toStored(error, job) })),
    );
  });
}
