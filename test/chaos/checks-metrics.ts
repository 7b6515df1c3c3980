import type { Check } from "./check.ts";

/** Statements about what was used: the jobs' metrics and cost, the ledger, and what the workers have reported. */

/**
 * Reports whose metrics count, with their jobs. A report that breaks the access mode is stored without its metrics. What a poisoned job
 * used is counted beside it, in the ledger alone.
 */
const COUNTED = `counted AS (
  SELECT job_id, is_guarded, metrics, calls, EXISTS (
      SELECT FROM usage_entries u
      WHERE u.workflow_run_id = w.workflow_run_id AND u.report_id = w.report_id AND u.version IS NULL) AS is_beside
  FROM worker_reports w JOIN chaos.reports USING (workflow_run_id, report_id, is_usage)
  JOIN workflow_runs run ON run.id = w.workflow_run_id
  WHERE policy_violation_code IS NULL OR policy_violation_code = 'BUDGET_EXCEEDED'
), called AS (
  SELECT job_id, is_beside, call->>'provider' AS provider, call->>'model' AS model, (call->>'inputTokens')::bigint AS input,
    (call->>'cachedInputTokens')::bigint AS cached, (call->>'outputTokens')::bigint AS output,
    (call->>'reasoningTokens')::bigint AS reasoning, (call->>'costMicros')::bigint AS cost
  FROM counted, jsonb_array_elements(calls) AS call)`;

const sumOf = (metric: string) => `coalesce(sum((metrics->>'${metric}')::bigint), 0)`;

export const METRICS: readonly Check[] = [
  {
    name: "a job's metrics and cost are the sum of its accepted reports",
    refutation: `
      WITH ${COUNTED}, reported AS (
        SELECT job_id, ${sumOf("durationMs")} AS duration, ${sumOf("inputTokens")} AS input, ${sumOf("outputTokens")} AS output,
          ${sumOf("tokensPlanner")} AS planner, ${sumOf("tokensExecutor")} AS executor, ${sumOf("entitiesRead")} AS read,
          ${sumOf("entitiesWritten")} AS written
        FROM counted GROUP BY 1
      ), of_calls AS (
        SELECT job_id, sum(input + cached) AS input, sum(output + reasoning) AS output, sum(cost) AS cost
        FROM called WHERE NOT is_beside GROUP BY 1
      ), expected AS (
        SELECT job_id, coalesce(r.input, 0) + coalesce(c.input, 0) AS input, coalesce(r.output, 0) + coalesce(c.output, 0) AS output,
          coalesce(c.cost, 0) AS cost, coalesce(duration, 0) AS duration, coalesce(planner, 0) AS planner,
          coalesce(executor, 0) AS executor, coalesce(read, 0) AS read, coalesce(written, 0) AS written
        FROM ai_jobs LEFT JOIN reported r USING (job_id) LEFT JOIN of_calls c USING (job_id))
      SELECT j.job_id, j.state, j.input_tokens, j.output_tokens, j.cost_micros, e.* FROM ai_jobs j JOIN expected e USING (job_id)
      WHERE (j.duration_ms, j.total_tokens, j.input_tokens, j.output_tokens, j.cost_micros, j.tokens_planner, j.tokens_executor,
          j.entities_read, j.entities_written)
        <> (e.duration, e.input + e.output, e.input, e.output, e.cost, e.planner, e.executor, e.read, e.written)`,
  },
  {
    name: "the ledger has each model's calls as they were reported, those of poisoned jobs beside the jobs",
    refutation: `
      WITH ${COUNTED}, reported AS (
        SELECT job_id, is_beside, provider, model, sum(input) AS input, sum(cached) AS cached, sum(output) AS output,
          sum(reasoning) AS reasoning, sum(cost) AS cost, count(*) AS calls
        FROM called GROUP BY 1, 2, 3, 4
      ), stored AS (
        SELECT job_id, version IS NULL AS is_beside, provider, model, sum(input_tokens) AS input, sum(cached_input_tokens) AS cached,
          sum(output_tokens) AS output, sum(reasoning_tokens) AS reasoning, sum(cost_micros) AS cost, sum(calls) AS calls
        FROM usage_entries GROUP BY 1, 2, 3, 4)
      (SELECT 'reported only', * FROM reported EXCEPT SELECT 'reported only', * FROM stored)
      UNION ALL (SELECT 'stored only', * FROM stored EXCEPT SELECT 'stored only', * FROM reported)`,
  },
  {
    name: "no calls count twice: those of a report that was kept were not taken by themselves as well",
    refutation: `
      SELECT w.report_id, count(*) FROM worker_reports w
      WHERE policy_violation_code IS DISTINCT FROM 'ACCESS_MODE_VIOLATION' GROUP BY 1 HAVING count(*) > 1`,
  },
  {
    name: "calls that were refused by themselves are those of a report that was kept",
    refutation: `
      SELECT a.* FROM chaos.answers a WHERE is_usage AND code IS NOT NULL
        AND NOT EXISTS (SELECT FROM worker_reports w WHERE w.report_id = a.report_id AND NOT w.is_usage)`,
  },
  {
    // Guards run over what a job was submitted with at each of its runs, where it brings any text, and over each report that
    // brings any text. $1 is the names of the guards in their order: the guard that found a violation was the last one that ran.
    name: "a job's validatorsRunCount is the sum of its reports' and of the guards that the server ran for it",
    refutation: `
      WITH ${COUNTED}, reported AS (
        SELECT job_id, ${sumOf("validatorsRunCount")} + count(*) FILTER (WHERE is_guarded) * cardinality($1::text[]) AS n
        FROM counted GROUP BY 1
      ), violations AS (
        SELECT job_id, sum(array_position($1::text[], payload->>'guard_name')) AS n FROM flight_recorder_events
        WHERE type = 'security_violation' AND payload->>'trigger' NOT LIKE '% of jobInputs%' GROUP BY 1)
      SELECT j.job_id, j.state, j.validators_run_count, reported.n AS reported, violations.n AS violations
      FROM ai_jobs j LEFT JOIN reported USING (job_id) LEFT JOIN violations USING (job_id)
      WHERE j.validators_run_count <> coalesce(reported.n, 0) + coalesce(violations.n, 0)
        + CASE WHEN j.job_inputs IS NULL AND j.entity_refs = '[]' AND j.planned_operations = '[]' THEN 0 ELSE j.attempt * cardinality($1::text[]) END`,
  },
  {
    // What is reported when the job has ended changes its state no more.
    name: "a job over its token budget has failed because of it",
    refutation: `
      WITH late AS (
        SELECT e.job_id, sum(e.total_tokens - before.total_tokens) AS tokens FROM flight_recorder_events e JOIN ai_jobs j USING (job_id)
        JOIN flight_recorder_events before ON before.job_id = e.job_id AND before.version = e.version - 1
        WHERE e.type = 'metrics_recorded' AND e.payload->>'is_late' = 'true' AND e.state = j.state GROUP BY 1)
      SELECT job_id, state, total_tokens, token_budget FROM ai_jobs LEFT JOIN late USING (job_id)
      WHERE (total_tokens - coalesce(late.tokens, 0) > token_budget AND state <> 'failed')
        OR (status_reason = 'budget_exceeded' AND total_tokens <= token_budget)`,
  },
];
