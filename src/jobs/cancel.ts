import type { AiJob } from "../db/generated/client/client.ts";
import type { JobSummary } from "../db/job-columns.ts";
import { type CommandContext, inTransaction, type Transaction } from "../db/transaction.ts";
import { IllegalTransitionError, JobPoisonedError, NotFoundError } from "../errors.ts";
import type { Actor } from "../log/event.ts";
import { redactText } from "../log/redact.ts";
import { type LeaseRelease, releaseLeasesCte } from "../runs/store.ts";
import { type LockedJobSummary, lockJob } from "./lock.ts";
import { mayBecome, transitionTo } from "./state.ts";
import { type WrittenVersion, writeVersions } from "./store.ts";
import { lockTree } from "./tree.ts";

/** The input of a cancellation. */
export interface CancelAiJob {
  readonly jobId: string;
  readonly reason: string;
  /** Whether its descendants that have not ended are cancelled, too. Default: false. */
  readonly includeChildren?: boolean;
}

/** Why a job is not cancelled. */
export type CancelError = NotFoundError | JobPoisonedError | IllegalTransitionError;

/**
 * Cancels a job that has not ended (section 4). A worker that is busy with it is not interrupted: its next call is answered
 * with STOP_CANCELLED, and it hears so at once where it listens (section 13).
 * @returns the cancelled job, or why nothing was changed.
 * @throws TryAgainError when every attempt was rolled back, or the connection broke before the commit: nothing was kept.
 */
export function cancelAiJob(
  context: CommandContext,
  workspaceId: string,
  by: Actor,
  input: CancelAiJob,
): Promise<AiJob | CancelError> {
  return inTransaction(context, [workspaceId], (tx) => cancel(tx, workspaceId, by, input));
}

async function cancel(
  tx: Transaction,
  workspaceId: string,
  by: Actor,
  { jobId, reason, includeChildren = false }: CancelAiJob,
): Promise<AiJob | CancelError> {
  const tree = includeChildren ? await lockTree(tx, jobId, "CANCELLED", workspaceId) : undefined;
  const job = includeChildren ? tree?.job : await lockJob(tx, workspaceId, jobId);
  if (!job) return new NotFoundError("job");
  const refusal = checkCancellable(job);
  if (refusal) return refusal;
  const detail = redactText(reason);
  const [cancelled] = await cancelLockedJobs(tx, [job], by, detail);
  if (!cancelled) throw new Error("The cancellation of one job must write one version.");
  await cancelLockedJobs(tx, tree?.descendants ?? [], by, detail, jobId);
  return cancelled.job;
}

/** @returns why a job cannot be cancelled; null where it can. */
export function checkCancellable(job: JobSummary): Exclude<CancelError, NotFoundError> | null {
  if (job.state === "POISONED") return new JobPoisonedError(job);
  return mayBecome(job.state, "CANCELLED") ? null : new IllegalTransitionError(job.state, "CANCELLED");
}

/**
 * Cancels locked jobs, in one statement for all of them. The caller has checked each of them (`checkCancellable`).
 * @param detail the reason, already redacted.
 * @param namedAncestorId the job that the caller named, where these jobs are cancelled as its descendants.
 * @returns the written versions, in the order of `jobs`.
 */
export async function cancelLockedJobs<Job extends LockedJobSummary>(
  tx: Transaction,
  jobs: readonly Job[],
  by: Actor,
  detail: string,
  namedAncestorId?: string,
): Promise<readonly WrittenVersion<Job>[]> {
  const origin = namedAncestorId === undefined ? {} : { cancelled_with: namedAncestorId };
  const releases = jobs.flatMap(({ workflowRunId: id, now: finishedAt }): LeaseRelease[] =>
    id ? [{ id, state: "CANCELLED", errorMessage: detail, finishedAt, endReason: "cancelled" }] : [],
  );
  return writeVersions(
    tx,
    jobs.map((job) => ({
      job,
      // A job that awaits a decision has outputs; a cancelled job has none (section 3).
      set: { ...transitionTo(job, "CANCELLED", "cancelled"), jobOutputs: null, runAfter: null },
      event: { type: "STATE_CHANGED", by, payload: { reason: "cancelled", detail, ...origin } },
    })),
    releaseLeasesCte(releases),
  );
}
