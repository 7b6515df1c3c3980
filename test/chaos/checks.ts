import type { Check } from "./check.ts";
import { DURABLE } from "./checks-durable.ts";
import { METRICS } from "./checks-metrics.ts";

const ENDED = "('completed', 'completed_with_issues', 'cancelled', 'failed', 'poisoned')";

const STATES: readonly Check[] = [
  {
    name: "every job has ended: none is running, stalled, or queued although workers wait for jobs",
    refutation: `SELECT job_id, state, run_after FROM ai_jobs WHERE state NOT IN ${ENDED}`,
  },
  {
    name: "no run is active, and no node is open",
    refutation: `
      SELECT r.id, r.state, j.state AS job FROM workflow_runs r JOIN ai_jobs j USING (job_id) WHERE r.finished_at IS NULL
      UNION ALL
      SELECT n.id, n.state, r.state FROM node_executions n JOIN workflow_runs r ON r.id = n.workflow_run_id
      WHERE n.finished_at IS NULL`,
  },
  {
    name: "a job's latest run ended as the job did; the latest run of a job that is retried failed or stalled",
    refutation: `
      SELECT j.job_id, j.state, r.state AS run FROM ai_jobs j JOIN workflow_runs r ON r.id = j.workflow_run_id
      WHERE NOT CASE j.state
        WHEN 'queued' THEN r.state IN ('failed', 'stalled')
        -- What was used by an earlier run fails a job that waits after it was given back, answered or woken, too.
        WHEN 'failed' THEN r.state IN ('failed', 'stalled') OR j.status_reason = 'budget_exceeded'
        WHEN 'cancelled' THEN r.state IN ('cancelled', 'failed', 'stalled')
        ELSE r.state = j.state END`,
  },
  {
    name: "a job whose cancellation was confirmed is cancelled",
    refutation: `
      SELECT j.job_id, j.state FROM chaos.cancelled JOIN ai_jobs j USING (job_id) WHERE j.state <> 'cancelled'`,
  },
];

const LEASES: readonly Check[] = [
  {
    name: "a run is recovered only after its last lease has expired",
    refutation: `
      SELECT r.id, r.finished_at, l.last FROM workflow_runs r
      JOIN (SELECT workflow_run_id AS id, max(lease_expires_at) AS last FROM chaos.leases GROUP BY 1) l USING (id)
      WHERE r.finished_at < l.last AND r.state = 'stalled'`,
  },
  {
    // A run that asked a person has no lease any more; and late usage may end one that nobody has recovered yet.
    name: "a run whose lease had expired when it finished was recovered, cancelled or poisoned",
    refutation: `
      SELECT r.id, r.state, r.finished_at, l.last FROM workflow_runs r
      JOIN (SELECT workflow_run_id AS id, max(lease_expires_at) AS last FROM chaos.leases GROUP BY 1) l USING (id)
      WHERE r.finished_at >= l.last AND r.state NOT IN ('stalled', 'cancelled', 'poisoned')
        AND r.end_reason <> 'budget_exceeded' AND NOT EXISTS (SELECT FROM user_input_requests q WHERE q.workflow_run_id = r.id)`,
  },
  {
    name: "every report but usage was accepted under a lease that had not expired, while its run was active",
    refutation: `
      SELECT a.* FROM chaos.accepted a JOIN workflow_runs r ON r.id = a.workflow_run_id
      WHERE NOT a.is_usage AND (a.lease_expires_at IS NULL OR a.recorded_at >= a.lease_expires_at
        OR a.recorded_at NOT BETWEEN r.started_at AND r.finished_at)`,
  },
  {
    name: "every lease that a worker was given is one that the database had",
    refutation: `
      WITH given AS (
        SELECT workflow_run_id, lease_expires_at FROM chaos.claims WHERE lease_expires_at IS NOT NULL
        UNION SELECT workflow_run_id, h.lease_expires_at FROM chaos.answers h JOIN chaos.reports USING (report_id, is_usage)
        WHERE h.lease_expires_at IS NOT NULL)
      SELECT * FROM given EXCEPT SELECT workflow_run_id, lease_expires_at FROM chaos.leases`,
  },
  {
    name: "a run was delivered once, with its own job",
    refutation: `
      SELECT workflow_run_id, count(*), min(c.job_id::text) FROM chaos.claims c
      LEFT JOIN workflow_runs r ON r.id = c.workflow_run_id
      GROUP BY 1 HAVING count(*) > 1 OR bool_or(c.job_id IS DISTINCT FROM r.job_id)`,
  },
];

