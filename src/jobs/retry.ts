import type { AiJob } from "../db/generated/client/client.ts";
import type { JobSummary } from "../db/job-columns.ts";
import { type CommandContext, inTransaction, type Transaction } from "../db/transaction.ts";
import { BudgetExceededError, IllegalTransitionError, JobPoisonedError, NotFoundError } from "../errors.ts";
import type { Actor } from "../log/event.ts";
import { type LockedJobSummary, lockJob } from "./lock.ts";
import { type PassedBudget, passedBudget } from "./metrics.ts";
import { canRetry, transitionTo } from "./state.ts";
import { type WrittenVersion, writeVersion, writeVersions } from "./store.ts";
import type { JobChange } from "./version.ts";

/** Why a job is not retried. */
export type RetryError = NotFoundError | JobPoisonedError | IllegalTransitionError | BudgetExceededError;

/**
 * Queues a failed or stalled job again, due at once. A person may do so even if no attempts are left: only the retry by policy
 * counts them (section 6). A poisoned job is never retried (section 5).
 * @returns the queued job, or why nothing was changed.
 * @throws TryAgainError when every attempt was rolled back, or the connection broke before the commit: nothing was kept.
 */
export function retryAiJob(
  context: CommandContext,
  workspaceId: string,
  by: Actor,
  jobId: string,
): Promise<AiJob | RetryError> {
  return inTransaction(context, [workspaceId], async (tx) => {
    const job = await lockJob(tx, workspaceId, jobId);
    if (!job) return new NotFoundError("job");
    const refusal = checkRetryable(job);
    if (refusal) return refusal;
    return (await writeVersion(tx, retry(job, by))).job;
  });
}

/** @returns why a job cannot be retried; null where it can. */
export function checkRetryable(job: JobSummary): Exclude<RetryError, NotFoundError> | null {
  if (job.state === "POISONED") return new JobPoisonedError(job);
  if (!canRetry(job.state)) return new IllegalTransitionError(job.state, "QUEUED");
  const passed = passedBudget(job, job);
  return passed && budgetExceeded(passed);
}

/** @returns the error for a retry of a job that is over a budget: the first report of a new attempt would fail it. */
export function budgetExceeded({ of, used, budget }: PassedBudget) {
  const [what, name] = of === "tokens" ? ["tokens", "tokenBudget"] : ["micro-units of cost", "costBudgetMicros"];
  return new BudgetExceededError(
    `The job has used ${used} ${what} of a budget of ${budget}: another attempt could only ` +
      `fail. Nothing was changed; submit a new job with a larger ${name}.`,
  );
}

/**
 * Queues locked jobs again, in one statement for all of them. The caller has checked each of them (`checkRetryable`).
 * @returns the written versions, in the order of `jobs`.
 */
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
    // A job whose outputs a verdict rejected still has their issues.
    set: { ...transitionTo(job, "QUEUED", "retried"), runAfter: null, errorMessage: null, issues: [], releases: 0 },
    event: { type: "STATE_CHANGED", by, payload: { reason: "retried" } },
  };
}
