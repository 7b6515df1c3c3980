import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import {
  AppError,
  type BudgetExceededError,
  CapabilityDeniedError,
  type ForbiddenError,
  IllegalTransitionError,
  JobPoisonedError,
  NotFoundError,
  TryAgainError,
} from "../errors.ts";
import { type Principal, refuseKind } from "../identity/principal.ts";
import { type LockedJob, lockJob } from "../jobs/lock.ts";
import { checkStartQuotas } from "../quotas/admission.ts";
import type { PoisonedJob } from "../security/poison.ts";
import { acquireLeases, type Claim, type LeasedJob, type SentWorker, type Worker } from "./acquire-lease.ts";
import { type DeliveryError, guardAndDeliver } from "./guard-and-deliver.ts";

/** A worker's request for one named job. */
export interface StartWorkflow extends Worker {
  readonly jobId: string;
  /** The kinds of jobs that the principal may claim; null, as left out, for all. */
  readonly jobKinds?: Principal["jobKinds"];
}

/** The same as a client sends it: what its principal is limited to cannot be left out. */
export type SentStart = SentWorker<StartWorkflow> & Required<Pick<StartWorkflow, "jobKinds">>;

/** Why a job is not queued and due. */
type NotDueError = JobPoisonedError | IllegalTransitionError | TryAgainError;

/** Why a job is not leased. */
type LeaseError = NotDueError | NotFoundError | ForbiddenError | BudgetExceededError | CapabilityDeniedError;

/**
 * Starts one named job: leases it, guards its inputs and delivers the lease token (section 6).
 * @returns the claim with its token; the job, when a guard poisoned it; or why the job was not started.
 * @throws TryAgainError when the database rolled a transaction back too often. When only the one after the guards failed,
 * the job stays leased until the lease expires.
 */
export async function startWorkflow(
  engine: EngineContext,
  workspaceId: string,
  input: StartWorkflow,
): Promise<Claim | PoisonedJob | DeliveryError | LeaseError> {
  const leased = await inTransaction(engine, [workspaceId], (tx) => lease(tx, engine, workspaceId, input));
  return leased instanceof AppError ? leased : guardAndDeliver(engine, leased);
}

async function lease(
  tx: Transaction,
  engine: EngineContext,
  workspaceId: string,
  input: StartWorkflow,
): Promise<LeasedJob | LeaseError> {
  const job = await lockJob(tx, workspaceId, input.jobId);
  if (!job) return new NotFoundError("job");
  const refusal = refuseKind({ jobKinds: input.jobKinds ?? null }, job.jobKind) ?? checkStartable(job);
  if (refusal) return refusal;
  const [overQuota] = await checkStartQuotas(tx, [job]);
  if (overQuota) return overQuota;
  const [outcome] = await acquireLeases(tx, engine, [{ job, worker: input }]);
  if (!outcome) throw new Error("acquireLeases must answer for each job.");
  return "claim" in outcome ? outcome : new CapabilityDeniedError(outcome.capability, outcome.job);
}

/** @returns why a job cannot be started now; null when it can. */
function checkStartable(job: LockedJob): NotDueError | null {
  if (job.state === "POISONED") return new JobPoisonedError(job);
  if (job.state !== "QUEUED") return new IllegalTransitionError(job.state, "RUNNING");
  if (job.waitsFor === "CHILDREN") return new TryAgainError("This job waits for its children. Nothing was changed.");
  if (job.runAfter && job.runAfter > job.now) {
    return new TryAgainError(`This job is not due before ${job.runAfter.toISOString()}. Nothing was changed.`);
  }
  return null;
}
