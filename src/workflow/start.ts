import { uuidv7 } from "uuidv7";
import { checkCapability } from "../capabilities/registry.ts";
import {
  AppError,
  CapabilityDeniedError,
  IllegalTransitionError,
  JobPoisonedError,
  NotFoundError,
  TryAgainError,
} from "../errors.ts";
import { type GuardedText, textsOf } from "../guards/guard.ts";
import { countGuards } from "../jobs/metrics.ts";
import { become } from "../jobs/state.ts";
import { type LockedJob, lockJob, recordOne, type Transaction } from "../recorder/commit.ts";
import { denial, ENGINE } from "../recorder/event.ts";
import { inTransaction } from "../recorder/transaction.ts";
import type { AiJob, FlightRecorderEvent, WorkflowRun } from "../storage/generated/client/client.ts";
import type { Engine } from "./engine.ts";
import { directiveOf, leaseUntil, newLeaseToken } from "./lease.ts";
import type { Violation } from "./poison.ts";
import { afterFailure } from "./retry.ts";
import { endRuns, insertRuns, lockReported } from "./runs.ts";
import { guardContent } from "./trap.ts";

export interface StartWorkflow {
  readonly jobId: string;
  readonly workerId: string;
  readonly leaseSeconds: number;
}

/** A job that a worker now holds. The token is shown here and never again. */
export interface Claim {
  readonly job: AiJob;
  readonly run: WorkflowRun;
  readonly leaseToken: string;
}

/** This call poisoned the job, and that is committed. */
export interface Poisoned {
  readonly job: AiJob;
  readonly violation: Violation;
  readonly event: FlightRecorderEvent;
}

/**
 * Takes one named job: leases it, guards its inputs outside the transaction, and only then hands out the token
 * (section 6). A crash in between is a lease that expires.
 */
export async function startWorkflow(
  engine: Engine,
  workspaceId: string,
  input: StartWorkflow,
): Promise<Claim | Poisoned | AppError> {
  const leased = await inTransaction(engine, (tx) => lease(tx, engine, workspaceId, input));
  if (leased instanceof AppError) return leased;
  // The guards are this server's and the inputs are the job's: whoever holds the job meanwhile, what they find stands.
  const guarded = await guardContent(engine, leased.claim.job, leased.texts, async () => null, engine.guards.length);
  switch (guarded.verdict) {
    case "PASSED":
      return leased.claim;
    case "REFUSED":
      await inTransaction(engine, (tx) => giveBack(tx, leased.claim.run));
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

/** Why a job cannot be taken now; null where it can. */
function refuseStart(job: LockedJob): AppError | null {
  if (job.state === "POISONED") return new JobPoisonedError(job);
  if (job.state !== "QUEUED") return new IllegalTransitionError(job.state, "RUNNING");
  if (job.runAfter && job.runAfter > job.now) {
    return new TryAgainError(`This job is not due before ${job.runAfter.toISOString()}. Nothing was changed.`);
  }
  return null;
}

async function lease(
  tx: Transaction,
  engine: Engine,
  workspaceId: string,
  input: StartWorkflow,
): Promise<{ readonly claim: Claim; readonly texts: readonly GuardedText[] } | AppError> {
  const job = await lockJob(tx, workspaceId, input.jobId);
  if (!job) return new NotFoundError("job");
  const refusal = refuseStart(job);
  if (refusal) return refusal;
  const check = checkCapability(job.jobKind, job.capabilities);
  if (!check.granted) return deny(tx, job, check.capability);

  const { token, stored } = newLeaseToken();
  const run: WorkflowRun = {
    id: uuidv7(),
    jobId: job.jobId,
    attempt: job.attempt + 1,
    state: "RUNNING",
    workerId: input.workerId,
    leaseToken: stored,
    leaseExpiresAt: leaseUntil(job.now, input.leaseSeconds),
    lastHeartbeat: job.now,
    errorMessage: null,
    startedAt: job.now,
    finishedAt: null,
  };
  await insertRuns(tx, [run]);
  const texts = textsOf(job.jobInputs, "jobInputs");
  const taken = await recordOne(tx, {
    job,
    set: {
      ...become(job, "RUNNING", "running"),
      // Counted here, where the job's version is made: they run before the token is handed out, or it never is.
      ...countGuards(job, texts.length === 0 ? 0 : engine.guards.length),
      workflowRunId: run.id,
      attempt: run.attempt,
      runAfter: null,
      errorMessage: null,
    },
    event: {
      type: "STATE_CHANGED",
      by: { actor: "AGENT", actorId: input.workerId },
      capabilityId: check.capability,
      payload: { reason: "running", attempt: run.attempt },
    },
  });
  return { claim: { job: taken.job, run, leaseToken: token }, texts };
}

/** The profile no longer suffices: the job fails, with the denial as its event (section 8). */
async function deny(tx: Transaction, job: LockedJob, capability: string): Promise<AppError> {
  const denied = await recordOne(tx, {
    job,
    set: become(job, "FAILED", `capability_denied: ${capability}`),
    event: denial(job, capability, "claim"),
  });
  return new CapabilityDeniedError(capability, denied.job);
}

/** A guard could not decide, so nobody gets the job: the run fails, and the job is tried again while it may be. */
async function giveBack(tx: Transaction, { id }: WorkflowRun): Promise<void> {
  const leased = (await lockReported(tx, [id])).get(id);
  if (leased?.run.state !== "RUNNING") return;
  const { job } = leased;
  const errorMessage = "A guard could not decide on the job's inputs.";
  await endRuns(tx, [{ id, state: "FAILED", errorMessage, finishedAt: job.now }]);
  const set = afterFailure(job, { retryable: true, reason: "guard_failed" });
  const event = { type: "STATE_CHANGED" as const, by: ENGINE, payload: { reason: set.statusReason } };
  await recordOne(tx, { job, set: { ...set, errorMessage }, event });
}
