import { Prisma } from "../db/generated/client/client.ts";
import type { JobSummary } from "../db/job-columns.ts";
import type { Run } from "../db/rows.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import { type AppError, GuardFailedError, IllegalTransitionError, JobPoisonedError } from "../errors.ts";
import { directiveOf } from "../jobs/directive.ts";
import { type LockedJob, lockJobs } from "../jobs/lock.ts";
import { countGuards } from "../jobs/metrics.ts";
import { writeVersion } from "../jobs/store.ts";
import { type Actor, serverFor } from "../log/event.ts";
import { type GuardContent, isPoisoning, type PoisoningError } from "./guards/guard.ts";
import { type PartlyCheckedBy, runGuards } from "./guards/run-guards.ts";
import { type PoisonedJob, type PoisonOutcome, type Precondition, poisonJob, violationOf } from "./poison.ts";

/** What guarding a job's content led to. Everything but PASSED means that the content must not be used. */
export type GuardResult<Refusal extends AppError> =
  /** No guard objected. `guardsRun` is the number of guards that are still to be counted in the job's metrics. */
  | { readonly outcome: "PASSED"; readonly guardsRun: number }
  /** A guard found a security violation, and this call poisoned the job for it. */
  | { readonly outcome: "POISONED"; readonly poisoned: PoisonedJob }
  /** A guard found a security violation, but the job was not poisoned by this call; `error` says why. */
  | { readonly outcome: "VIOLATION_NOT_APPLIED"; readonly error: Refusal | JobPoisonedError | IllegalTransitionError }
  /**
   * The content is refused: a guard could not decide or raised an error that does not poison. Where `precondition` refused, or
   * another call poisoned the job, while the guards ran, `error` says so instead.
   */
  | { readonly outcome: "REFUSED"; readonly error: Refusal | ContentRefusal };

/** Why content is refused that no guard found a security violation in. */
type ContentRefusal = GuardFailedError | JobPoisonedError;

/** A job whose content is guarded, and the run for which, or in which, it is. */
export interface ContentOwner {
  readonly job: Pick<JobSummary, "jobId" | "workspaceId">;
  readonly run: Pick<Run, "principalId">;
}

/** What the functions below need to know about the content's job. */
interface Guarding<Refusal extends AppError> {
  readonly engine: EngineContext;
  readonly workspaceId: string;
  readonly jobId: string;
  /** The actor of what comes of it. */
  readonly by: Actor;
  readonly precondition: Precondition<Refusal>;
}

/**
 * Runs the guards over content of a job, outside any transaction, and poisons the job when a guard finds a security
 * violation (section 5). No other function acts on what a guard finds.
 * @param precondition checked under the job's lock before anything is written. Without it, a worker that lost its lease
 * while the guards ran could still poison the job.
 * @param guardsAlreadyCounted how many of these guards the job's metrics count already.
 * @throws TryAgainError when the database rolled the transaction back too often, or too much large content waits for guards;
 * nothing is stored.
 */
export async function guardContent<Refusal extends AppError = never>(
  engine: EngineContext,
  { job: { workspaceId, jobId }, run: { principalId } }: ContentOwner,
  content: GuardContent,
  precondition: Precondition<Refusal>,
  guardsAlreadyCounted = 0,
): Promise<GuardResult<Refusal>> {
  const guarding = { engine, workspaceId, jobId, by: serverFor(principalId), precondition };
  const outcome = await runGuards(engine, content);
  const guardsRun = Math.max(outcome.guardsRun - guardsAlreadyCounted, 0);
  switch (outcome.outcome) {
    case "passed":
      return passOrRecord(guarding, outcome.partlyChecked, guardsRun);
    case "failed": {
      const { guardName, reason } = outcome;
      return refuseContent(guarding, { code: "GUARD_FAILED", guardName, reason, guardsRun });
    }
    case "raised": {
      const { guardName, error } = outcome;
      if (isPoisoning(error)) return poisonForFinding(guarding, guardName, error, guardsRun);
      return refuseContent(guarding, { code: error.code, guardName, reason: error.trigger, guardsRun });
    }
  }
}

