import type { JobSpending } from "../db/metrics.ts";
import type { Run } from "../db/rows.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import {
  type AccessModeViolationError,
  type BudgetExceededError,
  GuardFailedError,
  type InvalidInputError,
  JobPoisonedError,
  TryAgainError,
  type WorkflowDirective,
} from "../errors.ts";
import type { LockedJobWithWriteScope } from "../jobs/lock.ts";
import { isZero, type MetricsDelta } from "../jobs/metrics.ts";
import type { Progress } from "../jobs/progress.ts";
import { writeVersions } from "../jobs/store.ts";
import { costPayload, insertUsageCte, toUsageEntries } from "../jobs/usage/ledger.ts";
import type { JobChange } from "../jobs/version.ts";
import { workerOf } from "../log/event.ts";
import { admitReport, type ReportRefusal } from "./admission.ts";
import { guardReports } from "./guard-reports.ts";
import { leaseUntil } from "./lease-token.ts";
import { lockJobsOfRuns, PendingJobStates, type RunUnderJobLock, scopeOfReports } from "./lock.ts";
import { assessReport, type PolicyViolation, policyError } from "./policy.ts";
import { decideProgress, progressOfVersion, sourcesOfProgress } from "./progress.ts";
import { insertReportsCte, type Report, toReportRows } from "./report.ts";
import { type LeaseRenewal, type NextProgress, NO_NEXT_PROGRESS, renewLeasesCte } from "./store.ts";
import { failViolatingRuns, type ViolatingRun } from "./violating-runs.ts";

/** A worker's report that it is still working on a run: it renews the lease, and may bring metrics and progress. */
export interface Heartbeat extends Report {
  readonly leaseSeconds: number;
  readonly metrics: MetricsDelta;
  /** Left out where there is none, so that the hashes of such heartbeats are what they were before there was progress. */
  readonly progress?: Progress | undefined;
}

/** Why a worker must stop: it has no lease, its job has ended, or its report violated a policy. */
type StopError = ReportRefusal | AccessModeViolationError | BudgetExceededError;

/** The answer to one heartbeat. */
export interface HeartbeatAnswer {
  readonly workflowRunId: string;
  readonly directive: WorkflowDirective;
  /** When the renewed lease expires; null when the run has no lease any more. */
  readonly leaseExpiresAt: Date | null;
  /** Why the worker must stop; or, under CONTINUE, why only the lease was renewed. Null when all is well. */
  readonly error: StopError | ContentError | null;
}

/** Why nothing of a heartbeat was kept, although its worker has the lease, and gets it renewed. */
type ContentError = InvalidInputError | GuardRefusal;
/** That no guard found a violation, and yet the progress may not be kept. */
type GuardRefusal = GuardFailedError | TryAgainError;

/** A heartbeat that may go on to the transaction. */
interface GuardedHeartbeat {
  readonly heartbeat: Heartbeat;
  readonly path: readonly string[];
  readonly guardRefusal: GuardRefusal | null;
}

/** What to write for one heartbeat, and its answer. */
interface HeartbeatDecision {
  readonly answer: HeartbeatAnswer;
  readonly renewal?: LeaseRenewal;
  readonly change?: HeartbeatChange;
  /** The run to fail. For ACCESS_MODE_VIOLATION there is no `change`; for BUDGET_EXCEEDED, `change` is written first. */
  readonly violating?: ViolatingRun<HeartbeatViolation>;
  /** Set when the heartbeat is accepted: its report is stored, so that a repeat does not count twice. */
  readonly accepted?: { readonly heartbeat: Heartbeat; readonly job: LockedJobWithWriteScope };
}

/** The version of a job that a heartbeat with metrics or new progress makes. */
interface HeartbeatChange extends JobChange<LockedJobWithWriteScope> {
  readonly heartbeat: Heartbeat;
}

const VIOLATIONS = ["ACCESS_MODE_VIOLATION", "BUDGET_EXCEEDED"] as const;
type HeartbeatViolation = (typeof VIOLATIONS)[number];

/**
 * Renews leases, adds metrics and tells of progress (sections 6 and 13), in one transaction and a fixed number of statements. Messages of
 * progress are guarded before that; heartbeats without one cost no more for it. The heartbeats are decided in their order, so each of
 * them sees what the ones before it did to its job. A heartbeat without metrics and new progress writes no version of its job.
 * @returns one answer for each heartbeat, in their order.
 * @throws TryAgainError when the database failed too often; none of the heartbeats is stored.
 */
