import type pg from "pg";

/** The default workspace, which every database has, and which requests without a header use. */
export const WORKSPACE = "00000000-0000-7000-8000-000000000000";

/** The number of jobs per transaction. */
const BATCH = 5_000;

/**
 * Inserts `count` jobs by plain SQL, with all triggers and constraints in force. Each job is inserted as queued with
 * its event; half of them become running, and most of those completed, each with an event. They are of all kinds, and
 * created a second apart. Only their hashes are not real ones.
 */
export async function addJobs(sql: pg.Client, count: number): Promise<void> {
  const { rows } = await sql.query<{ existing: number }>("SELECT count(*)::int AS existing FROM ai_jobs");
  const existing = rows[0]?.existing ?? 0;
  for (let first = existing; first < existing + count; first += BATCH) {
    const last = Math.min(first + BATCH, existing + count) - 1;
    await sql.query("BEGIN");
    await sql.query(SUBMIT_JOBS, [WORKSPACE, first, last, "bench"]);
    await sql.query(MOVE_ON, [WORKSPACE, first, last, "running", 5]);
    await sql.query(MOVE_ON, [WORKSPACE, first, last, "completed", 4]);
    await sql.query("COMMIT");
  }
}

/** Inserts `count` queued jobs in the same way. */
export async function addQueuedJobs(sql: pg.Client, count: number): Promise<void> {
  const { rows } = await sql.query<{ existing: number }>("SELECT count(*)::int AS existing FROM ai_jobs");
  const existing = rows[0]?.existing ?? 0;
  for (let first = existing; first < existing + count; first += BATCH) {
    const last = Math.min(first + BATCH, existing + count) - 1;
    await sql.query(SUBMIT_JOBS, [WORKSPACE, first, last, "bench"]);
  }
}

/** Some of the jobs, evenly distributed over all. */
export async function someJobIds(sql: pg.Client, count: number): Promise<string[]> {
  const { rows } = await sql.query<{ id: string }>(
    "SELECT job_id AS id FROM ai_jobs ORDER BY md5(job_id::text) LIMIT $1",
    [count],
  );
  return rows.map(({ id }) => id);
}

const hashOf = (version: string, of = "") =>
  `encode(sha256(convert_to(${of}job_id::text || (${version})::text, 'UTF8')), 'hex')`;

/** Inserts the queued jobs $2 to $3 of workspace $1, of protocol $4, each with its event. */
export const SUBMIT_JOBS = `
  WITH job AS (
    INSERT INTO ai_jobs (job_id, workspace_id, trace_id, job_kind, status_reason, protocol_id, profile_id,
      capability_profile_id, job_inputs, priority, submit_hash, submitted_by, order_xid, chain_hash, created_at, updated_at)
    SELECT job_id, $1::uuid, gen_random_uuid(), (enum_range(NULL::"JobKind"))[1 + n % 7], 'submitted', $4, 'default',
      'default', '{"text": "what a job works on"}', n % 10, ${hashOf("0")}, 'bench', current_order_xid(), ${hashOf("1")},
      made, made
    FROM (
      SELECT n, gen_random_uuid() AS job_id, timestamptz '2026-01-01' + n * interval '1 second' AS made
      FROM generate_series($2::int, $3::int) AS n
    ) AS new
    RETURNING *
  )
  INSERT INTO flight_recorder_events (event_id, job_id, version, order_xid, workspace_id, trace_id, type, actor,
    actor_id, principal_id, state, recorded_at, prev_hash, hash)
  SELECT gen_random_uuid(), job_id, version, order_xid, workspace_id, trace_id, 'job_submitted', 'human', 'bench', 'bench', state,
    created_at, repeat('0', 64), chain_hash
  FROM job`;

const MOVE_ON = `
  WITH job AS (
    UPDATE ai_jobs j SET state = $4::text::"JobState", status_reason = $4::text, attempt = 1, version = j.version + 1,
      chain_hash = ${hashOf("j.version + 1", "j.")}, input_tokens = j.input_tokens + 1200, output_tokens = j.output_tokens + 80,
      total_tokens = j.total_tokens + 1280, duration_ms = j.duration_ms + 900, entities_read = j.entities_read + 1,
      completed_at = CASE $4::text WHEN 'completed' THEN j.created_at + interval '1 minute' END,
      ended_at = CASE $4::text WHEN 'completed' THEN j.created_at + interval '1 minute' END
    FROM ai_jobs was
    WHERE was.job_id = j.job_id AND j.workspace_id = $1 AND j.priority < $5
      AND j.created_at BETWEEN timestamptz '2026-01-01' + $2::int * interval '1 second'
        AND timestamptz '2026-01-01' + $3::int * interval '1 second'
    RETURNING j.*, was.state AS was, was.chain_hash AS was_hash
  )
  INSERT INTO flight_recorder_events (event_id, job_id, version, order_xid, workspace_id, trace_id, type, actor,
    actor_id, state, previous_state, duration_ms, total_tokens, input_tokens, output_tokens, entities_read, recorded_at,
    prev_hash, hash)
  SELECT gen_random_uuid(), job_id, version, order_xid, workspace_id, trace_id, 'state_changed', 'agent', 'bench', state,
    was, duration_ms, total_tokens, input_tokens, output_tokens, entities_read, updated_at, was_hash, chain_hash
  FROM job`;
