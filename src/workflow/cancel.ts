import { type AppError, IllegalTransitionError, JobPoisonedError, NotFoundError } from "../errors.ts";
import { become, mayBecome } from "../jobs/state.ts";
import { type LockedJob, lockJob, type Recorded, record, type Transaction } from "../recorder/commit.ts";
import type { Actor } from "../recorder/event.ts";
import { redactText } from "../recorder/redact.ts";
import { inTransaction, type Recorder } from "../recorder/transaction.ts";
import type { AiJob } from "../storage/generated/client/client.ts";
import { endRuns } from "./runs.ts";

export interface CancelAiJob {
  readonly jobId: string;
  readonly reason: string;
}

/** Cancels a job that has not ended. A worker busy with it is told STOP_CANCELLED at its next call; nothing is killed. */
export function cancelAiJob(
  recorder: Recorder,
  workspaceId: string,
  by: Actor,
  input: CancelAiJob,
): Promise<AiJob | AppError> {
  return inTransaction(recorder, (tx) => cancel(tx, workspaceId, by, input));
}

async function cancel(
  tx: Transaction,
  workspaceId: string,
  by: Actor,
  { jobId, reason }: CancelAiJob,
): Promise<AiJob | AppError> {
  const job = await lockJob(tx, workspaceId, jobId);
  if (!job) return new NotFoundError("job");
  const refusal = refuseCancel(job);
  if (refusal) return refusal;
  const [cancelled] = await cancelLocked(tx, [job], by, redactText(reason));
  if (!cancelled) throw new Error("One job that is cancelled makes one record.");
  return cancelled.job;
}

/** Why a job cannot be cancelled; null where it can. */
export function refuseCancel(job: AiJob): JobPoisonedError | IllegalTransitionError | null {
  if (job.state === "POISONED") return new JobPoisonedError(job);
  return mayBecome(job.state, "CANCELLED") ? null : new IllegalTransitionError(job.state, "CANCELLED");
}

/**
 * Cancels jobs that can be, in a fixed number of statements, however many they are.
 * @param detail why, redacted already.
 */
export async function cancelLocked(
  tx: Transaction,
  jobs: readonly LockedJob[],
  by: Actor,
  detail: string,
): Promise<readonly Recorded[]> {
  await endRuns(
    tx,
    jobs.flatMap(({ workflowRunId: id, now: finishedAt }) =>
      id ? [{ id, state: "CANCELLED", errorMessage: detail, finishedAt }] : [],
    ),
  );
  return record(
    tx,
    jobs.map((job) => ({
      job,
      // Outputs may stand while a person decides on them, and not in a job that was cancelled (section 3).
      set: { ...become(job, "CANCELLED", "cancelled"), jobOutputs: null, runAfter: null },
      event: { type: "STATE_CHANGED", by, payload: { reason: "cancelled", detail } },
    })),
  );
}