export async function heartbeatWorkflows(
  engine: EngineContext,
  heartbeats: readonly Heartbeat[],
): Promise<HeartbeatAnswer[]> {
  const guarded = await guardHeartbeats(engine, heartbeats);
  const toStore = guarded.filter((each) => "heartbeat" in each);
  const stored = toStore.length === 0 ? new Map<GuardedHeartbeat, HeartbeatAnswer>() : await store(engine, toStore);
  return guarded.map((each) => {
    const answer = "heartbeat" in each ? stored.get(each) : each;
    if (!answer) throw new Error("Each heartbeat has an answer.");
    return answer;
  });
}

/** @returns each heartbeat, to go on with, or its answer where it must not: in their order. */
async function guardHeartbeats(
  engine: EngineContext,
  heartbeats: readonly Heartbeat[],
): Promise<readonly (GuardedHeartbeat | HeartbeatAnswer)[]> {
  const toGuard = heartbeats.map((report) => {
    return { report, sources: sourcesOfProgress(report.progress), to: "RUNNING" } as const;
  });
  const guarded = await guardReports(engine, toGuard);
  return heartbeats.map((heartbeat, index) => {
    const goOn = { heartbeat, path: ["input", "heartbeats", String(index)], guardRefusal: null };
    const result = guarded[index];
    switch (result?.outcome) {
      case "PASSED":
        return goOn;
      case "POISONED":
        return stop(heartbeat.workflowRunId, new JobPoisonedError(result.poisoned.job, "STOP_POISONED"));
      case "REFUSED": {
        const { error } = result;
        const isGuards = error instanceof GuardFailedError || error instanceof TryAgainError;
        return isGuards ? { ...goOn, guardRefusal: error } : stop(heartbeat.workflowRunId, error);
      }
      case undefined:
        throw new Error("Each report is guarded.");
    }
  });
}

function store(
  engine: EngineContext,
  items: readonly GuardedHeartbeat[],
): Promise<ReadonlyMap<GuardedHeartbeat, HeartbeatAnswer>> {
  const heartbeats = items.map(({ heartbeat }) => heartbeat);
  return inTransaction(engine, scopeOfReports(heartbeats), async (tx) => {
    const pendingStates = new PendingJobStates(await lockJobsOfRuns(tx, heartbeats));
    const decided = items.map((item) => {
      const lockedRun = pendingStates.runWithPendingState(item.heartbeat.workflowRunId);
      const decision = decideHeartbeat(item, lockedRun, engine.progressIntervalMs);
      if (decision.violating) pendingStates.setPendingState(decision.violating.job.jobId, "FAILED");
      return { item, decision };
    });
    await writeDecisions(
      tx,
      decided.map(({ decision }) => decision),
    );
    return new Map(decided.map(({ item, decision }) => [item, decision.answer]));
  });
}

async function writeDecisions(tx: Transaction, decisions: readonly HeartbeatDecision[]): Promise<void> {
  const reportRows = decisions.flatMap(({ accepted }) =>
    accepted ? toReportRows(accepted.heartbeat, accepted.job) : [],
  );
  const changes = decisions.flatMap(({ change }) => change ?? []);
  const written = await writeVersions(tx, changes, [
    ...renewLeasesCte(decisions.flatMap(({ renewal }) => renewal ?? [])),
    ...insertReportsCte(reportRows),
    ...insertUsageCte(changes.flatMap(({ heartbeat, job }) => toUsageEntries(heartbeat, job))),
  ]);
  // Exceeding a budget takes two versions: the metrics that exceeded it are written above, the failure here.
  const changedJobs = new Map(written.map(({ job }) => [job.jobId, job]));
  const violating = decisions.flatMap((decision) => decision.violating ?? []);
  await failViolatingRuns(
    tx,
    violating.map((violatingRun) => ({
      ...violatingRun,
      job: changedJobs.get(violatingRun.job.jobId) ?? violatingRun.job,
    })),
  );
}

/**
 * Decides what to do with one heartbeat. A worker that has the lease gets it renewed even when the heartbeat is a repeat, or
 * what it brings or its `reportId` is refused: losing the lease over a malformed number would waste the run's work.
 */
