import type { AppError } from "../errors.ts";
import { GuardFailedError, JobPoisonedError } from "../errors.ts";
import { type AceError, type GuardContent, isPoisoning } from "../guards/guard.ts";
import { runGuards } from "../guards/run-guards.ts";
import { countGuards } from "../jobs/metrics.ts";
import { recordOne } from "../recorder/commit.ts";
import { ENGINE } from "../recorder/event.ts";
import { type LockedJob, lockJobs } from "../recorder/lock.ts";
import { inTransaction, reading, type Transaction } from "../recorder/transaction.ts";
import type { JobHead } from "../storage/columns.ts";
import { Prisma } from "../storage/generated/client/client.ts";
import type { Engine } from "./engine.ts";
import { type Fence, type PoisonOutcome, poisonJob, type Violation, violationOf } from "./poison.ts";

/** What came of guarding content: nothing found, or what the trap did about it. */
export type Guarded =
  | { readonly verdict: "PASSED"; readonly guardsRun: number }
  | { readonly verdict: "TRAPPED"; readonly violation: Violation; readonly outcome: PoisonOutcome }
  | { readonly verdict: "REFUSED"; readonly refusal: AppError };

/**
 * Runs the guards over content of a job, outside any transaction, and springs the trap when one raises: the one place
 * where a guard's finding becomes a change (section 5).
 * @param fence judged under the job's lock before anything is written: a report that lost its lease can never poison.
 * @param counted how many of these guards the job's metrics count already.
 */
export async function guardContent(
  engine: Engine,
  job: JobHead,
  content: GuardContent,
  fence: Fence,
  counted = 0,
): Promise<Guarded> {
  const outcome = await runGuards(engine.guards, content, engine.guardTimeoutMs);
  const guardsRun = Math.max(outcome.guardsRun - counted, 0);
  switch (outcome.outcome) {
    case "passed":
      return { verdict: "PASSED", guardsRun };
    case "failed": {
      const { guardName, reason } = outcome;
      const refusal = await diagnose(engine, job, { code: "GUARD_FAILED", guardName, reason, guardsRun }, fence);
      return { verdict: "REFUSED", refusal };
    }
    case "raised":
      return raised(engine, job, outcome.guardName, outcome.error, guardsRun, fence);
  }
}

async function raised(
  engine: Engine,
  job: JobHead,
  guardName: string,
  error: AceError,
  guardsRun: number,
  fence: Fence,
): Promise<Guarded> {
  if (!isPoisoning(error)) {
    const refusal = await diagnose(
      engine,
      job,
      { code: error.code, guardName, reason: error.trigger, guardsRun },
      fence,
    );
    return { verdict: "REFUSED", refusal };
  }
  const violation = violationOf(guardName, error);
  return {
    verdict: "TRAPPED",
    violation,
    outcome: await poisonJob(engine, job.jobId, violation, { guardsRun, fence }),
  };
}

interface Diagnosis {
  readonly code: string;
  readonly guardName: string;
  readonly reason: string;
  readonly guardsRun: number;
}

/** A guard's error that does not poison is an event of type `diagnostic`; the step it was about is refused. */
function diagnose(engine: Engine, { jobId }: JobHead, diagnosis: Diagnosis, fence: Fence): Promise<AppError> {
  return inTransaction(engine, async (tx) => {
    const job = (await lockJobs(tx, Prisma.sql`job_id = ${jobId}::uuid`)).get(jobId);
    const refusal = job && (await fence(tx, job));
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
  await recordOne(tx, { job, set: countGuards(job, guardsRun), event });
}

/** What PromptInjectionGuard looks for beside its own patterns in jobs of a capability profile (section 7). */
export async function injectionPatterns({ prisma }: Engine, profileId: string): Promise<readonly string[]> {
  const [profile] = await reading(
    () => prisma.$queryRaw<{ patterns: string[] }[]>`
      SELECT injection_patterns AS patterns FROM capability_profiles WHERE id = ${profileId}`,
  );
  return profile?.patterns ?? [];
}
