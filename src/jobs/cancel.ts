import type { AiJob } from "../db/generated/client/client.ts";
import type { JobSummary } from "../db/job-columns.ts";
import { type CommandContext, inTransaction, type Transaction } from "../db/transaction.ts";
import { IllegalTransitionError, JobPoisonedError, NotFoundError } from "../errors.ts";
import type { Actor } from "../log/event.ts";
import { redactText } from "../log/redact.ts";
import { endRunsCte, type RunEnd } from "../runs/store.ts";
import { type LockedJobSummary, lockJob } from "./lock.ts";
import { mayBecome, transitionTo } from "./state.ts";
import { type WrittenVersion, writeVersions } from "./store.ts";
import { lockTree } from "./tree.ts";

export interface CancelAiJob {
  readonly jobId: string;
  readonly reason: string;
  /** All its descendants as well, those that have ended apart. */
  readonly includeChildren?: boolean;
}

/** Why a job is not cancelled. */
export type CancelError = NotFoundError | JobPoisonedError | IllegalTransitionError;

/**
 * Cancels a job that has not ended. A worker busy with it is told STOP_CANCELLED at its next call; nothing is killed.
 * @returns the job as it is now, or why nothing was changed.
 */
export function cancelAiJob(
  context: CommandContext,
  workspaceId: string,
  by: Actor,
  input: CancelAiJob,
): Promise<AiJob | CancelError> {
  return inTransaction(context, (tx) => cancel(tx, workspaceId, by, input));
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
  const refusal = refuseCancel(job);
  if (refusal) return refusal;
  const detail = redactText(reason);
  const [cancelled] = await cancelLockedJobs(tx, [job], by, detail);
  if (!cancelled) throw new Error("One job that is cancelled makes one record.");
  await cancelLockedJobs(tx, tree?.descendants ?? [], by, detail, jobId);
  return cancelled.job;
}

/** Why a job cannot be cancelled; null where it can. */
export function refuseCancel(job: JobSummary): Exclude<CancelError, NotFoundError> | null {
  if (job.state === "POISONED") return new JobPoisonedError(job);
  return mayBecome(job.state, "CANCELLED") ? null : new IllegalTransitionError(job.state, "CANCELLED");
}

/**
 * Cancels jobs that can be, in a fixed number of statements, however many they are.
 * @param detail why, redacted already.
 * @param namedAncestorId the job that was named, where these are cancelled as its descendants.
 */
export async function cancelLockedJobs<Job extends LockedJobSummary>(
  tx: Transaction,
  jobs: readonly Job[],
  by: Actor,
  detail: string,
  namedAncestorId?: string,
): Promise<readonly WrittenVersion<Job>[]> {
  const origin = namedAncestorId === undefined ? {} : { cancelled_with: namedAncestorId };
  const runEnds = jobs.flatMap(({ workflowRunId: id, now: finishedAt }): RunEnd[] =>
    id ? [{ id, state: "CANCELLED", errorMessage: detail, finishedAt }] : [],
  );
  return writeVersions(
    tx,
    jobs.map((job) => ({
      job,
      // Outputs may stand while a person decides on them, and not in a job that was cancelled (section 3).
      set: { ...transitionTo(job, "CANCELLED", "cancelled"), jobOutputs: null, runAfter: null },
      event: { type: "STATE_CHANGED", by, payload: { reason: "cancelled", detail, ...origin } },
    })),
    endRunsCte(runEnds),
  );
}
