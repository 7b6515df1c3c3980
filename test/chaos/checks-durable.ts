import type { Check } from "./check.ts";

/** Statements about what a job's runs hand on to each other, what it waits for, and when a worker stops by its own clock (section 13). */

const HAND_ON: readonly Check[] = [
  {
    name: "no step of a job succeeded twice: whoever went on did not repeat what was done",
    refutation: `
      SELECT r.job_id, n.node_id, count(*) FROM node_executions n JOIN workflow_runs r ON r.id = n.workflow_run_id
      WHERE n.state = 'completed' GROUP BY 1, 2 HAVING count(*) > 1`,
  },
  {
    name: "a claim brought the steps that had succeeded in earlier runs, with their outputs, and nothing else",
    refutation: `
      WITH brought AS (
        SELECT c.workflow_run_id, node->>'nodeId' AS node_id, nullif(node->'output', 'null') AS output
        FROM chaos.claims c, jsonb_array_elements(c.brought->'completedNodes') AS node
      ), stored AS (
        SELECT c.workflow_run_id, n.node_id, nullif(n.output_payload, 'null') AS output FROM chaos.claims c
        JOIN workflow_runs r ON r.id = c.workflow_run_id JOIN workflow_runs earlier ON earlier.job_id = r.job_id
        JOIN node_executions n ON n.workflow_run_id = earlier.id
        WHERE earlier.attempt < r.attempt AND n.state = 'completed')
      (SELECT 'brought only', * FROM brought EXCEPT SELECT 'brought only', * FROM stored)
      UNION ALL (SELECT 'stored only', * FROM stored EXCEPT SELECT 'stored only', * FROM brought)`,
  },
  {
    name: "what a step did outside happened once, however many runs began the step, and all of them know it as the same",
    refutation: `
      WITH known AS (
        SELECT key, receipt FROM chaos.effects
        UNION ALL
        SELECT r.job_id || ':' || n.node_id, n.output_payload->>'receipt'
        FROM node_executions n JOIN workflow_runs r ON r.id = n.workflow_run_id WHERE n.state = 'completed')
      SELECT known.*, done.receipt AS done FROM known LEFT JOIN chaos.done USING (key)
      WHERE known.receipt IS DISTINCT FROM done.receipt`,
  },
  {
    name: "a claim brought the answers to the questions of earlier runs, as they are stored",
    refutation: `
      WITH brought AS (
        SELECT c.workflow_run_id, (a->>'requestId')::uuid AS request_id, a->'answer' AS answer
        FROM chaos.claims c, jsonb_array_elements(c.brought->'userAnswers') AS a
      ), stored AS (
        SELECT c.workflow_run_id, q.request_id, q.answer FROM chaos.claims c
        JOIN workflow_runs r ON r.id = c.workflow_run_id JOIN workflow_runs earlier ON earlier.job_id = r.job_id
        JOIN user_input_requests q ON q.workflow_run_id = earlier.id
        WHERE earlier.attempt < r.attempt AND q.answered_at IS NOT NULL)
      (SELECT 'brought only', * FROM brought EXCEPT SELECT 'brought only', * FROM stored)
      UNION ALL (SELECT 'stored only', * FROM stored EXCEPT SELECT 'stored only', * FROM brought)`,
  },
];