async function poisonForFinding<Refusal extends AppError>(
  { engine, workspaceId, jobId, by, precondition }: Guarding<Refusal>,
  guardName: string,
  error: PoisoningError,
  guardsRun: number,
): Promise<GuardResult<Refusal>> {
  const violation = violationOf(guardName, error);
  const poisoning: PoisonOutcome<Refusal> = await poisonJob(engine, workspaceId, jobId, violation, {
    by,
    guardsRun,
    precondition,
  });
  switch (poisoning.action) {
    case "POISONED":
      return { outcome: "POISONED", poisoned: { job: poisoning.job, violation, event: poisoning.event } };
    case "REFUSED":
      return { outcome: "VIOLATION_NOT_APPLIED", error: poisoning.refusal };
    case "ALREADY_POISONED":
      return { outcome: "VIOLATION_NOT_APPLIED", error: new JobPoisonedError(poisoning.job, "STOP_POISONED") };
    case "RECORDED": {
      // The job completed or was cancelled while the guards ran, so it can no longer go on as running.
      const { state } = poisoning.job;
      return {
        outcome: "VIOLATION_NOT_APPLIED",
        error: new IllegalTransitionError(state, "RUNNING", directiveOf(state)),
      };
    }
  }
}

/** The payload of a `diagnostic` event. */
interface Diagnosis {
  readonly code: string;
  readonly guardName: string;
  readonly reason: string;
  readonly guardsRun: number;
}

/**
 * Refuses content because a guard failed, or raised an error that does not poison, and records why as a `diagnostic` event.
 */
async function refuseContent<Refusal extends AppError>(
  guarding: Guarding<Refusal>,
  diagnosis: Diagnosis,
): Promise<GuardResult<Refusal>> {
  const refusal = await recordDiagnoses(guarding, [diagnosis]);
  return { outcome: "REFUSED", error: refusal ?? new GuardFailedError(diagnosis.guardName) };
}

/** Lets content pass; where guards did not look at all of it, `diagnostic` events say so. */
async function passOrRecord<Refusal extends AppError>(
  guarding: Guarding<Refusal>,
  partlyChecked: readonly PartlyCheckedBy[],
  guardsRun: number,
): Promise<GuardResult<Refusal>> {
  if (partlyChecked.length === 0) return { outcome: "PASSED", guardsRun };
  const diagnoses = partlyChecked.map((partly, index) => {
    return { ...partly, code: "PARTLY_CHECKED", guardsRun: index === 0 ? guardsRun : 0 };
  });
  const refusal = await recordDiagnoses(guarding, diagnoses);
  return refusal === null ? { outcome: "PASSED", guardsRun: 0 } : { outcome: "REFUSED", error: refusal };
}

/** @returns why the content must not be used, whatever the guards say; null where it may, and the diagnoses are recorded. */
async function recordDiagnoses<Refusal extends AppError>(
  { engine, workspaceId, jobId, by, precondition }: Guarding<Refusal>,
  diagnoses: readonly Diagnosis[],
): Promise<Refusal | JobPoisonedError | null> {
  return inTransaction(engine, [workspaceId], async (tx) => {
    let job = (await lockJobs(tx, Prisma.sql`job_id = ${jobId}::uuid`)).get(jobId);
    const refusal = job && (await precondition(tx, job));
    if (refusal) return refusal;
    // Another call poisoned the job while the guards ran; the database refuses any further version of a poisoned job.
    if (job?.state === "POISONED") return new JobPoisonedError(job, "STOP_POISONED");
    for (const diagnosis of job ? diagnoses : []) job = job && (await recordDiagnostic(tx, job, by, diagnosis));
    return null;
  });
}

async function recordDiagnostic(tx: Transaction, job: LockedJob, by: Actor, diagnosis: Diagnosis): Promise<LockedJob> {
  const { code, guardName, reason, guardsRun } = diagnosis;
  const event = { type: "DIAGNOSTIC" as const, by, payload: { code, guard_name: guardName, reason } };
  return (await writeVersion(tx, { job, set: countGuards(job, guardsRun), event })).job;
}