function decideHeartbeat(
  { heartbeat, path, guardRefusal }: GuardedHeartbeat,
  lockedRun: RunUnderJobLock | undefined,
  progressIntervalMs: number,
): HeartbeatDecision {
  const { workflowRunId, progress } = heartbeat;
  const admission = admitReport(heartbeat, lockedRun, {
    to: "RUNNING",
    releasesLease: false,
    violations: VIOLATIONS,
    path,
  });
  if (admission.kind === "REFUSED") return { answer: stop(workflowRunId, admission.error) };
  const { job, run } = admission;
  const renew = (
    error: ContentError | null,
    waiting: NextProgress = run,
  ): Pick<HeartbeatDecision, "answer" | "renewal"> => {
    const renewal = renewalOf(run, job.now, heartbeat.leaseSeconds, waiting);
    const { leaseExpiresAt } = renewal;
    return { answer: { workflowRunId, directive: "CONTINUE", leaseExpiresAt, error }, renewal };
  };
  if (admission.kind === "ID_TAKEN") return renew(admission.error);
  if (admission.kind === "REPEAT") return renew(null);
  if (guardRefusal) return renew(guardRefusal);
  const assessment = assessReport(job, heartbeat, path);
  switch (assessment.kind) {
    case "REFUSED":
      return renew(assessment.error);
    case "VIOLATION":
      return failFor(assessment.violation, job, run, heartbeat);
    case "WITHIN_POLICY": {
      const accepted = { heartbeat, job };
      if (isZero(heartbeat.metrics)) {
        const decided = progress ? decideProgress(job, run, progress, progressIntervalMs) : run;
        if (decided !== "VERSION") return { ...renew(null, decided), accepted };
      }
      const { metrics, overBudget } = assessment;
      const change = versionOf(job, run, metrics, heartbeat);
      // The version has taken what waited with the run.
      const settled = { ...run, ...NO_NEXT_PROGRESS };
      if (overBudget) return { ...failFor(overBudget, job, settled, heartbeat), change };
      return { ...renew(null, NO_NEXT_PROGRESS), change, accepted };
    }
  }
}

function failFor(
  violation: PolicyViolation<HeartbeatViolation>,
  job: LockedJobWithWriteScope,
  run: Run,
  report: Heartbeat,
): HeartbeatDecision {
  return {
    answer: stop(report.workflowRunId, policyError(violation, job)),
    violating: { job, run, report, violation },
  };
}

/**
 * @param waiting the progress that waits with the run from now on.
 * @returns the renewal of a run's lease; it never shortens the lease.
 */
function renewalOf(run: Run, now: Date, leaseSeconds: number, waiting: NextProgress): LeaseRenewal {
  const requested = leaseUntil(now, leaseSeconds);
  const leaseExpiresAt = run.leaseExpiresAt && run.leaseExpiresAt > requested ? run.leaseExpiresAt : requested;
  const { nextProgressFraction, nextProgressMessage, nextProgressAt } = waiting;
  return {
    id: run.id,
    leaseExpiresAt,
    lastHeartbeat: now,
    nextProgressFraction,
    nextProgressMessage,
    nextProgressAt,
  };
}

function versionOf(
  job: LockedJobWithWriteScope,
  run: Run,
  metrics: JobSpending,
  heartbeat: Heartbeat,
): HeartbeatChange {
  return {
    heartbeat,
    job,
    set: { ...metrics, ...progressOfVersion(job, run, heartbeat.progress) },
    event: {
      type: "METRICS_RECORDED",
      by: workerOf(run),
      payload: isZero(heartbeat.metrics) ? {} : deltaPayload(heartbeat.metrics),
    },
  };
}

/** What an event says of metrics that a report added without anything else. The calls of models are in the ledger. */
export function deltaPayload(metrics: MetricsDelta) {
  const { usage: _calls, ...delta } = metrics;
  return { delta, ...costPayload(metrics) };
}

function stop(workflowRunId: string, error: StopError): HeartbeatAnswer {
  const { directive } = error;
  // Each of these errors has a STOP directive when it answers a report. Two of their types also answer people, who need no
  // directive, and so allow null or CONTINUE. Should one arrive here, the worker must stop all the same.
  const isStop = directive !== null && directive !== "CONTINUE";
  return { workflowRunId, directive: isStop ? directive : "STOP_LEASE_LOST", leaseExpiresAt: null, error };
}
