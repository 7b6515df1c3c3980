import type { WorkerReport, WorkflowRun } from "../db/generated/client/client.ts";
import type { JobMetrics } from "../db/metrics.ts";
import { inTransaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import { AppError, InvalidInputError, type WorkflowDirective } from "../errors.ts";
import type { ReportedJob } from "../jobs/lock.ts";
import { addMetrics, isZero, type MetricsDelta } from "../jobs/metrics.ts";
import { writeVersions } from "../jobs/store.ts";
import type { JobChange } from "../jobs/version.ts";
import { admitReport, type LockedReport, lockReportedRuns, recogniseReport, SequentialReports } from "./admission.ts";
import { leaseUntil } from "./lease-token.ts";
import {
  checkAccessMode,
  checkTokenBudget,
  failViolatingRuns,
  type PolicyViolation,
  policyError,
  type ViolatingRun,
  violationKeptIn,
} from "./policy.ts";
import { insertReportsCte, isRepeat, type Report, toReportRows } from "./report.ts";
import { type LeaseRenewal, renewLeasesCte } from "./store.ts";

export interface Heartbeat extends Report {
  readonly leaseSeconds: number;
  readonly metrics: MetricsDelta;
}

export interface HeartbeatAnswer {
  readonly workflowRunId: string;
  readonly directive: WorkflowDirective;
  /** When the renewed lease ends; null where there is none any more. */
  readonly leaseExpiresAt: Date | null;
  /** Why the directive is STOP, or why the metrics were refused. */
  readonly error: AppError | null;
}

/** What one heartbeat decides. */
interface Decision {
  readonly answer: HeartbeatAnswer;
  readonly renewal?: LeaseRenewal;
  readonly change?: JobChange<ReportedJob>;
  /** It breaks the access mode at once, or the budget once its metrics are recorded. */
  readonly broken?: ViolatingRun;
  readonly kept?: readonly WorkerReport[];
}

/**
 * Renews leases and adds metrics, in one transaction and a fixed number of statements. Each heartbeat is judged
 * after those before it; one that brings no metrics makes no version of its job.
 */
export function heartbeatWorkflows(engine: Engine, heartbeats: readonly Heartbeat[]): Promise<HeartbeatAnswer[]> {
  return inTransaction(engine, async (tx) => {
    const reported = new SequentialReports(await lockReportedRuns(tx, heartbeats));
    const decisions = heartbeats.map((heartbeat, index) => {
      const found = reported.find(heartbeat.workflowRunId);
      const decision = decide(heartbeat, found, ["input", "heartbeats", String(index)]);
      if (decision.broken) reported.noteState(decision.broken.job.jobId, "FAILED");
      return decision;
    });
    const broken = decisions.flatMap((decision) => decision.broken ?? []);
    const kept = (isBroken: boolean) =>
      decisions.flatMap((decision) => (isBroken === Boolean(decision.broken) ? (decision.kept ?? []) : []));
    const recorded = await writeVersions(
      tx,
      decisions.flatMap(({ change }) => change ?? []),
      [...renewLeasesCte(decisions.flatMap(({ renewal }) => renewal ?? [])), ...insertReportsCte(kept(false))],
    );
    // A budget that was passed is a second version, of the job as the metrics have left it.
    const now = new Map(recorded.map(({ job }) => [job.jobId, job]));
    await failViolatingRuns(
      tx,
      broken.map((one) => ({ ...one, job: now.get(one.job.jobId) ?? one.job })),
      kept(true),
    );
    return decisions.map(({ answer }) => answer);
  });
}

function decide(heartbeat: Heartbeat, found: LockedReport | undefined, path: readonly string[]): Decision {
  const { workflowRunId, leaseToken } = heartbeat;
  const recognised = recogniseReport(found, leaseToken);
  if (recognised instanceof AppError) return { answer: stop(workflowRunId, recognised) };
  const repeated = isRepeat(heartbeat, recognised.earlier, path);
  const earlier = repeated === true && recognised.earlier ? violationKeptIn(recognised.earlier) : null;
  if (earlier) return { answer: stop(workflowRunId, policyError(earlier, recognised.job)) };
  const admitted = admitReport(recognised, leaseToken, "RUNNING");
  if (admitted instanceof AppError) return { answer: stop(workflowRunId, admitted) };
  const { job, run, now } = admitted;

  const renewal = renewalOf(run, now, heartbeat.leaseSeconds);
  const { leaseExpiresAt } = renewal;
  const goOn = (error: AppError | null) => ({ workflowRunId, directive: "CONTINUE", leaseExpiresAt, error }) as const;
  if (repeated !== false) return { answer: goOn(repeated === true ? null : repeated), renewal };
  const forbidden = checkAccessMode(job, heartbeat.metrics);
  if (forbidden) return breaks(heartbeat, job, run, forbidden);
  const metrics = addMetrics(job, heartbeat.metrics, [...path, "metrics"]);
  if (metrics instanceof InvalidInputError) return { answer: goOn(metrics), renewal };
  const kept = toReportRows(heartbeat, job);
  if (isZero(heartbeat.metrics)) return { answer: goOn(null), renewal, kept };
  const change = metricsChange(job, run, metrics, heartbeat.metrics);
  const passed = checkTokenBudget(job, metrics);
  return passed ? { ...breaks(heartbeat, job, run, passed), change } : { answer: goOn(null), renewal, change, kept };
}

/** A heartbeat never shortens a lease. */
function renewalOf(run: WorkflowRun, now: Date, leaseSeconds: number): LeaseRenewal {
  const asked = leaseUntil(now, leaseSeconds);
  const leaseExpiresAt = run.leaseExpiresAt && run.leaseExpiresAt > asked ? run.leaseExpiresAt : asked;
  return { id: run.id, leaseExpiresAt, lastHeartbeat: now };
}

function breaks(heartbeat: Heartbeat, job: ReportedJob, run: WorkflowRun, violation: PolicyViolation): Decision {
  return {
    answer: stop(run.id, policyError(violation, job)),
    broken: { job, run, violation },
    kept: toReportRows(heartbeat, job, { violation }),
  };
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

function stop(workflowRunId: string, error: AppError): HeartbeatAnswer {
  const told = "directive" in error ? error.directive : null;
  return { workflowRunId, directive: isStop(told) ? told : "STOP_LEASE_LOST", leaseExpiresAt: null, error };
}

function isStop(directive: unknown): directive is WorkflowDirective {
  return typeof directive === "string" && directive.startsWith("STOP_");
}
