import { Prisma } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { allWorkspaces } from "../db/scope.ts";
import { type CommandContext, inTransaction, type Transaction } from "../db/transaction.ts";
import { IllegalTransitionError } from "../errors.ts";
import { type LockedJobSummary, lockJobSummaries } from "../jobs/lock.ts";
import { transitionTo } from "../jobs/state.ts";
import { writeVersions } from "../jobs/store.ts";
import { SYSTEM_ACTOR } from "../log/event.ts";
import { releaseLeasesCte } from "../runs/store.ts";

/** Ends jobs whose wait for an answer has passed its time limit (section 13). */

/** The most jobs that one transaction ends: it keeps their rows locked until it commits. */
const MAX_JOBS_PER_BATCH = 100;
/** Jobs of all workspaces wait. */
const ENDING = allWorkspaces("waits");

const IS_OVER = Prisma.sql`waits_until <= statement_timestamp()`;
const OVERDUE = Prisma.sql`job_id IN (
  SELECT job_id FROM ai_jobs WHERE ${IS_OVER} ORDER BY waits_until, job_id LIMIT ${MAX_JOBS_PER_BATCH}) AND ${IS_OVER}`;

/**
 * Fails every job whose time limit for an answer has passed. Several servers may do so at once: jobs that another transaction has locked
 * are skipped, and an answer that committed first has ended the wait.
 * @param signal when aborted, it stops after the current batch.
 * @returns how many jobs were failed.
 * @throws TryAgainError when the database rolled a batch back too often; the batches before it are committed.
 */
export async function failUnansweredJobs(context: CommandContext, signal?: AbortSignal): Promise<number> {
  for (let failed = 0; ; ) {
    if (signal?.aborted) return failed;
    const count = await inTransaction(context, ENDING, async (tx) => {
      const jobs = await lockJobSummaries(tx, OVERDUE, "SKIP");
      await timeOut(tx, jobs);
      return jobs.length;
    });
    failed += count;
    if (count < MAX_JOBS_PER_BATCH) return failed;
  }
}

const REASON = "user_input_timeout";

/** Whether a job has failed because nobody answered in time. */
export function hasTimedOut({ state, statusReason }: Pick<LockedJobSummary, "state" | "statusReason">): boolean {
  return state === "FAILED" && statusReason === REASON;
}

/**
 * The error for who answers or decides when the time limit of the question has passed.
 * @param to the state that the decision would move the job to.
 */
export function tooLateError(to: JobState): IllegalTransitionError {
  const message =
    "The question's time limit has passed, so the job has FAILED. To go on, retry it (retryAiJob): its worker may ask again.";
  return new IllegalTransitionError("FAILED", to, null, message);
}

/** Fails locked jobs that wait for an answer. */
export async function timeOut(tx: Transaction, jobs: readonly LockedJobSummary[]): Promise<void> {
  const errorMessage = "Nobody answered the worker's question in time.";
  const releases = jobs.flatMap(({ workflowRunId: id, now: finishedAt }) =>
    id === null ? [] : [{ id, state: "FAILED", errorMessage, finishedAt, endReason: REASON } as const],
  );
  await writeVersions(
    tx,
    jobs.map((job) => ({
      job,
      set: { ...transitionTo(job, "FAILED", REASON), errorMessage },
      event: { type: "STATE_CHANGED", by: SYSTEM_ACTOR, payload: { reason: REASON } },
    })),
    releaseLeasesCte(releases),
  );
}
