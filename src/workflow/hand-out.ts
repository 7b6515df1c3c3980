import type { AppError } from "../errors.ts";
import { IllegalTransitionError, JobPoisonedError } from "../errors.ts";
import { recordOne } from "../recorder/commit.ts";
import { ENGINE } from "../recorder/event.ts";
import { inTransaction, type Transaction } from "../recorder/transaction.ts";
import type { AiJob, FlightRecorderEvent, WorkflowRun } from "../storage/generated/client/client.ts";
import type { Engine } from "./engine.ts";
import { directiveOf } from "./lease.ts";
import type { Claim, Leased } from "./leasing.ts";
import type { Violation } from "./poison.ts";
import { afterFailure } from "./retry.ts";
import { endedRuns, lockReported } from "./runs.ts";
import { guardContent } from "./trap.ts";

/** This call poisoned the job, and that is committed. */
export interface Poisoned {
  readonly job: AiJob;
  readonly violation: Violation;
  readonly event: FlightRecorderEvent;
}

/**
 * Guards the inputs of a job that was leased, outside any transaction, and only then hands out the token (section 6).
 * A crash in between is a lease that expires.
 */
export async function handOut(engine: Engine, { claim, inputs }: Leased): Promise<Claim | Poisoned | AppError> {
  // The guards are this server's and the inputs are the job's: whoever holds the job meanwhile, what they find stands.
  const guarded = await guardContent(engine, claim.job, inputs, async () => null, engine.guards.length);
  switch (guarded.verdict) {
    case "PASSED":
      return claim;
    case "REFUSED":
      await inTransaction(engine, (tx) => giveBack(tx, engine, claim.run));
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
async function giveBack(tx: Transaction, engine: Engine, { id }: WorkflowRun): Promise<void> {
  const leased = (await lockReported(tx, [{ workflowRunId: id }])).get(id);
  if (leased?.run.state !== "RUNNING") return;
  const { job } = leased;
  const errorMessage = "A guard could not decide on the job's inputs.";
  const ended = endedRuns([{ id, state: "FAILED", errorMessage, finishedAt: job.now }]);
  const set = afterFailure(job, { retryable: true, reason: "guard_failed" }, engine.backoff);
  const event = { type: "STATE_CHANGED" as const, by: ENGINE, payload: { reason: set.statusReason } };
  await recordOne(tx, { job, set: { ...set, errorMessage }, event }, ended);
}
