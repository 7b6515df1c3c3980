import { AppError, InvalidInputError, type WorkflowDirective } from "../errors.ts";
import { addMetrics, isZero, type MetricsDelta } from "../jobs/metrics.ts";
import { type JobChange, record } from "../recorder/commit.ts";
import { inTransaction } from "../recorder/transaction.ts";
import type { Engine } from "./engine.ts";
import { admitReport, leaseUntil } from "./lease.ts";
import { lockReported, type Renewal, renewLeases } from "./runs.ts";

export interface Heartbeat {
  readonly workflowRunId: string;
  readonly leaseToken: string;
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

/**
 * Renews leases and adds metrics, in one transaction and a fixed number of statements. Each heartbeat is judged by
 * itself; one that brings no metrics makes no version of its job.
 */
export function heartbeatWorkflows(engine: Engine, heartbeats: readonly Heartbeat[]): Promise<HeartbeatAnswer[]> {
  return inTransaction(engine, async (tx) => {
    const reported = await lockReported(
      tx,
      heartbeats.map(({ workflowRunId }) => workflowRunId),
    );
    const renewals: Renewal[] = [];
    const changes: JobChange[] = [];
    const answers = heartbeats.map((heartbeat, index): HeartbeatAnswer => {
      const { workflowRunId } = heartbeat;
      const admitted = admitReport(reported.get(workflowRunId), heartbeat.leaseToken, "RUNNING");
      if (admitted instanceof AppError) return stop(workflowRunId, admitted);
      const { job, run, now } = admitted;
      const asked = leaseUntil(now, heartbeat.leaseSeconds);
      const leaseExpiresAt = run.leaseExpiresAt && run.leaseExpiresAt > asked ? run.leaseExpiresAt : asked;
      renewals.push({ id: run.id, leaseExpiresAt, lastHeartbeat: now });
      const metrics = addMetrics(job, heartbeat.metrics, ["input", "heartbeats", String(index), "metrics"]);
      const refused = metrics instanceof InvalidInputError;
      if (!refused && !isZero(heartbeat.metrics)) {
        changes.push({
          job,
          set: metrics,
          event: {
            type: "METRICS_RECORDED",
            by: { actor: "AGENT", actorId: run.workerId },
            payload: { delta: { ...heartbeat.metrics } },
          },
        });
      }
      return { workflowRunId, directive: "CONTINUE", leaseExpiresAt, error: refused ? metrics : null };
    });
    await renewLeases(tx, renewals);
    await record(tx, changes);
    return answers;
  });
}

function stop(workflowRunId: string, error: AppError): HeartbeatAnswer {
  const told = "directive" in error ? error.directive : null;
  return { workflowRunId, directive: isStop(told) ? told : "STOP_LEASE_LOST", leaseExpiresAt: null, error };
}

function isStop(directive: unknown): directive is WorkflowDirective {
  return typeof directive === "string" && directive.startsWith("STOP_");
}
