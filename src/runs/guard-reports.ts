import type { JobState } from "../db/generated/client/enums.ts";
import type { EngineContext } from "../engine.ts";
import { AppError, type GuardFailedError, TryAgainError, tryAgainOrRethrow } from "../errors.ts";
import { guardContent } from "../security/guard-content.ts";
import { costOf, type GuardedSource } from "../security/guards/guard.ts";
import type { PoisonedJob, Precondition } from "../security/poison.ts";
import { checkLease, type ReportRefusal } from "./admission.ts";
import type { ReportedRun } from "./lock.ts";
import type { Report } from "./report.ts";
import { readRun } from "./store.ts";

/** A report with what is to be guarded of it. */
export interface ReportToGuard {
  readonly report: Report;
  /** Everything that the report brings. */
  readonly sources: readonly GuardedSource[];
  /** The state that the report would move its job to; named in the message of an IllegalTransitionError. */
  readonly to: JobState;
}

/** What guarding a report led to. */
export type GuardedReport =
  /** The report may go on to its transaction. `guardsRun` is to be added to the job's `validators_run_count`. */
  | { readonly outcome: "PASSED"; readonly guardsRun: number }
  | { readonly outcome: "POISONED"; readonly poisoned: PoisonedJob }
  | { readonly outcome: "REFUSED"; readonly error: ReportRefusal | GuardFailedError | TryAgainError };

const PASSED_UNGUARDED: GuardedReport = { outcome: "PASSED", guardsRun: 0 };

/**
 * Guards everything that the reports of a call bring, before anything of them is kept, and poisons the job of a report in which a
 * guard finds a security violation (sections 6 and 7). Guards never run inside a transaction: the lease of each report is
 * looked at first, without a lock, in one statement for all reports; and whoever writes checks it again, under the job's lock.
 * @returns what it led to, in the order of the reports. TryAgainError where too much large content waits for guards.
 * @throws TryAgainError when the database failed too often; nothing is stored.
 */
export async function guardReports(
  engine: EngineContext,
  reports: readonly ReportToGuard[],
): Promise<readonly GuardedReport[]> {
  const withTexts = reports.filter((toGuard) => costOf(toGuard, 1) > 0);
  if (withTexts.length === 0) return reports.map(() => PASSED_UNGUARDED);
  const runs = await engine.readReportedRuns(withTexts.map(({ report }) => report));
  const guarded = new Map<ReportToGuard, GuardedReport>();
  for (const [index, toGuard] of withTexts.entries()) guarded.set(toGuard, await guard(engine, toGuard, runs[index]));
  return reports.map((toGuard) => guarded.get(toGuard) ?? PASSED_UNGUARDED);
}

async function guard(
  engine: EngineContext,
  { report, sources, to }: ReportToGuard,
  reported: ReportedRun | undefined,
): Promise<GuardedReport> {
  // Not guarded again: a repeat of the earlier report was guarded then, and another report with its id is refused.
  if (reported?.earlierReport) return PASSED_UNGUARDED;
  const leased = checkLease(reported, report, to);
  if (leased instanceof AppError) return { outcome: "REFUSED", error: leased };
  return guardLeased(engine, leased, { report, sources, to });
}

/** Guards what a report brings whose lease was found to hold, without a lock. */
export async function guardLeased(
  engine: EngineContext,
  leased: ReportedRun,
  { report, sources, to }: ReportToGuard,
): Promise<GuardedReport> {
  // A worker that lost its lease while the guards ran must neither change nor poison the job (section 5).
  const stillLeased: Precondition<ReportRefusal> = async (tx, job) => {
    const run = await readRun(tx, report.workflowRunId);
    const checked = checkLease(run && { run, job, now: job.now }, report, to);
    return checked instanceof AppError ? checked : null;
  };
  const content = { sources, patterns: leased.injectionPatterns };
  const result = await guardContent(engine, leased, content, stillLeased).catch(tryAgainOrRethrow);
  if (result instanceof TryAgainError) return { outcome: "REFUSED", error: result };
  switch (result.outcome) {
    case "PASSED":
    case "POISONED":
      return result;
    case "VIOLATION_NOT_APPLIED":
    case "REFUSED":
      return { outcome: "REFUSED", error: result.error };
  }
}
