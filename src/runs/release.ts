import type { UserInputRequest } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import type { JobSummary } from "../db/job-columns.ts";
import type { Run } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import type { AppError, InvalidInputError } from "../errors.ts";
import type { LockedJobWithWriteScope } from "../jobs/lock.ts";
import { writeVersions } from "../jobs/store.ts";
import { insertUsageCte, type ReportWithCalls, toUsageEntries } from "../jobs/usage/ledger.ts";
import type { JobChange } from "../jobs/version.ts";
import { type Admission, admitReport, type ReportRefusal, type ReportRules } from "./admission.ts";
import { PendingJobStates, type RunUnderJobLock } from "./lock.ts";
import { observeSteps, writeNodesCte } from "./nodes.ts";
import { type PolicyError, type PolicyViolationCode, policyError } from "./policy.ts";
import { progressOfVersion } from "./progress.ts";
import { insertQuestionsCte } from "./questions.ts";
import { insertReportsCte, type Report, toReportRows } from "./report.ts";
import { endedIn, onlyNodeOf, type StepPlan } from "./steps.ts";
import { type LeaseRelease, releasedRun, releaseLeasesCte } from "./store.ts";
import { failViolatingRuns, type ViolatingRun } from "./violating-runs.ts";

/** The reports that release their run's lease (completions, failures, returned jobs, questions): decided one by one, written together. */

/** A job, and its run whose lease a report of its worker released: the run has finished, or its outputs await a decision. */
export interface ReleasedRun {
  readonly job: JobSummary;
  readonly run: Run;
}

/** One report of a call that has passed the guards. */
export interface ReportItem<Kind extends Report> {
  readonly report: Kind;
  /** Where it is in the caller's input, for errors. */
  readonly path: readonly string[];
  /** How many guards this server ran over it; added to the job's `validators_run_count`. */
  readonly guardsRun: number;
}

/** What an accepted report changes of its job; it always moves the job to another state. */
export type AcceptedChange = JobChange<LockedJobWithWriteScope> & { readonly set: { readonly state: JobState } };

/** What to do with one report. */
export type ReleaseDecision<Refusal extends AppError> =
  /** The report changes nothing. */
  | { readonly kind: "REFUSED"; readonly error: Refusal }
  /** The same report was accepted before: it gets the same answer and is not applied again. */
  | { readonly kind: "REPEAT"; readonly job: LockedJobWithWriteScope; readonly run: Run }
  /** The report violates a policy, and fails its run. `toError` makes the answer from the job as it is stored then. */
  | { readonly kind: "VIOLATION"; readonly violating: ViolatingRun; readonly toError: (job: JobSummary) => Refusal }
  /** The report is applied: the run loses its lease and moves to `release.state`, its job to `change.set.state`. */
  | {
      readonly kind: "ACCEPTED";
      readonly report: Report & ReportWithCalls;
      readonly change: AcceptedChange;
      readonly run: Run;
      readonly release: LeaseRelease;
      /** What its steps make of the run's nodes; left out where this kind of report has no steps. */
      readonly plan?: StepPlan;
      /** The question that the report asks. */
      readonly question?: UserInputRequest;
    };

/** What `admitRelease` decides by itself, or the report to go on with. */
export type ReleaseAdmission<Code extends PolicyViolationCode> =
  | Extract<ReleaseDecision<ReportRefusal | InvalidInputError | PolicyError<Code>>, { kind: "REFUSED" | "REPEAT" }>
  | Extract<Admission, { kind: "ADMITTED" }>;

/** Admits a report that releases its run's lease (checks 1 to 6 of section 6, "Reports"). */
export function admitRelease<Code extends PolicyViolationCode>(
  report: Report,
  lockedRun: RunUnderJobLock | undefined,
  rules: Omit<ReportRules<Code>, "releasesLease">,
): ReleaseAdmission<Code> {
  const admission = admitReport(report, lockedRun, { ...rules, releasesLease: true });
  return admission.kind === "ID_TAKEN" ? { kind: "REFUSED", error: admission.error } : admission;
}

/** @returns the decision on a report that violates a policy, by which its run and its job fail. */
export function violationDecision<Code extends PolicyViolationCode>(violating: ViolatingRun<Code>) {
  return {
    kind: "VIOLATION" as const,
    violating,
    toError: (failedJob: JobSummary) => policyError(violating.violation, failedJob),
  };
}

