import type { JobSpending } from "../db/metrics.ts";
import type { Run } from "../db/rows.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import type { AccessModeViolationError, BudgetExceededError, InvalidInputError, WorkflowDirective } from "../errors.ts";
import type { LockedJobWithWriteScope } from "../jobs/lock.ts";
import { isZero, type MetricsDelta } from "../jobs/metrics.ts";
import { writeVersions } from "../jobs/store.ts";
import { costPayload, insertUsageCte, toUsageEntries } from "../jobs/usage/ledger.ts";
import type { JobChange } from "../jobs/version.ts";
import { workerOf } from "../log/event.ts";
import { admitReport, type ReportRefusal } from "./admission.ts";
import { leaseUntil } from "./lease-token.ts";
import { lockJobsOfRuns, PendingJobStates, type RunUnderJobLock, scopeOfReports } from "./lock.ts";
import { assessReport, type PolicyViolation, policyError } from "./policy.ts";
import { insertReportsCte, type Report, toReportRows } from "./report.ts";
import { type LeaseRenewal, renewLeasesCte } from "./store.ts";
import { failViolatingRuns, type ViolatingRun } from "./violating-runs.ts";

/** A worker's report that it is still working on a run: it renews the lease, and may bring metrics. */
export interface Heartbeat extends Report {
  readonly leaseSeconds: number;
  readonly metrics: MetricsDelta;
}

/** Why a worker must stop: it has no lease, its job has ended, or its report violated a policy. */
type StopError = ReportRefusal | AccessModeViolationError | BudgetExceededError;

/** The answer to one heartbeat. */
export interface HeartbeatAnswer {
  readonly workflowRunId: string;
  readonly directive: WorkflowDirective;
  /** When the renewed lease expires; null when the run has no lease any more. */
  readonly leaseExpiresAt: Date | null;
  /** Why the worker must stop; or, under CONTINUE, why the metrics or the `reportId` were refused. Null when all is well. */
  readonly error: StopError | InvalidInputError | null;
}

/** What to write for one heartbeat, and its answer. */
interface HeartbeatDecision {
  readonly answer: HeartbeatAnswer;
  readonly renewal?: LeaseRenewal;
  readonly change?: MetricsChange;
  /** The run to fail. For ACCESS_MODE_VIOLATION there is no `change`; for BUDGET_EXCEEDED, `change` is written first. */
  readonly violating?: ViolatingRun<HeartbeatViolation>;
  /** Set when the heartbeat is accepted: its report is stored, so that a repeat does not count twice. */
  readonly accepted?: { readonly heartbeat: Heartbeat; readonly job: LockedJobWithWriteScope };
}

/** The version of a job that a heartbeat with metrics makes. */
interface MetricsChange extends JobChange<LockedJobWithWriteScope> {
  readonly heartbeat: Heartbeat;
}

const VIOLATIONS = ["ACCESS_MODE_VIOLATION", "BUDGET_EXCEEDED"] as const;
type HeartbeatViolation = (typeof VIOLATIONS)[number];

/**
 * Renews leases and adds metrics (section 6), in one transaction and a fixed number of statements. The heartbeats are
 * decided in their order, so each of them sees what the ones before it did to its job. A heartbeat without metrics writes no
 * version of its job.
 * @returns one answer for each heartbeat, in their order.
 * @throws TryAgainError when the database rolled the transaction back too often; none of the heartbeats is stored.
 */
export function heartbeatWorkflows(
  engine: EngineContext,
  heartbeats: readonly Heartbeat[],
): Promise<HeartbeatAnswer[]> {
  return inTransaction(engine, scopeOfReports(heartbeats), async (tx) => {
    const pendingStates = new PendingJobStates(await lockJobsOfRuns(tx, heartbeats));
    const decisions = heartbeats.map((heartbeat, index) => {
      const lockedRun = pendingStates.runWithPendingState(heartbeat.workflowRunId);
      const decision = decideHeartbeat(heartbeat, lockedRun, ["input", "heartbeats", String(index)]);
      if (decision.violating) pendingStates.setPendingState(decision.violating.job.jobId, "FAILED");
      return decision;
    });
    await writeDecisions(tx, decisions);
    return decisions.map(({ answer }) => answer);
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
 * its metrics or its `reportId` are refused: losing the lease over a malformed number would waste the run's work.
 */
function decideHeartbeat(
  heartbeat: Heartbeat,
  lockedRun: RunUnderJobLock | undefined,
  path: readonly string[],
): HeartbeatDecision {
  const { workflowRunId } = heartbeat;
  const admission = admitReport(heartbeat, lockedRun, {
    to: "RUNNING",
    releasesLease: false,
    violations: VIOLATIONS,
    path,
  });
  if (admission.kind === "REFUSED") return { answer: stop(workflowRunId, admission.error) };
  const { job, run } = admission;
  const renewal = renewalOf(run, job.now, heartbeat.leaseSeconds);
  const renew = (error: InvalidInputError | null): Pick<HeartbeatDecision, "answer" | "renewal"> => {
    const { leaseExpiresAt } = renewal;
    return { answer: { workflowRunId, directive: "CONTINUE", leaseExpiresAt, error }, renewal };
  };
  if (admission.kind === "ID_TAKEN") return renew(admission.error);
  if (admission.kind === "REPEAT") return renew(null);
  const assessment = assessReport(job, heartbeat, path);
  const failFor = (violation: PolicyViolation<HeartbeatViolation>): HeartbeatDecision => ({
    answer: stop(workflowRunId, policyError(violation, job)),
    violating: { job, run, report: heartbeat, violation },
  });
  switch (assessment.kind) {
    case "REFUSED":
      return renew(assessment.error);
    case "VIOLATION":
      return failFor(assessment.violation);
    case "WITHIN_POLICY": {
      const accepted = { heartbeat, job };
      if (isZero(heartbeat.metrics)) return { ...renew(null), accepted };
      const { metrics, overBudget } = assessment;
      const change = metricsChange(job, run, metrics, heartbeat);
      return overBudget ? { ...failFor(overBudget), change } : { ...renew(null), change, accepted };
    }
  }
}

/** @returns the renewal of a run's lease; it never shortens the lease. */
function renewalOf(run: Run, now: Date, leaseSeconds: number): LeaseRenewal {
  const requested = leaseUntil(now, leaseSeconds);
  const leaseExpiresAt = run.leaseExpiresAt && run.leaseExpiresAt > requested ? run.leaseExpiresAt : requested;
  return { id: run.id, leaseExpiresAt, lastHeartbeat: now };
}

function metricsChange(
  job: LockedJobWithWriteScope,
  run: Run,
  metrics: JobSpending,
  heartbeat: Heartbeat,
): MetricsChange {
  return {
    heartbeat,
    job,
    set: metrics,
    event: {
      type: "METRICS_RECORDED",
      by: workerOf(run),
      payload: deltaPayload(heartbeat.metrics),
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