const WAITS: readonly Check[] = [
  {
    name: "a job that has ended waits for nothing",
    refutation:
      "SELECT job_id, state, waits_for, waits_until FROM ai_jobs WHERE waits_for IS NOT NULL OR waits_until IS NOT NULL",
  },
  {
    name: "runs that were given back or answered are the attempts that were not charged",
    refutation: `
      SELECT j.job_id, j.attempt, j.uncharged_attempts, count(r.id) FROM ai_jobs j
      LEFT JOIN workflow_runs r ON r.job_id = j.job_id AND r.end_reason IN ('released', 'released_too_often', 'answered')
      GROUP BY j.job_id HAVING count(r.id) <> j.uncharged_attempts`,
  },
  {
    name: "a job that failed because its attempts were spent had spent as many as it may, those that were not charged aside",
    refutation: `
      SELECT job_id, status_reason, attempt, uncharged_attempts, max_attempts FROM ai_jobs
      WHERE state = 'failed' AND status_reason = 'lease_expired' AND attempt - uncharged_attempts < max_attempts`,
  },
  {
    name: "a job that was given back, answered or woken went on: with a run, or to its end",
    refutation: `
      SELECT e.job_id, e.version, e.payload FROM flight_recorder_events e
      WHERE e.state = 'queued' AND e.payload->>'reason' IN ('released', 'answered', 'children_ended') AND NOT EXISTS (
        SELECT FROM flight_recorder_events later
        WHERE later.job_id = e.job_id AND later.version > e.version AND later.state <> 'queued')`,
  },
  {
    name: "a job that waited for its children was woken, once all of them had ended, and only so went on with a run",
    refutation: `
      SELECT e.job_id, e.version, woken.version AS woken, child.job_id AS child FROM flight_recorder_events e
      LEFT JOIN flight_recorder_events woken
        ON woken.job_id = e.job_id AND woken.version > e.version AND woken.payload->>'reason' = 'children_ended'
      LEFT JOIN ai_jobs child ON child.parent_job_id = e.job_id AND child.ended_at > woken.recorded_at
      JOIN flight_recorder_events next ON next.job_id = e.job_id AND next.version > e.version AND next.state = 'running'
      WHERE e.payload->>'waits_for' = 'children'
        AND (woken.version IS NULL OR woken.version > next.version OR child.job_id IS NOT NULL)
        AND NOT EXISTS (
          SELECT FROM flight_recorder_events between_them WHERE between_them.job_id = e.job_id
            AND between_them.version > e.version AND between_them.version < next.version AND between_them.state = 'running')`,
  },
  {
    name: "whoever claimed a job that had waited for its children got all of them, with the states in which they ended",
    refutation: `
      SELECT c.workflow_run_id, child.job_id, child.state FROM chaos.claims c JOIN workflow_runs r ON r.id = c.workflow_run_id
      JOIN workflow_runs before ON before.job_id = r.job_id AND before.attempt = r.attempt - 1
      JOIN chaos.reports w ON w.workflow_run_id = before.id AND w.input->>'untilChildrenEnd' = 'true'
      JOIN worker_reports USING (report_id, is_usage)
      JOIN ai_jobs child ON child.parent_job_id = r.job_id
      WHERE before.end_reason = 'released'
        AND NOT c.brought->'children' @> jsonb_build_array(jsonb_build_object('jobId', child.job_id, 'state', upper(child.state::text)))`,
  },
  {
    name: "every question was answered, ran out of time, or ended with its job",
    refutation: `
      SELECT q.request_id, q.answered_at, r.end_reason FROM user_input_requests q JOIN workflow_runs r ON r.id = q.workflow_run_id
      WHERE (q.answered_at IS NOT NULL) <> (r.end_reason = 'answered')
        OR r.end_reason NOT IN ('answered', 'user_input_timeout', 'cancelled', 'poisoned', 'budget_exceeded')
        OR (r.end_reason = 'user_input_timeout' AND r.finished_at < q.expires_at)
        OR (r.end_reason = 'answered' AND q.answered_at >= q.expires_at)`,
  },
  {
    name: "an answer is one that a person gave, and an answer that was confirmed is stored",
    refutation: `
      SELECT q.request_id, q.answer, d.* FROM user_input_requests q
      FULL JOIN chaos.decisions d ON d."requestId" = q.request_id AND d.answer IS NOT NULL
      WHERE (q.answered_at IS NOT NULL AND q.answer #>> '{}' IS DISTINCT FROM d.answer)
        OR (d."isConfirmed" AND q.answer #>> '{}' IS DISTINCT FROM d.answer)`,
  },
  {
    name: "a job whose cancellation in answer to its question was confirmed is cancelled",
    refutation: `
      SELECT j.job_id, j.state FROM chaos.decisions d JOIN ai_jobs j ON j.job_id = d."jobId"
      WHERE d."isConfirmed" AND d.answer IS NULL AND j.state <> 'cancelled'`,
  },
];

/** The clocks of this machine's processes, PostgreSQL's among them, are one; times are stored to the millisecond. */
const OWN_CLOCK: readonly Check[] = [
  {
    name: "a lease, by the clock of its worker, was over no later than by the database's",
    refutation: `
      WITH given AS (
        SELECT workflow_run_id, sent_at, (brought->>'leaseSeconds')::int AS seconds, lease_expires_at FROM chaos.claims
        UNION ALL
        SELECT workflow_run_id, sent_at, (input->>'leaseSeconds')::int, lease_expires_at
        FROM chaos.answers JOIN chaos.reports USING (report_id, is_usage) WHERE lease_expires_at IS NOT NULL)
      SELECT * FROM given WHERE sent_at + make_interval(secs => seconds) > lease_expires_at + interval '2 milliseconds'`,
  },
  {
    name: "a lease, by the clock of a kit, which does not ask how long it lasts, was over no later than one that the database had",
    refutation: `
      WITH given AS (
        SELECT workflow_run_id, sent_at, (brought->>'leaseSeconds')::int AS seconds FROM chaos.claims WHERE lease_expires_at IS NULL
        UNION ALL SELECT workflow_run_id, sent_at, seconds FROM chaos.renewals)
      SELECT * FROM given WHERE NOT EXISTS (
        SELECT FROM chaos.leases l WHERE l.workflow_run_id = given.workflow_run_id
          AND sent_at + make_interval(secs => seconds) <= l.lease_expires_at + interval '2 milliseconds')`,
  },
  {
    name: "no step began, and no step or renewal was counted on, once the job's next run had begun",
    refutation: `
      SELECT a.*, next.started_at FROM chaos.acts a JOIN workflow_runs r ON r.id = a.workflow_run_id
      JOIN workflow_runs next ON next.job_id = r.job_id AND next.attempt = r.attempt + 1
      LEFT JOIN chaos.reports w ON w.report_id = a.report_id AND NOT w.is_usage
      WHERE a.at >= next.started_at + interval '2 milliseconds'
        AND (a.type = 'begun' OR (a.type = 'counted' AND w.kind IN ('advance', 'heartbeat')))`,
  },
];

export const DURABLE: readonly Check[] = [...HAND_ON, ...WAITS, ...OWN_CLOCK];
