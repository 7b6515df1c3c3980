import type { AiJob, FlightRecorderEvent, WorkflowRun } from "../db/generated/client/client.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import type { AppError } from "../errors.ts";
import { IllegalTransitionError, JobPoisonedError } from "../errors.ts";
import { writeVersion } from "../jobs/store.ts";
import { ENGINE } from "../log/event.ts";
import { directiveOf } from "../runs/admission.ts";
import { afterFailure } from "../runs/backoff.ts";
import { lockReportedRuns } from "../runs/lock.ts";
import { endRunsCte } from "../runs/store.ts";
import { guardContent } from "../security/guard-content.ts";
import type { SecurityViolation } from "../security/poison.ts";
import type { Claim, LeasedJob } from "./acquire-lease.ts";

/** This call poisoned the job, and that is committed. */
export interface PoisonedJob {
  readonly job: AiJob;
  readonly violation: SecurityViolation;
  readonly event: FlightRecorderEvent;
}

/**
 * Guards the inputs of a job that was leased, outside any transaction, and only then hands out the token (section 6).
 * A crash in between is a lease that expires.
 */
export async function guardAndDeliver(
  engine: Engine,
  { claim, inputs }: LeasedJob,
): Promise<Claim | PoisonedJob | AppError> {
  // The guards are this server's and the inputs are the job's: whoever holds the job meanwhile, what they find stands.
  const guarded = await guardContent(engine, claim.job, inputs, async () => null, engine.guards.length);
  switch (guarded.verdict) {
    case "PASSED":
      return claim;
    case "REFUSED":
      await inTransaction(engine, (tx) => requeueUnguarded(tx, engine, claim.run));
      return guarded.refusal;
    case "TRAPPED": {
      const { violation, outcome } = guarded;
      if (outcome.action === "REFUSED") return outcome.refusal;
      if (outcome.action === "ALREADY_POISONED") return new JobPoisonedError(outcome.job);
      if (outcome.action === "POISONED") return { job: outcome.job, violation, event: outcome.event };
      return new IllegalTransitionError(outcome.job.state, "RUNNING", directiveOf(outcome.job.state));
    }
  }
}

/** A guard could not decide, so nobody gets the job: the run fails, and the job is tried again while it may be. */
async function requeueUnguarded(tx: Transaction, engine: Engine, { id }: WorkflowRun): Promise<void> {
  const leased = (await lockReportedRuns(tx, [{ workflowRunId: id }])).get(id);
  if (leased?.run.state !== "RUNNING") return;
  const { job } = leased;
  const errorMessage = "A guard could not decide on the job's inputs.";
  const ended = endRunsCte([{ id, state: "FAILED", errorMessage, finishedAt: job.now }]);
  const set = afterFailure(job, { retryable: true, reason: "guard_failed" }, engine.backoff);
  const event = { type: "STATE_CHANGED" as const, by: ENGINE, payload: { reason: set.statusReason } };
  await writeVersion(tx, { job, set: { ...set, errorMessage }, event }, ended);
}
