import { AppError, InvalidInputError, type WorkflowDirective } from "../errors.ts";
import { addMetrics, isZero, type MetricsDelta } from "../jobs/metrics.ts";
import { type JobChange, record } from "../recorder/commit.ts";
import type { ReportedJob } from "../recorder/lock.ts";
import { inTransaction } from "../recorder/transaction.ts";
import type { JobMetrics } from "../storage/columns.ts";
import type { WorkerReport, WorkflowRun } from "../storage/generated/client/client.ts";
import {
  type Breach,
  type BrokenRun,
  breachOf,
  breachOfAccess,
  breachOfBudget,
  errorOf,
  failBroken,
} from "./breach.ts";
import type { Engine } from "./engine.ts";
import { admitReport, leaseUntil, recogniseReport } from "./lease.ts";
import { isRepeated, keptReport, keptReports, type Report } from "./reports.ts";
import { type LockedReport, lockReported, type Renewal, ReportsInOrder, renewedLeases } from "./runs.ts";

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
  readonly renewal?: Renewal;
  readonly change?: JobChange<ReportedJob>;
  /** It breaks the access mode at once, or the budget once its metrics are recorded. */
  readonly broken?: BrokenRun;
  readonly kept?: readonly WorkerReport[];
}

/**
 * Renews leases and adds metrics, in one transaction and a fixed number of statements. Each heartbeat is judged
 * after those before it; one that brings no metrics makes no version of its job.
 */
export function heartbeatWorkflows(engine: Engine, heartbeats: readonly Heartbeat[]): Promise<HeartbeatAnswer[]> {
  return inTransaction(engine, async (tx) => {
    const reported = new ReportsInOrder(await lockReported(tx, heartbeats));
    const decisions = heartbeats.map((heartbeat, index) => {
      const found = reported.find(heartbeat.workflowRunId);
      const decision = decide(heartbeat, found, ["input", "heartbeats", String(index)]);
      if (decision.broken) reported.becomes(decision.broken.job.jobId, "FAILED");
      return decision;
    });
    const broken = decisions.flatMap((decision) => decision.broken ?? []);
    const kept = (isBroken: boolean) =>
      decisions.flatMap((decision) => (isBroken === Boolean(decision.broken) ? (decision.kept ?? []) : []));
    const recorded = await record(
      tx,
      decisions.flatMap(({ change }) => change ?? []),
      [...renewedLeases(decisions.flatMap(({ renewal }) => renewal ?? [])), ...keptReports(kept(false))],
    );
    // A budget that was passed is a second version, of the job as the metrics have left it.
    const now = new Map(recorded.map(({ job }) => [job.jobId, job]));
    await failBroken(
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
  const repeated = isRepeated(heartbeat, recognised.earlier, path);
  const earlier = repeated === true && recognised.earlier ? breachOf(recognised.earlier) : null;
  if (earlier) return { answer: stop(workflowRunId, errorOf(earlier, recognised.job)) };
  const admitted = admitReport(recognised, leaseToken, "RUNNING");
  if (admitted instanceof AppError) return { answer: stop(workflowRunId, admitted) };
  const { job, run, now } = admitted;

  const renewal = renewalOf(run, now, heartbeat.leaseSeconds);
  const { leaseExpiresAt } = renewal;
  const goOn = (error: AppError | null) => ({ workflowRunId, directive: "CONTINUE", leaseExpiresAt, error }) as const;
  if (repeated !== false) return { answer: goOn(repeated === true ? null : repeated), renewal };
  const forbidden = breachOfAccess(job, heartbeat.metrics);
  if (forbidden) return breaks(heartbeat, job, run, forbidden);
  const metrics = addMetrics(job, heartbeat.metrics, [...path, "metrics"]);
  if (metrics instanceof InvalidInputError) return { answer: goOn(metrics), renewal };
  const kept = keptReport(heartbeat, job);
  if (isZero(heartbeat.metrics)) return { answer: goOn(null), renewal, kept };
  const change = metricsChange(job, run, metrics, heartbeat.metrics);
  const passed = breachOfBudget(job, metrics);
  return passed ? { ...breaks(heartbeat, job, run, passed), change } : { answer: goOn(null), renewal, change, kept };
}

/** A heartbeat never shortens a lease. */
function renewalOf(run: WorkflowRun, now: Date, leaseSeconds: number): Renewal {
  const asked = leaseUntil(now, leaseSeconds);
  const leaseExpiresAt = run.leaseExpiresAt && run.leaseExpiresAt > asked ? run.leaseExpiresAt : asked;
  return { id: run.id, leaseExpiresAt, lastHeartbeat: now };
}

function breaks(heartbeat: Heartbeat, job: ReportedJob, run: WorkflowRun, breach: Breach): Decision {
  return {
    answer: stop(run.id, errorOf(breach, job)),
    broken: { job, run, breach },
    kept: keptReport(heartbeat, job, { breach }),
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