/**
 * Decides what to do with one report. Reads and writes nothing.
 * @param lockedRun the report's run, read under its job's lock; undefined when there is no such run.
 * @param path where the report is in the caller's input; for the path of an error.
 * @param guardsRun how many guards this server ran over the report.
 */
export type DecideRelease<Kind extends Report, Refusal extends AppError> = (
  report: Kind,
  lockedRun: RunUnderJobLock | undefined,
  path: readonly string[],
  guardsRun: number,
) => ReleaseDecision<Refusal>;

/**
 * Applies reports, in a fixed number of statements. They are decided in their order, so each of them sees what the ones
 * before it did to its job.
 * @param lockedRuns the runs of the reports, by id; `tx` has locked their jobs.
 * @returns the answer to each report: its job and run, or why it was refused.
 */
export async function applyReleases<Kind extends Report, Refusal extends AppError>(
  tx: Transaction,
  items: readonly ReportItem<Kind>[],
  lockedRuns: ReadonlyMap<string, RunUnderJobLock>,
  decide: DecideRelease<Kind, Refusal>,
): Promise<ReadonlyMap<ReportItem<Kind>, ReleasedRun | Refusal>> {
  const pendingStates = new PendingJobStates(lockedRuns);
  const decided = items.map((item) => {
    const { report, path, guardsRun } = item;
    const decision = decide(report, pendingStates.runWithPendingState(report.workflowRunId), path, guardsRun);
    if (decision.kind === "ACCEPTED") pendingStates.setPendingState(decision.run.jobId, decision.change.set.state);
    if (decision.kind === "VIOLATION") pendingStates.setPendingState(decision.violating.job.jobId, "FAILED");
    return { item, decision };
  });
  const jobs = await writeDecisions(
    tx,
    decided.map(({ decision }) => decision),
  );
  return new Map(decided.map(({ item, decision }) => [item, answerOf(decision, jobs)]));
}

/** @returns the changed jobs by job id, as they are now stored. */
async function writeDecisions(
  tx: Transaction,
  decisions: readonly ReleaseDecision<AppError>[],
): Promise<ReadonlyMap<string, JobSummary>> {
  const accepted = decisions.filter((decision) => decision.kind === "ACCEPTED");
  const reportRows = accepted.flatMap(({ report, change }) => toReportRows(report, change.job));
  const plans = accepted.flatMap(({ plan }) => plan ?? []);
  const written = await writeVersions(
    tx,
    accepted.map(({ change, run }) => ({ ...change, set: { ...progressOfVersion(change.job, run), ...change.set } })),
    [
      ...writeNodesCte(plans),
      ...releaseLeasesCte(
        accepted.map(({ release }) => release),
        endedIn(plans),
      ),
      ...insertReportsCte(reportRows),
      ...insertQuestionsCte(accepted.flatMap(({ question }) => question ?? [])),
      ...insertUsageCte(
        accepted.flatMap(({ report, change, plan }) => toUsageEntries(report, change.job, plan && onlyNodeOf(plan))),
      ),
    ],
  );
  for (const { change, plan } of accepted) if (plan) observeSteps(tx, change.job.jobKind, plan);
  const violating = decisions.flatMap((decision) => (decision.kind === "VIOLATION" ? [decision.violating] : []));
  const failed = await failViolatingRuns(tx, violating);
  return new Map([...written, ...failed].map(({ job }) => [job.jobId, job]));
}

/** @param changedJobs the jobs that the call has changed, by job id, as they are now stored. */
function answerOf<Refusal extends AppError>(
  decision: ReleaseDecision<Refusal>,
  changedJobs: ReadonlyMap<string, JobSummary>,
): ReleasedRun | Refusal {
  switch (decision.kind) {
    case "REFUSED":
      return decision.error;
    case "REPEAT": {
      const { job, run } = decision;
      const changed = changedJobs.get(job.jobId);
      // A job can be changed in the transaction that repeats one of its reports: run 1 was sent back by a reviewer, and run 2
      // is completed here. `job` was read before anything was written, and has the state that the reports before this one lead
      // to. If the stored job has that state, one of them changed it: answer with the stored job. If it has another one, a
      // later report changed it, which this answer must not show: answer with `job`.
      return { job: changed?.state === job.state ? changed : job, run };
    }
    case "VIOLATION": {
      const { job } = decision.violating;
      return decision.toError(changedJobs.get(job.jobId) ?? job);
    }
    case "ACCEPTED": {
      const { run, release, change } = decision;
      return { job: changedJobs.get(run.jobId) ?? change.job, run: releasedRun(run, release) };
    }
  }
}
