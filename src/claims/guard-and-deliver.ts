import type { Run } from "../db/rows.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import type { GuardFailedError, IllegalTransitionError, JobPoisonedError } from "../errors.ts";
import { writeVersion } from "../jobs/store.ts";
import { serverFor } from "../log/event.ts";
import { afterFailure } from "../runs/backoff.ts";
import { lockJobsOfRuns } from "../runs/lock.ts";
import { releaseLeasesCte } from "../runs/store.ts";
import { guardContent } from "../security/guard-content.ts";
import type { PoisonedJob } from "../security/poison.ts";
import type { Claim, LeasedJob } from "./acquire-lease.ts";

/** Why a leased job is not delivered: it was poisoned or ended meanwhile, or a guard could not decide. */
export type DeliveryError = JobPoisonedError | IllegalTransitionError | GuardFailedError;

/**
 * Guards the inputs of a leased job, outside any transaction, and returns its lease token only when they pass (section 6).
 * After a crash in between nobody has the token, so the lease expires and recovery queues the job again.
 * @returns the claim with its token; the job, when a guard poisoned it; or why the job is not delivered.
 * @throws TryAgainError when the database rolled a transaction back too often; the job stays leased until the lease expires.
 */
export async function guardAndDeliver(
  engine: EngineContext,
  { claim, inputs }: LeasedJob,
): Promise<Claim | PoisonedJob | DeliveryError> {
  // No precondition: a job's inputs never change, so a finding in them is valid whichever worker has the lease by now.
  const noPrecondition = async () => null;
  const forWorker = { ...engine, client: claim.run.workerId };
  const result = await guardContent<never>(forWorker, claim, inputs, noPrecondition, engine.guards.length);
  switch (result.outcome) {
    case "PASSED":
      return claim;
    case "POISONED":
      return result.poisoned;
    case "VIOLATION_NOT_APPLIED":
      return result.error;
    case "REFUSED":
      await inTransaction(engine, [claim.run.workspaceId], (tx) => failUnguardedRun(tx, engine, claim.run));
      return result.error;
  }
}

/** Fails the run of a job whose inputs were refused, and queues the job again if attempts are left. */
async function failUnguardedRun(tx: Transaction, engine: EngineContext, { id, principalId }: Run): Promise<void> {
  const locked = (await lockJobsOfRuns(tx, [{ workflowRunId: id }])).get(id);
  // The run was recovered, cancelled or poisoned while the guards ran, so it has finished already.
  if (locked?.run.state !== "RUNNING") return;
  const { job } = locked;
  const errorMessage = "A guard could not decide on the job's inputs.";
  const releaseCte = releaseLeasesCte([
    { id, state: "FAILED", errorMessage, finishedAt: job.now, endReason: "guard_failed" },
  ]);
  const set = afterFailure(job, { retryable: true, reason: "guard_failed" }, engine.backoff);
  const event = { type: "STATE_CHANGED" as const, by: serverFor(principalId), payload: { reason: set.statusReason } };
  await writeVersion(tx, { job, set: { ...set, errorMessage }, event }, releaseCte);
}
