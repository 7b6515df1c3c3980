import { stateCodes } from "../db/enum-codes.ts";
import { Prisma } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { METRIC_NAMES } from "../db/job-columns.ts";
import { snakeCase, toDbEnum } from "../db/rows.ts";
import { NIL_UUID } from "../uuid.ts";
import { eachMetric, METRIC_COLUMNS } from "./changes.ts";
import { bucketOf, histogramOfList, sumOfHistograms } from "./histogram.ts";

/**
 * Usage by the hour and by the day (section 14): the SQL that turns events and entries of the ledger into what they add to
 * `usage_intervals`, for the aggregation (aggregate.ts) and for a read of what is not aggregated (usage.ts).
 *
 * A round of a job is what happens to it from its submit, or from a retry, until it ends. What a change adds is counted when it
 * comes; and once more, with the whole round, when the job ends, under the state in which it does. What comes later counts for that
 * state when it comes.
 */

/** What tells the rows of usage_intervals apart. */
const KEY_COLUMNS = Prisma.raw(
  "workspace_id, hours, by_model, label_id, starts_at, state_code, job_kind, protocol_id, provider, model, label_value",
);
/** The code of what was used, by jobs in any state; others are those of states. */
export const USED = 0;

/** The states in which a job has ended: those of `hasEnded` (src/jobs/state.ts), which stands above; a test compares the two. */
export const ENDED_STATES: readonly JobState[] = [
  "COMPLETED",
  "COMPLETED_WITH_ISSUES",
  "FAILED",
  "CANCELLED",
  "POISONED",
];
const isEnded = (column: Prisma.Sql) =>
  Prisma.sql`${column} IN (${Prisma.raw(ENDED_STATES.map((state) => `'${toDbEnum(state)}'`).join(", "))})`;
const POISONED = stateCodes(["POISONED"])[0];

/** What is told of a job wherever something of it is counted. */
const OF_JOB = "order_xid, job_id, workspace_id, job_kind, protocol_id, label_count, recorded_at";
const ofJob = (row: string) => Prisma.raw(OF_JOB.replaceAll(/\w+/g, (column) => `${row}.${column}`));

/** The columns of a delta that are sums: those of usage_intervals. */
export const SUM_COLUMNS = Prisma.sql`${METRIC_COLUMNS}, cost_micros`;

/** What calls of models add to the metrics of a job; nothing to the others. */
const METRICS_OF_CALLS: Readonly<Record<string, string>> = {
  total_tokens: "input_tokens + output_tokens",
  input_tokens: "input_tokens",
  output_tokens: "output_tokens",
};
const METRICS_OF_CALL = eachMetric((column) => METRICS_OF_CALLS[column] ?? "0");

/** Each change, and once more for the state of a job that had ended before. */
const CHANGES = Prisma.sql`
  SELECT ${ofJob("c")}, c.version AS first_version, c.version AS last_version, counted.state_code, 0 AS jobs,
    NULL::smallint AS queue_bucket, NULL::smallint AS run_bucket, ${eachMetric((column) => `c.${column} - ${column}_before AS ${column}`)}
  FROM change c, LATERAL (
    SELECT ${USED}::smallint AS state_code
    UNION ALL
    SELECT enum_code(c.state) WHERE ${isEnded(Prisma.sql`c.state`)} AND ${isEnded(Prisma.sql`c.previous_state`)}
  ) AS counted`;

/**
 * The round of each job that a change ended. Its events are looked up by primary key, each of them once a round, however many
 * versions the job has had before; OFFSET 0 for what VERSION_BEFORE says, and so that the search is not made twice.
 */
