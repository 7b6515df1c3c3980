import {
  type AppError,
  BudgetExceededError,
  IllegalTransitionError,
  JobPoisonedError,
  NotFoundError,
} from "../errors.ts";
import { isOverBudget } from "../jobs/metrics.ts";
import { become, canRetry } from "../jobs/state.ts";
import { type JobChange, type Recorded, record, recordOne } from "../recorder/commit.ts";
import type { Actor } from "../recorder/event.ts";
import { type LockedHead, lockJob } from "../recorder/lock.ts";
import { inTransaction, type Recorder, type Transaction } from "../recorder/transaction.ts";
import type { JobHead } from "../storage/columns.ts";
import type { AiJob } from "../storage/generated/client/client.ts";

/**
 * Queues a job again that has failed or stalled, to be taken at once. A person may always retry, whatever attempts are
 * left (section 6): only policy counts them. A poisoned job is never tried again (section 5).
 */
export function retryAiJob(
  recorder: Recorder,
  workspaceId: string,
  by: Actor,
  jobId: string,
): Promise<AiJob | AppError> {
  return inTransaction(recorder, async (tx) => {
    const job = await lockJob(tx, workspaceId, jobId);
    if (!job) return new NotFoundError("job");
    const refusal = refuseRetry(job);
    if (refusal) return refusal;
    return (await recordOne(tx, retry(job, by))).job;
  });
}

/** Why a job cannot be tried again; null where it can. */
export function refuseRetry(job: JobHead): JobPoisonedError | IllegalTransitionError | BudgetExceededError | null {
  if (job.state === "POISONED") return new JobPoisonedError(job);
  if (!canRetry(job.state)) return new IllegalTransitionError(job.state, "QUEUED");
  return isOverBudget(job, job) ? budgetPassed(job) : null;
}

/** Why a job whose tokens have passed its budget is not tried again: its first report could only fail it. */
export function budgetPassed(spent: Pick<JobHead, "totalTokens" | "tokenBudget">) {
  return new BudgetExceededError(
    `The job has used ${spent.totalTokens} tokens of a budget of ${spent.tokenBudget}: another attempt could only ` +
      "fail. Nothing was changed; submit a new job with a larger tokenBudget.",
  );
}

/** Queues jobs that can be tried again, in one statement, however many they are. */
export function retryLocked(
  tx: Transaction,
  jobs: readonly LockedHead[],
  by: Actor,
): Promise<readonly Recorded<LockedHead>[]> {
  return record(
    tx,
    jobs.map((job) => retry(job, by)),
  );
}

function retry<Job extends LockedHead>(job: Job, by: Actor): JobChange<Job> {
  return {
    job,
    // Issues may be left from outputs that a verdict rejected.
    set: { ...become(job, "QUEUED", "retried"), runAfter: null, errorMessage: null, issues: [] },
    event: { type: "STATE_CHANGED", by, payload: { reason: "retried" } },
  };
}
