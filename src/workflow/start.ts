import {
  AppError,
  CapabilityDeniedError,
  IllegalTransitionError,
  JobPoisonedError,
  NotFoundError,
  TryAgainError,
} from "../errors.ts";
import { refuseStartsByQuota } from "../quotas/admission.ts";
import { type LockedJob, lockJob } from "../recorder/lock.ts";
import { inTransaction, type Transaction } from "../recorder/transaction.ts";
import type { Engine } from "./engine.ts";
import { handOut, type Poisoned } from "./hand-out.ts";
import { type Claim, type Leased, leaseJobs, type Worker } from "./leasing.ts";

export interface StartWorkflow extends Worker {
  readonly jobId: string;
}

/** Takes one named job: leases it, guards its inputs, and hands out the token (section 6). */
export async function startWorkflow(
  engine: Engine,
  workspaceId: string,
  input: StartWorkflow,
): Promise<Claim | Poisoned | AppError> {
  const leased = await inTransaction(engine, (tx) => lease(tx, engine, workspaceId, input));
  return leased instanceof AppError ? leased : handOut(engine, leased);
}

async function lease(
  tx: Transaction,
  engine: Engine,
  workspaceId: string,
  input: StartWorkflow,
): Promise<Leased | AppError> {
  const job = await lockJob(tx, workspaceId, input.jobId);
  if (!job) return new NotFoundError("job");
  const refusal = refuseStart(job);
  if (refusal) return refusal;
  const [overQuota] = await refuseStartsByQuota(tx, [job]);
  if (overQuota) return overQuota;
  const [outcome] = await leaseJobs(tx, engine, [{ job, worker: input }]);
  if (!outcome) throw new Error("A job is leased or denied.");
  return "claim" in outcome ? outcome : new CapabilityDeniedError(outcome.capability, outcome.job);
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
