import type { AiJob } from "../db/generated/client/client.ts";
import type { JobSummary } from "../db/job-columns.ts";
import { type CommandContext, inTransaction, type Transaction } from "../db/transaction.ts";
import { BudgetExceededError, IllegalTransitionError, JobPoisonedError, NotFoundError } from "../errors.ts";
import type { Actor } from "../log/event.ts";
import { type LockedJobSummary, lockJob } from "./lock.ts";
import { isOverBudget } from "./metrics.ts";
import { canRetry, transitionTo } from "./state.ts";
import { type WrittenVersion, writeVersion, writeVersions } from "./store.ts";
import type { JobChange } from "./version.ts";

/** Why a job is not tried again. */
export type RetryError = NotFoundError | JobPoisonedError | IllegalTransitionError | BudgetExceededError;

/**
 * Queues a job again that has failed or stalled, to be taken at once. A person may always retry, whatever attempts are
 * left (section 6): only policy counts them. A poisoned job is never tried again (section 5).
 * @returns the job as it is now, or why nothing was changed.
 */
export function retryAiJob(
  context: CommandContext,
  workspaceId: string,
  by: Actor,
  jobId: string,
): Promise<AiJob | RetryError> {
  return inTransaction(context, async (tx) => {
    const job = await lockJob(tx, workspaceId, jobId);
    if (!job) return new NotFoundError("job");
    const refusal = refuseRetry(job);
    if (refusal) return refusal;
    return (await writeVersion(tx, retry(job, by))).job;
  });
}

/** Why a job cannot be tried again; null where it can. */
export function refuseRetry(job: JobSummary): Exclude<RetryError, NotFoundError> | null {
  if (job.state === "POISONED") return new JobPoisonedError(job);
  if (!canRetry(job.state)) return new IllegalTransitionError(job.state, "QUEUED");
  return isOverBudget(job, job) ? budgetExceeded(job) : null;
}

/** Why a job whose tokens have passed its budget is not tried again: its first report could only fail it. */
export function budgetExceeded(job: Pick<JobSummary, "totalTokens" | "tokenBudget">) {
  return new BudgetExceededError(
    `The job has used ${job.totalTokens} tokens of a budget of ${job.tokenBudget}: another attempt could only ` +
      "fail. Nothing was changed; submit a new job with a larger tokenBudget.",
  );
}

/** Queues jobs that can be tried again, in one statement, however many they are. */
export function retryLockedJobs(
  tx: Transaction,
  jobs: readonly LockedJobSummary[],
  by: Actor,
): Promise<readonly WrittenVersion<LockedJobSummary>[]> {
  return writeVersions(
    tx,
    jobs.map((job) => retry(job, by)),
  );
}

function retry<Job extends LockedJobSummary>(job: Job, by: Actor): JobChange<Job> {
  return {
    job,
    // Issues may be left from outputs that a verdict rejected.
    set: { ...transitionTo(job, "QUEUED", "retried"), runAfter: null, errorMessage: null, issues: [] },
    event: { type: "STATE_CHANGED", by, payload: { reason: "retried" } },
  };
}
