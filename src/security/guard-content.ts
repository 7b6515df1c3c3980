import { Prisma } from "../db/generated/client/client.ts";
import type { JobSummary } from "../db/job-columns.ts";
import { inTransaction, readWithRetry, type Transaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import { type AppError, GuardFailedError, JobPoisonedError } from "../errors.ts";
import { type LockedJob, lockJobs } from "../jobs/lock.ts";
import { countGuards } from "../jobs/metrics.ts";
import { writeVersion } from "../jobs/store.ts";
import { ENGINE } from "../log/event.ts";
import { type AceError, type GuardContent, isPoisoning } from "./guards/guard.ts";
import { runGuards } from "./guards/run-guards.ts";
import { type PoisonOutcome, type Precondition, poisonJob, type SecurityViolation, violationOf } from "./poison.ts";

/** What came of guarding content. */
export type GuardResult<Refusal extends AppError> =
  | { readonly verdict: "PASSED"; readonly guardsRun: number }
  /** A guard found what poisons a job, and this was done about it. */
  | { readonly verdict: "TRAPPED"; readonly violation: SecurityViolation; readonly outcome: PoisonOutcome<Refusal> }
  /** A guard could not decide, so the content is not accepted. */
  | { readonly verdict: "REFUSED"; readonly refusal: Refusal | GuardRefusal };

/** Why content is refused that a guard could not decide about: or, its job has been poisoned meanwhile. */
type GuardRefusal = GuardFailedError | JobPoisonedError;

/**
 * Runs the guards over content of a job, outside any transaction, and poisons the job when one of them finds something
 * that poisons: the one place where a guard's finding becomes a change (section 5).
 * @param precondition judged under the job's lock before anything is written: a report that lost its lease can never poison.
 * @param counted how many of these guards the job's metrics count already.
 * @throws TryAgainError where the database gave way too often; nothing was kept.
 */
export async function guardContent<Refusal extends AppError = never>(
  engine: Engine,
  job: JobSummary,
  content: GuardContent,
  precondition: Precondition<Refusal>,
  counted = 0,
): Promise<GuardResult<Refusal>> {
  const outcome = await runGuards(engine.guards, content, engine.guardTimeoutMs);
  const guardsRun = Math.max(outcome.guardsRun - counted, 0);
  switch (outcome.outcome) {
    case "passed":
      return { verdict: "PASSED", guardsRun };
    case "failed": {
      const { guardName, reason } = outcome;
      const refusal = await recordGuardFailure(
        engine,
        job,
        { code: "GUARD_FAILED", guardName, reason, guardsRun },
        precondition,
      );
      return { verdict: "REFUSED", refusal };
    }
    case "raised":
      return handleFinding(engine, job, outcome.guardName, outcome.error, guardsRun, precondition);
  }
}

async function handleFinding<Refusal extends AppError>(
  engine: Engine,
  job: JobSummary,
  guardName: string,
  error: AceError,
  guardsRun: number,
  precondition: Precondition<Refusal>,
): Promise<GuardResult<Refusal>> {
  if (!isPoisoning(error)) {
    const refusal = await recordGuardFailure(
      engine,
      job,
      { code: error.code, guardName, reason: error.trigger, guardsRun },
      precondition,
    );
    return { verdict: "REFUSED", refusal };
  }
  const violation = violationOf(guardName, error);
  return {
    verdict: "TRAPPED",
    violation,
    outcome: await poisonJob(engine, job.jobId, violation, { guardsRun, precondition }),
  };
}

interface Diagnosis {
  readonly code: string;
  readonly guardName: string;
  readonly reason: string;
  readonly guardsRun: number;
}

/** A guard's error that does not poison is an event of type `diagnostic`; the step it was about is refused. */
function recordGuardFailure<Refusal extends AppError>(
  engine: Engine,
  { jobId }: JobSummary,
  diagnosis: Diagnosis,
  precondition: Precondition<Refusal>,
): Promise<Refusal | GuardRefusal> {
  return inTransaction(engine, async (tx): Promise<Refusal | GuardRefusal> => {
    const job = (await lockJobs(tx, Prisma.sql`job_id = ${jobId}::uuid`)).get(jobId);
    const refusal = job && (await precondition(tx, job));
    if (refusal) return refusal;
    // Poisoned by somebody else while the guards ran: nothing more can be written of it.
    if (job?.state === "POISONED") return new JobPoisonedError(job);
    if (job) await recordDiagnostic(tx, job, diagnosis);
    return new GuardFailedError(diagnosis.guardName);
  });
}

async function recordDiagnostic(tx: Transaction, job: LockedJob, diagnosis: Diagnosis): Promise<void> {
  const { code, guardName, reason, guardsRun } = diagnosis;
  const event = { type: "DIAGNOSTIC" as const, by: ENGINE, payload: { code, guard_name: guardName, reason } };
  await writeVersion(tx, { job, set: countGuards(job, guardsRun), event });
}

/** What PromptInjectionGuard looks for beside its own patterns in jobs of a capability profile (section 7). */
export async function injectionPatterns({ prisma }: Engine, profileId: string): Promise<readonly string[]> {
  const [profile] = await readWithRetry(
    () => prisma.$queryRaw<{ patterns: string[] }[]>`
      SELECT injection_patterns AS patterns FROM capability_profiles WHERE id = ${profileId}`,
  );
  return profile?.patterns ?? [];
}
