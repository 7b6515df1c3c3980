import { AppError, InvalidInputError } from "../errors.ts";
import { addMetrics, type MetricsDelta } from "../jobs/metrics.ts";
import { recordOne, type Transaction } from "../recorder/commit.ts";
import { redactText } from "../recorder/redact.ts";
import { inTransaction } from "../recorder/transaction.ts";
import type { Completed } from "./complete.ts";
import type { Engine } from "./engine.ts";
import { admitReport } from "./lease.ts";
import { afterFailure } from "./retry.ts";
import { type Ending, endRuns, lockReported } from "./runs.ts";

export interface FailWorkflow {
  readonly workflowRunId: string;
  readonly leaseToken: string;
  readonly errorMessage: string;
  readonly retryable: boolean;
  readonly metrics: MetricsDelta;
}

/** Ends a run as failed. The job is queued again while it is worth it and attempts are left, else failed. */
export function failWorkflow(engine: Engine, input: FailWorkflow): Promise<Completed | AppError> {
  return inTransaction(engine, (tx) => fail(tx, input));
}

async function fail(tx: Transaction, input: FailWorkflow): Promise<Completed | AppError> {
  const reported = (await lockReported(tx, [input.workflowRunId])).get(input.workflowRunId);
  const admitted = admitReport(reported, input.leaseToken, "FAILED");
  if (admitted instanceof AppError) return admitted;
  const { job, run } = admitted;
  const metrics = addMetrics(job, input.metrics, ["input", "metrics"]);
  if (metrics instanceof InvalidInputError) return metrics;
  const errorMessage = redactText(input.errorMessage);
  const ending: Ending = { id: run.id, state: "FAILED", errorMessage, finishedAt: job.now };
  await endRuns(tx, [ending]);
  const next = afterFailure(job, { retryable: input.retryable, reason: "failed_by_worker" });
  const recorded = await recordOne(tx, {
    job,
    set: { ...metrics, ...next, errorMessage },
    event: {
      type: "STATE_CHANGED",
      by: { actor: "AGENT", actorId: run.workerId },
      payload: { reason: next.statusReason, retryable: input.retryable, error_message: errorMessage },
    },
  });
  return { job: recorded.job, run: { ...run, ...ending, leaseExpiresAt: null } };
}
