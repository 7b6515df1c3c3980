import type { WorkflowRun } from "../db/generated/client/client.ts";
import type { JobMetrics } from "../db/metrics.ts";

import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import type { AccessModeViolationError, BudgetExceededError, InvalidInputError, WorkflowDirective } from "../errors.ts";
import type { ReportedJob } from "../jobs/lock.ts";
import { isZero, type MetricsDelta } from "../jobs/metrics.ts";
import { writeVersions } from "../jobs/store.ts";
import { type JobChange } from "../jobs/version.ts";
import { admitReport, type ReportRefusal } from "./admission.ts";
import { leaseUntil } from "./lease-token.ts";
import { type LockedRun, lockReportedRuns, SequentialReports } from "./lock.ts";
import { assessReport, type PolicyViolation, policyError } from "./policy.ts";
import { insertReportsCte, type Report, toReportRows } from "./report.ts";
import { type LeaseRenewal, renewLeasesCte } from "./store.ts";
import { failViolatingRuns, type ViolatingRun } from "./violating-runs.ts";

export interface Heartbeat extends Report {
  readonly leaseSeconds: number;
  readonly metrics: MetricsDelta;
}

/** Why a worker must stop: it holds no lease, or its report violated a policy. */
type StopError = ReportRefusal | AccessModeViolationError | BudgetExceededError;

export interface HeartbeatAnswer {
  readonly workflowRunId: string;
  readonly directive: WorkflowDirective;
  /** When the renewed lease ends; null where there is none any more. */
  readonly leaseExpiresAt: Date | null;
  /** Why the directive is STOP, or why the metrics were refused. */
  readonly error: StopError | InvalidInputError | null;
}

/** What is done with one heartbeat, and what its worker is answered. */
interface Decision {
  readonly answer: HeartbeatAnswer;
  readonly renewal?: LeaseRenewal;
  readonly change?: JobChange<ReportedJob>;
  /** Its run fails: at once for the access mode; for the budget, after its metrics are written. */
  readonly violating?: ViolatingRun<HeartbeatViolation>;
  /** It was accepted: sent again, it is not to count again. */
  readonly accepted?: { readonly heartbeat: Heartbeat; readonly job: ReportedJob };
}

const VIOLATIONS = ["ACCESS_MODE_VIOLATION", "BUDGET_EXCEEDED"] as const;
type HeartbeatViolation = (typeof VIOLATIONS)[number];

/**
 * Renews leases and adds metrics (section 6), in one transaction and a fixed number of statements. Each heartbeat is
 * judged after those before it; one that brings no metrics makes no version of its job.
 * @returns in the order of `heartbeats`.
 * @throws TryAgainError where the database gave way too often; nothing of any of them was kept.
 */
export function heartbeatWorkflows(engine: Engine, heartbeats: readonly Heartbeat[]): Promise<HeartbeatAnswer[]> {
  return inTransaction(engine, async (tx) => {
    const reports = new SequentialReports(await lockReportedRuns(tx, heartbeats));
    const decisions = heartbeats.map((heartbeat, index) => {
      const found = reports.find(heartbeat.workflowRunId);
      const decision = decideHeartbeat(heartbeat, found, ["input", "heartbeats", String(index)]);
      if (decision.violating) reports.noteState(decision.violating.job.jobId, "FAILED");
      return decision;
    });
    await writeDecisions(tx, decisions);
    return decisions.map(({ answer }) => answer);
  });
}

async function writeDecisions(tx: Transaction, decisions: readonly Decision[]): Promise<void> {
  const keptReports = decisions.flatMap(({ accepted }) =>
    accepted ? toReportRows(accepted.heartbeat, accepted.job) : [],
  );
  const written = await writeVersions(
    tx,
    decisions.flatMap(({ change }) => change ?? []),
    [...renewLeasesCte(decisions.flatMap(({ renewal }) => renewal ?? [])), ...insertReportsCte(keptReports)],
  );
  // A budget that was exceeded is a second version, of the job as the metrics have left it.
  const withMetrics = new Map(written.map(({ job }) => [job.jobId, job]));
  const violating = decisions.flatMap((decision) => decision.violating ?? []);
  await failViolatingRuns(
    tx,
    violating.map((one) => ({ ...one, job: withMetrics.get(one.job.jobId) ?? one.job })),
  );
}

/** A heartbeat renews the lease of whoever holds it, also where it is a repeat, or its metrics or its id are refused. */
function decideHeartbeat(heartbeat: Heartbeat, found: LockedRun | undefined, path: readonly string[]): Decision {
  const { workflowRunId } = heartbeat;
  const admission = admitReport(heartbeat, found, { to: "RUNNING", endsRun: false, violations: VIOLATIONS, path });
  if (admission.kind === "REFUSED") return { answer: stop(workflowRunId, admission.error) };
  const { job, run } = admission;
  const renewal = renewalOf(run, job.now, heartbeat.leaseSeconds);
  const goOn = (error: InvalidInputError | null): Pick<Decision, "answer" | "renewal"> => {
    const { leaseExpiresAt } = renewal;
    return { answer: { workflowRunId, directive: "CONTINUE", leaseExpiresAt, error }, renewal };
  };
  if (admission.kind === "ID_TAKEN") return goOn(admission.error);
  if (admission.kind === "REPEAT") return goOn(null);
  const assessment = assessReport(job, heartbeat, path);
  const failFor = (violation: PolicyViolation<HeartbeatViolation>): Decision => ({
    answer: stop(workflowRunId, policyError(violation, job)),
    violating: { job, run, report: heartbeat, violation },
  });
  switch (assessment.kind) {
    case "REFUSED":
      return goOn(assessment.error);
    case "VIOLATION":
      return failFor(assessment.violation);
    case "WITHIN_POLICY": {
      const accepted = { heartbeat, job };
      if (isZero(heartbeat.metrics)) return { ...goOn(null), accepted };
      const { metrics, overBudget } = assessment;
      const change = metricsChange(job, run, metrics, heartbeat.metrics);
      return overBudget ? { ...failFor(overBudget), change } : { ...goOn(null), change, accepted };
    }
  }
}

/** A heartbeat never shortens a lease. */
function renewalOf(run: WorkflowRun, now: Date, leaseSeconds: number): LeaseRenewal {
  const asked = leaseUntil(now, leaseSeconds);
  const leaseExpiresAt = run.leaseExpiresAt && run.leaseExpiresAt > asked ? run.leaseExpiresAt : asked;
  return { id: run.id, leaseExpiresAt, lastHeartbeat: now };
}

function metricsChange(
  job: ReportedJob,
  run: WorkflowRun,
  metrics: JobMetrics,
  delta: MetricsDelta,
): JobChange<ReportedJob> {
  return {
    job,
    set: metrics,
    event: {
      type: "METRICS_RECORDED",
      by: { actor: "AGENT", actorId: run.workerId },
      payload: { delta: { ...delta } },
    },
  };
}

function stop(workflowRunId: string, error: StopError): HeartbeatAnswer {
  const { directive } = error;
  // Each of these errors tells a worker to stop when a report is answered with it. Two of them are also answers to others
  // than workers, so their type allows for no directive: without one, the lease is what the worker has lost for sure.
  const isStop = directive !== null && directive !== "CONTINUE";
  return { workflowRunId, directive: isStop ? directive : "STOP_LEASE_LOST", leaseExpiresAt: null, error };
}