const REPORTS: readonly Check[] = [
  {
    name: "no report was accepted that no worker has sent",
    refutation: `
      SELECT w.* FROM worker_reports w LEFT JOIN chaos.reports r USING (workflow_run_id, report_id, is_usage)
      LEFT JOIN chaos.sent s USING (report_id, is_usage) WHERE r.report_id IS NULL OR s.report_id IS NULL`,
  },
  {
    name: "a report that was answered as accepted is stored; a report that was sent once and refused is not",
    refutation: `
      SELECT h.*, s.times, w.policy_violation_code FROM chaos.answers h JOIN chaos.sent s USING (report_id, is_usage)
      LEFT JOIN worker_reports w USING (report_id, is_usage)
      WHERE CASE
        WHEN h.code IS NULL THEN w.report_id IS NULL OR w.policy_violation_code IS NOT NULL
        WHEN h.code IN ('BUDGET_EXCEEDED', 'ACCESS_MODE_VIOLATION') THEN h.code IS DISTINCT FROM w.policy_violation_code
        ELSE s.times = 1 AND w.report_id IS NOT NULL END`,
  },
  {
    name: "a run of which a kit says that it was completed or failed, was",
    refutation: `
      SELECT e.ending, r.id, r.state, r.end_reason FROM chaos.ended e JOIN workflow_runs r ON r.id = e.workflow_run_id
      WHERE (e.ending = 'completed' AND r.state NOT IN ('completed', 'completed_with_issues'))
        OR (e.ending = 'failed' AND r.state NOT IN ('failed', 'poisoned'))`,
  },
];

const EVENTS: readonly Check[] = [
  {
    name: "every stalled run has exactly one recovery event, and no other run has one",
    refutation: `
      SELECT r.id, r.state, count(e.version) FROM workflow_runs r JOIN ai_jobs j USING (job_id)
      LEFT JOIN flight_recorder_events e ON e.workflow_run_id = r.id AND e.type = 'workflow_recovery'
      GROUP BY r.id, j.job_id
      -- A poisoning also poisons runs that had stalled before it.
      HAVING count(e.version)
        <> (r.state = 'stalled' OR (r.state = 'poisoned' AND r.finished_at < j.completed_at))::int`,
  },
  {
    name: "a recovery event names the expired lease, and the same transaction queues or fails the job",
    refutation: `
      SELECT e.job_id, e.version, e.payload FROM flight_recorder_events e
      LEFT JOIN flight_recorder_events next ON next.job_id = e.job_id AND next.version = e.version + 1
      WHERE e.type = 'workflow_recovery' AND NOT coalesce(
        (e.payload->>'lease_expired_at')::timestamptz <= e.recorded_at
        AND (e.payload->>'lease_expired_at')::timestamptz = (
          SELECT lease_expires_at FROM chaos.leases l
          WHERE l.workflow_run_id = e.workflow_run_id AND lease_expires_at IS NOT NULL ORDER BY l.id DESC LIMIT 1)
        AND next.order_xid = e.order_xid AND next.state IN ('queued', 'failed'), false)`,
  },
];

/** What holds at any time, whoever has sent whatever; the others are about the end of a run of the chaos test, and its journals. */
export const AT_ANY_TIME: readonly Check[] = [
  {
    name: "a job has as many runs as attempts, numbered without a gap, and its latest is its last",
    refutation: `
      SELECT j.job_id, j.attempt, count(r.id), max(r.attempt) FROM ai_jobs j LEFT JOIN workflow_runs r USING (job_id)
      GROUP BY j.job_id
      HAVING (count(r.id), coalesce(max(r.attempt), 0)) <> (j.attempt, j.attempt)
        OR j.workflow_run_id IS DISTINCT FROM (array_agg(r.id ORDER BY r.attempt DESC))[1]`,
  },
  {
    name: "no two runs of a job overlap",
    refutation: `
      SELECT a.job_id, a.id, a.finished_at, b.id, b.started_at FROM workflow_runs a JOIN workflow_runs b USING (job_id)
      WHERE a.attempt < b.attempt AND (a.finished_at IS NULL OR a.finished_at > b.started_at)`,
  },
  {
    name: "a job has one event for each version, from 1 without a gap",
    refutation: `
      SELECT j.job_id, j.version, count(e.*) FROM ai_jobs j LEFT JOIN flight_recorder_events e USING (job_id)
      GROUP BY j.job_id
      HAVING (count(e.version), min(e.version), max(e.version), max(e.order_xid))
        IS DISTINCT FROM (j.version::bigint, 1, j.version, j.order_xid)`,
  },
  {
    name: "every recovery event names a run of its job",
    refutation: `
      SELECT e.job_id, e.version FROM flight_recorder_events e LEFT JOIN workflow_runs r ON r.id = e.workflow_run_id
      WHERE e.type = 'workflow_recovery' AND r.job_id IS DISTINCT FROM e.job_id`,
  },
];

export const CHECKS: readonly Check[] = [
  ...STATES,
  ...LEASES,
  ...REPORTS,
  ...METRICS,
  ...DURABLE,
  ...EVENTS,
  ...AT_ANY_TIME,
];
