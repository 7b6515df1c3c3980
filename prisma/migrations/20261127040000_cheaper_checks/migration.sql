-- The same refusals for less: what a version of a job costs is for a good part what the database checks of it.

-- ---------------------------------------------------------------- hashes
-- A regular expression takes 5 microseconds for 64 characters, and a version of a job has four hashes that are checked.
-- This takes a tenth of it: only lower-case hexadecimal is what it is decoded to and encoded from.

CREATE FUNCTION is_sha256_hex(hash text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT octet_length(hash) = 64 AND encode(decode(hash, 'hex'), 'hex') = hash
$$;

ALTER TABLE ai_jobs
  DROP CONSTRAINT ai_jobs_hashes,
  ADD CONSTRAINT ai_jobs_hashes CHECK (is_sha256_hex(chain_hash) AND is_sha256_hex(submit_hash));

ALTER TABLE flight_recorder_events
  DROP CONSTRAINT flight_recorder_events_hashes,
  ADD CONSTRAINT flight_recorder_events_hashes CHECK (is_sha256_hex(hash) AND is_sha256_hex(prev_hash));

-- ---------------------------------------------------------------- changes of a job
-- Whether anything is wrong is told by an expression; PL/pgSQL is called only to say what. The last of its reasons is what
-- is left when it is none of those before it.

CREATE OR REPLACE FUNCTION ai_jobs_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state = 'poisoned' THEN
    RAISE EXCEPTION 'job % is poisoned: no change is possible', OLD.job_id USING ERRCODE = 'AJ004';
  END IF;
  IF NEW.state <> OLD.state AND NOT ai_job_transition_allowed(OLD.state, NEW.state) THEN
    RAISE EXCEPTION 'job %: % cannot become %', OLD.job_id, OLD.state, NEW.state USING ERRCODE = 'AJ001';
  END IF;
  IF NEW.version <> OLD.version + 1 THEN
    RAISE EXCEPTION 'job %: version % must be followed by %', OLD.job_id, OLD.version, OLD.version + 1
      USING ERRCODE = 'AJ002';
  END IF;
  IF NEW.order_xid <> greatest(current_order_xid(), OLD.order_xid) THEN
    RAISE EXCEPTION 'job %: order_xid must be the greater of this transaction''s id and the last', OLD.job_id
      USING ERRCODE = 'AJ002';
  END IF;
  IF NEW.duration_ms < OLD.duration_ms OR NEW.input_tokens < OLD.input_tokens OR NEW.output_tokens < OLD.output_tokens
     OR NEW.tokens_planner < OLD.tokens_planner OR NEW.tokens_executor < OLD.tokens_executor
     OR NEW.entities_read < OLD.entities_read OR NEW.entities_written < OLD.entities_written
     OR NEW.validators_run_count < OLD.validators_run_count OR NEW.attempt < OLD.attempt THEN
    RAISE EXCEPTION 'job %: metrics and attempts only grow', OLD.job_id USING ERRCODE = 'AJ007';
  END IF;
  RAISE EXCEPTION 'job %: what it was submitted as cannot change', OLD.job_id USING ERRCODE = 'AJ007';
END $$;

DROP TRIGGER ai_jobs_change ON ai_jobs;
CREATE TRIGGER ai_jobs_change BEFORE UPDATE ON ai_jobs FOR EACH ROW
  WHEN (
    OLD.state = 'poisoned'
    OR (NEW.state <> OLD.state AND NOT ai_job_transition_allowed(OLD.state, NEW.state))
    OR NEW.version <> OLD.version + 1
    OR NEW.order_xid <> greatest(current_order_xid(), OLD.order_xid)
    OR NEW.duration_ms < OLD.duration_ms OR NEW.input_tokens < OLD.input_tokens OR NEW.output_tokens < OLD.output_tokens
    OR NEW.tokens_planner < OLD.tokens_planner OR NEW.tokens_executor < OLD.tokens_executor
    OR NEW.entities_read < OLD.entities_read OR NEW.entities_written < OLD.entities_written
    OR NEW.validators_run_count < OLD.validators_run_count OR NEW.attempt < OLD.attempt
    OR (NEW.job_id, NEW.workspace_id, NEW.trace_id, NEW.job_kind, NEW.model_tier, NEW.access_mode, NEW.safety_mode,
        NEW.protocol_id, NEW.submit_hash, NEW.created_at, NEW.parent_job_id, NEW.idempotency_key)
      IS DISTINCT FROM
       (OLD.job_id, OLD.workspace_id, OLD.trace_id, OLD.job_kind, OLD.model_tier, OLD.access_mode, OLD.safety_mode,
        OLD.protocol_id, OLD.submit_hash, OLD.created_at, OLD.parent_job_id, OLD.idempotency_key)
  )
  EXECUTE FUNCTION ai_jobs_change();

-- ---------------------------------------------------------------- once for all rows of a statement

-- An event tells of a version that its job has when the statement that writes it ends: versions only grow, so there is
-- nothing to wait for until the commit. (A version without its event is still refused at commit, since whoever writes by
-- hand writes the job first and then the event.)
CREATE OR REPLACE FUNCTION flight_recorder_events_require_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE event record;
BEGIN
  SELECT e.job_id, e.version INTO event FROM new_events e
    WHERE NOT EXISTS (
      SELECT FROM ai_jobs j
      WHERE j.job_id = e.job_id AND (j.version > e.version OR (j.version = e.version AND j.chain_hash = e.hash))
    )
    LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'job % has no version % that this event could tell of', event.job_id, event.version
      USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $$;

DROP TRIGGER flight_recorder_events_require_version ON flight_recorder_events;
CREATE TRIGGER flight_recorder_events_require_version AFTER INSERT ON flight_recorder_events
  REFERENCING NEW TABLE AS new_events
  FOR EACH STATEMENT EXECUTE FUNCTION flight_recorder_events_require_version();

-- FOR SHARE waits for a poisoning that is under way in another transaction, and then sees it; so it locks all of the jobs,
-- in the order in which everyone does, before it looks at any.
CREATE FUNCTION workflow_runs_begin() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE poisoned uuid;
BEGIN
  WITH held AS MATERIALIZED (
    SELECT job_id, state FROM ai_jobs WHERE job_id IN (SELECT job_id FROM new_runs) ORDER BY job_id FOR SHARE
  )
  SELECT job_id INTO poisoned FROM held WHERE state = 'poisoned' LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'job % is poisoned: no run can be added', poisoned USING ERRCODE = 'AJ004';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER workflow_runs_begin AFTER INSERT ON workflow_runs REFERENCING NEW TABLE AS new_runs
  FOR EACH STATEMENT EXECUTE FUNCTION workflow_runs_begin();

CREATE OR REPLACE FUNCTION workflow_runs_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE job_state "JobState";
BEGIN
  -- FOR SHARE waits for a poisoning that is under way in another transaction, and then sees it.
  SELECT state INTO job_state FROM ai_jobs WHERE job_id = NEW.job_id FOR SHARE;
  IF OLD.state = 'poisoned'
     OR (job_state = 'poisoned' AND NOT (OLD.finished_at IS NULL AND NEW.state = 'poisoned')) THEN
    RAISE EXCEPTION 'run % is poisoned, or its job is: only an unfinished run can still become poisoned', OLD.id
      USING ERRCODE = 'AJ004';
  END IF;
  IF OLD.finished_at IS NOT NULL AND NOT (OLD.state = 'stalled' AND NEW.state = 'poisoned') THEN
    RAISE EXCEPTION 'run % has finished: only a stalled one can still become poisoned', OLD.id USING ERRCODE = 'AJ004';
  END IF;
  IF NEW.state <> OLD.state AND NEW.state NOT IN ('cancelled')
     AND NOT ai_job_transition_allowed(OLD.state, NEW.state) THEN
    RAISE EXCEPTION 'run %: % cannot become %', OLD.id, OLD.state, NEW.state USING ERRCODE = 'AJ001';
  END IF;
  IF (NEW.id, NEW.job_id, NEW.attempt, NEW.worker_id, NEW.lease_token, NEW.started_at)
     <> (OLD.id, OLD.job_id, OLD.attempt, OLD.worker_id, OLD.lease_token, OLD.started_at) THEN
    RAISE EXCEPTION 'run %: whose it is cannot change', OLD.id USING ERRCODE = 'AJ007';
  END IF;
  RETURN NEW;
END $$;

DROP TRIGGER workflow_runs_guard ON workflow_runs;
CREATE TRIGGER workflow_runs_guard BEFORE UPDATE ON workflow_runs
  FOR EACH ROW EXECUTE FUNCTION workflow_runs_guard();