const ROUNDS = Prisma.sql`
  SELECT ${ofJob("c")}, round.first_version, c.version, enum_code(c.state), 1,
    ${bucketOf(Prisma.sql`times.queue_ms`)}, ${bucketOf(Prisma.sql`times.run_ms`)},
    ${eachMetric((column) => `c.${column} - coalesce(before.${column}, 0)`)}
  FROM change c
  CROSS JOIN LATERAL (
    SELECT first_version, first_version - 1 AS version_before FROM (SELECT coalesce((
      SELECT version FROM flight_recorder_events
      WHERE job_id = c.job_id AND version < c.version AND ${isEnded(Prisma.sql`previous_state`)} AND NOT ${isEnded(Prisma.sql`state`)}
      ORDER BY version DESC LIMIT 1), 1) AS first_version OFFSET 0) AS retry OFFSET 0
  ) AS round
  CROSS JOIN LATERAL (
    SELECT ${millisecondsIn("queued")} AS queue_ms, ${millisecondsIn("running")} AS run_ms
    FROM (
      SELECT state, recorded_at, lead(recorded_at) OVER (ORDER BY version) AS until FROM flight_recorder_events
      WHERE job_id = c.job_id AND version BETWEEN round.first_version AND c.version
    ) AS span
  ) AS times
  LEFT JOIN LATERAL (
    SELECT * FROM flight_recorder_events WHERE job_id = c.job_id AND version = round.version_before LIMIT 1
  ) AS before ON true
  WHERE ${isEnded(Prisma.sql`c.state`)} AND ${isEnded(Prisma.sql`c.previous_state`)} IS NOT TRUE`;

/** As AiJob.queuedMs and runMs, of the round; NULL where the job was never in that state. */
function millisecondsIn(state: "queued" | "running"): Prisma.Sql {
  return Prisma.sql`sum(greatest(round(extract(epoch FROM until - recorded_at) * 1000), 0)) FILTER (WHERE state = ${state}::"JobState")`;
}

/**
 * The calls of models of each part: those of one version, which has one entry for each model; and of a round, for each model together,
 * so that its job is counted once.
 */
const CALLS = Prisma.sql`
  SELECT part_id, provider, model, entry.input_tokens, entry.output_tokens, entry.cost_micros
  FROM part CROSS JOIN LATERAL (
    SELECT provider, model, e.input_tokens + cached_input_tokens AS input_tokens, e.output_tokens + reasoning_tokens AS output_tokens,
      cost_micros
    FROM usage_entries e WHERE job_id = part.job_id AND version = part.last_version OFFSET 0
  ) AS entry
  WHERE jobs = 0
  UNION ALL
  SELECT part_id, provider, model, entry.input_tokens, entry.output_tokens, entry.cost_micros
  FROM part CROSS JOIN LATERAL (
    SELECT provider, model, sum(input_tokens + cached_input_tokens) AS input_tokens,
      sum(output_tokens + reasoning_tokens) AS output_tokens, sum(cost_micros) AS cost_micros
    FROM usage_entries WHERE job_id = part.job_id AND version BETWEEN part.first_version AND part.last_version
    GROUP BY provider, model
  ) AS entry
  WHERE jobs = 1`;

