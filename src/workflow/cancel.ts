import { type AppError, IllegalTransitionError, JobPoisonedError, NotFoundError } from "../errors.ts";
import { become, mayBecome } from "../jobs/state.ts";
import { lockJob, recordOne, type Transaction } from "../recorder/commit.ts";
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
  if (job.state === "POISONED") return new JobPoisonedError(job);
  if (!mayBecome(job.state, "CANCELLED")) return new IllegalTransitionError(job.state, "CANCELLED");
  const detail = redactText(reason);
  if (job.workflowRunId) {
    await endRuns(tx, [{ id: job.workflowRunId, state: "CANCELLED", errorMessage: detail, finishedAt: job.now }]);
  }
  const recorded = await recordOne(tx, {
    job,
    // Outputs may stand while a person decides on them, and not in a job that was cancelled (section 3).
    set: { ...become(job, "CANCELLED", "cancelled"), jobOutputs: null, runAfter: null },
    event: { type: "STATE_CHANGED", by, payload: { reason: "cancelled", detail } },
  });
  return recorded.job;
}