/** The calls that no version has, since their job was poisoned before: they count for that state as well. */
function callsBeside(entries: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    SELECT e.order_xid, e.job_id, e.workspace_id, j.job_kind, j.protocol_id, j.label_count, e.recorded_at, counted.state_code, provider, model,
      e.input_tokens + cached_input_tokens AS input_tokens, e.output_tokens + reasoning_tokens AS output_tokens, e.cost_micros
    FROM ${entries} AS e
    CROSS JOIN LATERAL (SELECT * FROM ai_jobs WHERE job_id = e.job_id LIMIT 1) AS j
    CROSS JOIN (VALUES (${USED}::smallint), (${POISONED}::smallint)) AS counted(state_code)
    WHERE e.version IS NULL`;
}

/**
 * What is counted: the parts, of which those of one model are left out that have none, and those without anything, as most versions
 * are; what each model has of them; and both of the calls that no part has.
 */
const AMOUNTS = Prisma.sql`
  SELECT ${ofJob("part")}, state_code, false AS by_model, '' AS provider, '' AS model, jobs, queue_bucket, run_bucket,
    ${METRIC_COLUMNS}, coalesce(cost.cost_micros, 0) AS cost_micros
  FROM part LEFT JOIN (SELECT part_id, sum(cost_micros) AS cost_micros FROM call GROUP BY part_id) AS cost USING (part_id)
  WHERE jobs > 0 OR cost.cost_micros > 0 OR ${anyMetric((column) => `${column} > 0`)}
  UNION ALL
  SELECT ${ofJob("part")}, state_code, true, provider, model, jobs, queue_bucket, run_bucket, ${eachMetric((column) =>
    METRICS_OF_CALLS[column] ? METRICS_OF_CALLS[column].replaceAll(/\w+/g, (name) => `call.${name}`) : "0",
  )}, call.cost_micros
  FROM call JOIN part USING (part_id)
  UNION ALL
  SELECT ${ofJob("beside")}, state_code, by_model, CASE WHEN by_model THEN provider ELSE '' END,
    CASE WHEN by_model THEN model ELSE '' END, 0, NULL, NULL, ${METRICS_OF_CALL}, cost_micros
  FROM beside CROSS JOIN (VALUES (false), (true)) AS counted(by_model)`;

function anyMetric(condition: (column: string) => string): Prisma.Sql {
  return Prisma.raw(METRIC_NAMES.map((name) => condition(snakeCase(name))).join(" OR "));
}

/**
 * The CTEs that end with `delta`: what changes and entries add to usage_intervals, one row for each of its rows; the times as lists of
 * buckets, `queue_times` and `run_times`. The statement must have the changes in a CTE named `change`.
 * @param entries a table of entries, for a FROM clause; those that a version has come with their changes.
 */
export function intervalDeltas(entries: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    part AS MATERIALIZED (SELECT row_number() OVER () AS part_id, * FROM (${CHANGES} UNION ALL ${ROUNDS}) AS of_job),
    call AS MATERIALIZED (${CALLS}), beside AS MATERIALIZED (${callsBeside(entries)}),
    delta AS (
      SELECT ${KEY_COLUMNS}, sum(jobs)::bigint AS jobs,
        array_agg(queue_bucket) FILTER (WHERE queue_bucket IS NOT NULL) AS queue_times,
        array_agg(run_bucket) FILTER (WHERE run_bucket IS NOT NULL) AS run_times,
        ${eachMetric((column) => `sum(${column}) AS ${column}`)}, sum(cost_micros) AS cost_micros
      FROM (
        SELECT amount.*, hours, label_id, label_value,
          date_bin(make_interval(hours => hours), recorded_at, '2000-01-01 00:00:00+00'::timestamptz) AS starts_at
        FROM (${AMOUNTS}) AS amount
        CROSS JOIN (VALUES (1::smallint), (24::smallint)) AS of_interval(hours)
        CROSS JOIN LATERAL (
          SELECT ${NIL_UUID}::uuid AS label_id, '' AS label_value
          UNION ALL
          SELECT declared.label_id, label.value FROM usage_labels declared
          JOIN job_labels label ON label.job_id = amount.job_id AND label.key = declared.key
          WHERE amount.label_count > 0 AND declared.workspace_id = amount.workspace_id
            AND amount.order_xid > declared.since_order_xid
        ) AS of_label
      ) AS counted
      GROUP BY ${GROUPED_BY}
    )`;
}

/** The same columns in the order in which they tell most rows apart first, by comparisons that take least. */
const GROUPED_BY = Prisma.raw(
  "state_code, hours, by_model, job_kind, starts_at, label_id, model, protocol_id, label_value, provider, workspace_id",
);

const added = (column: string) => `${column} = old.${column} + excluded.${column}`;

/** A statement that adds `delta` to usage_intervals. Nobody else writes there meanwhile. */
export const ADD_INTERVALS = Prisma.sql`
  INSERT INTO usage_intervals AS old (${KEY_COLUMNS}, jobs, queue_buckets, queue_jobs, run_buckets, run_jobs, ${SUM_COLUMNS})
  SELECT ${KEY_COLUMNS}, jobs, ${histogramOfList("queue_times")}, ${histogramOfList("run_times")}, ${SUM_COLUMNS} FROM delta
  ON CONFLICT (${KEY_COLUMNS}) DO UPDATE SET jobs = old.jobs + excluded.jobs,
    (queue_buckets, queue_jobs) = (${sumOfHistograms("queue")}), (run_buckets, run_jobs) = (${sumOfHistograms("run")}),
    ${eachMetric(added)}, ${Prisma.raw(added("cost_micros"))}`;
