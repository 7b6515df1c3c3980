-- The third ring: what the database itself refuses, whoever writes, plain SQL included.
-- Errors of this file carry a SQLSTATE of class AJ:
--   AJ001 illegal transition     AJ002 not the one next version      AJ003 not how a job begins
--   AJ004 poisoned or finished   AJ005 kept for good (append-only)   AJ006 a change without its event, or an event without its change
--   AJ007 a fixed column, or a counter that shrank

-- ---------------------------------------------------------------- values

ALTER TABLE ai_jobs
  ADD CONSTRAINT ai_jobs_metrics_not_negative CHECK (
    least(duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor,
          entities_read, entities_written, validators_run_count) >= 0),
  -- 2^53 - 1: what every client, JavaScript included, reads exactly.
  ADD CONSTRAINT ai_jobs_metrics_exact CHECK (
    greatest(duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor,
             entities_read, entities_written, validators_run_count) <= 9007199254740991),
  ADD CONSTRAINT ai_jobs_total_tokens_is_sum CHECK (total_tokens = input_tokens + output_tokens),
  ADD CONSTRAINT ai_jobs_split_tokens_within_total CHECK (tokens_planner + tokens_executor <= total_tokens),
  ADD CONSTRAINT ai_jobs_status_reason_not_empty CHECK (status_reason <> ''),
  ADD CONSTRAINT ai_jobs_attempts CHECK (attempt >= 0 AND max_attempts >= 1),
  ADD CONSTRAINT ai_jobs_token_budget CHECK (token_budget BETWEEN 0 AND 9007199254740991),
  ADD CONSTRAINT ai_jobs_hashes CHECK (chain_hash ~ '^[0-9a-f]{64}$' AND submit_hash ~ '^[0-9a-f]{64}$'),
  ADD CONSTRAINT ai_jobs_outputs_only_where_they_may_stand CHECK (
    job_outputs IS NULL OR state IN ('awaiting_validation', 'awaiting_user', 'completed', 'completed_with_issues')),
  ADD CONSTRAINT ai_jobs_json_null_is_sql_null CHECK (
    jsonb_typeof(job_inputs) <> 'null' AND jsonb_typeof(job_outputs) <> 'null'),
  ADD CONSTRAINT ai_jobs_lists_are_arrays CHECK (
    jsonb_typeof(entity_refs) = 'array' AND jsonb_typeof(planned_operations) = 'array'),
  ADD CONSTRAINT ai_jobs_completed_at_when_nothing_leaves CHECK (
    (completed_at IS NOT NULL) = (state IN ('completed', 'completed_with_issues', 'cancelled', 'poisoned')));

ALTER TABLE workflow_runs
  ADD CONSTRAINT workflow_runs_token_is_sha256 CHECK (octet_length(lease_token) = 32),
  ADD CONSTRAINT workflow_runs_only_running_has_lease CHECK ((lease_expires_at IS NOT NULL) = (state = 'running')),
  ADD CONSTRAINT workflow_runs_finished_unless_active CHECK (
    (finished_at IS NULL) = (state IN ('running', 'awaiting_validation', 'awaiting_user'))),
  ADD CONSTRAINT workflow_runs_never_queued CHECK (state <> 'queued'),
  ADD CONSTRAINT workflow_runs_attempt CHECK (attempt >= 1);

ALTER TABLE node_executions
  ADD CONSTRAINT node_executions_finished_unless_running CHECK ((finished_at IS NULL) = (state = 'running')),
  ADD CONSTRAINT node_executions_never_queued CHECK (state <> 'queued'),
  ADD CONSTRAINT node_executions_json_null_is_sql_null CHECK (
    jsonb_typeof(input_payload) <> 'null' AND jsonb_typeof(output_payload) <> 'null'),
  ADD CONSTRAINT node_executions_sequence CHECK (sequence >= 1);

ALTER TABLE flight_recorder_events
  ADD CONSTRAINT flight_recorder_events_version CHECK (version >= 1),
  ADD CONSTRAINT flight_recorder_events_payload_is_object CHECK (jsonb_typeof(payload) = 'object'),
  ADD CONSTRAINT flight_recorder_events_hashes CHECK (hash ~ '^[0-9a-f]{64}$' AND prev_hash ~ '^[0-9a-f]{64}$');

ALTER TABLE event_log ADD CONSTRAINT event_log_one_row CHECK (singleton);

-- ---------------------------------------------------------------- indexes that Prisma cannot say

CREATE UNIQUE INDEX workflow_runs_one_active ON workflow_runs (job_id)
  WHERE state IN ('running', 'awaiting_validation', 'awaiting_user');

CREATE UNIQUE INDEX node_executions_one_open ON node_executions (workflow_run_id, node_id)
  WHERE finished_at IS NULL;

-- What a sweep for lost leases reads.
CREATE INDEX workflow_runs_leased ON workflow_runs (lease_expires_at)
  WHERE state = 'running';

-- What a claim reads: the due jobs of a workspace by priority, then age.
CREATE INDEX ai_jobs_due ON ai_jobs (workspace_id, priority DESC, created_at, job_id)
  WHERE state = 'queued';

-- ---------------------------------------------------------------- jobs: transitions, versions, poison

-- Section 4's table. test/storage compares it with src/jobs/state.ts.
CREATE FUNCTION ai_job_transition_allowed(old_state "JobState", new_state "JobState") RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE old_state
    WHEN 'queued' THEN new_state IN ('running', 'failed', 'cancelled', 'poisoned')
    WHEN 'running' THEN new_state IN ('awaiting_validation', 'completed', 'completed_with_issues', 'failed', 'cancelled',
                                      'stalled', 'queued', 'poisoned')
    WHEN 'stalled' THEN new_state IN ('queued', 'failed', 'cancelled', 'poisoned')
    WHEN 'awaiting_validation' THEN new_state IN ('awaiting_user', 'completed', 'completed_with_issues', 'failed',
                                                  'cancelled', 'poisoned')
    WHEN 'awaiting_user' THEN new_state IN ('queued', 'completed', 'completed_with_issues', 'failed', 'cancelled',
                                            'poisoned')
    WHEN 'failed' THEN new_state IN ('queued', 'poisoned')
    ELSE false
  END
$$;

-- This transaction's id as the number that order_xid holds.
CREATE FUNCTION current_order_xid() RETURNS bigint
LANGUAGE sql VOLATILE AS $$ SELECT pg_current_xact_id()::text::bigint $$;

CREATE FUNCTION ai_jobs_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.state <> 'queued' OR NEW.version <> 1 OR NEW.attempt <> 0
     OR NEW.workflow_run_id IS NOT NULL OR NEW.job_outputs IS NOT NULL
     OR greatest(NEW.duration_ms, NEW.total_tokens, NEW.tokens_planner, NEW.tokens_executor, NEW.entities_read,
                 NEW.entities_written, NEW.validators_run_count) <> 0 THEN
    RAISE EXCEPTION 'job %: a job is inserted only as queued, version 1, with zero metrics', NEW.job_id
      USING ERRCODE = 'AJ003';
  END IF;
  IF NEW.order_xid <> current_order_xid() THEN
    RAISE EXCEPTION 'job %: order_xid must be the inserting transaction''s id', NEW.job_id USING ERRCODE = 'AJ002';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION ai_jobs_change() RETURNS trigger LANGUAGE plpgsql AS $$
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
  IF (NEW.job_id, NEW.workspace_id, NEW.trace_id, NEW.job_kind, NEW.model_tier, NEW.access_mode, NEW.safety_mode,
      NEW.protocol_id, NEW.submit_hash, NEW.created_at)
     <> (OLD.job_id, OLD.workspace_id, OLD.trace_id, OLD.job_kind, OLD.model_tier, OLD.access_mode, OLD.safety_mode,
         OLD.protocol_id, OLD.submit_hash, OLD.created_at)
     OR NEW.parent_job_id IS DISTINCT FROM OLD.parent_job_id
     OR NEW.idempotency_key IS DISTINCT FROM OLD.idempotency_key THEN
    RAISE EXCEPTION 'job %: what it was submitted as cannot change', OLD.job_id USING ERRCODE = 'AJ007';
  END IF;
  IF NEW.duration_ms < OLD.duration_ms OR NEW.input_tokens < OLD.input_tokens OR NEW.output_tokens < OLD.output_tokens
     OR NEW.tokens_planner < OLD.tokens_planner OR NEW.tokens_executor < OLD.tokens_executor
     OR NEW.entities_read < OLD.entities_read OR NEW.entities_written < OLD.entities_written
     OR NEW.validators_run_count < OLD.validators_run_count OR NEW.attempt < OLD.attempt THEN
    RAISE EXCEPTION 'job %: metrics and attempts only grow', OLD.job_id USING ERRCODE = 'AJ007';
  END IF;
  RETURN NEW;
END $$;

-- What the guards have read must stay what they read. Apart from the rest, so that only an update that names one of
-- these columns pays for comparing what may be megabytes.
CREATE FUNCTION ai_jobs_keep_documents() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.job_inputs IS DISTINCT FROM OLD.job_inputs OR NEW.entity_refs <> OLD.entity_refs
     OR NEW.planned_operations <> OLD.planned_operations THEN
    RAISE EXCEPTION 'job %: what it was submitted with cannot change', OLD.job_id USING ERRCODE = 'AJ007';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER ai_jobs_keep_documents BEFORE UPDATE OF job_inputs, entity_refs, planned_operations ON ai_jobs
  FOR EACH ROW EXECUTE FUNCTION ai_jobs_keep_documents();
CREATE TRIGGER ai_jobs_begin BEFORE INSERT ON ai_jobs FOR EACH ROW EXECUTE FUNCTION ai_jobs_begin();
CREATE TRIGGER ai_jobs_change BEFORE UPDATE ON ai_jobs FOR EACH ROW EXECUTE FUNCTION ai_jobs_change();

-- ---------------------------------------------------------------- one event for every version, and the other way round

CREATE FUNCTION ai_jobs_require_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- OLD is NULL for an insert: a job's first event has no previous state, and 64 zeros before it in the chain.
  IF NOT EXISTS (
    SELECT FROM flight_recorder_events e
    WHERE e.job_id = NEW.job_id AND e.version = NEW.version
      AND e.workspace_id = NEW.workspace_id AND e.trace_id = NEW.trace_id
      AND e.state = NEW.state AND e.previous_state IS NOT DISTINCT FROM OLD.state
      AND e.order_xid = NEW.order_xid AND e.hash = NEW.chain_hash
      AND e.prev_hash = coalesce(OLD.chain_hash, repeat('0', 64))
      AND (e.duration_ms, e.total_tokens, e.input_tokens, e.output_tokens, e.tokens_planner, e.tokens_executor,
           e.entities_read, e.entities_written, e.validators_run_count)
        = (NEW.duration_ms, NEW.total_tokens, NEW.input_tokens, NEW.output_tokens, NEW.tokens_planner,
           NEW.tokens_executor, NEW.entities_read, NEW.entities_written, NEW.validators_run_count)
  ) THEN
    RAISE EXCEPTION 'job %: version % has no event that tells of it', NEW.job_id, NEW.version USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ai_jobs_require_event AFTER INSERT OR UPDATE ON ai_jobs
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ai_jobs_require_event();

CREATE FUNCTION flight_recorder_events_require_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM ai_jobs j
    WHERE j.job_id = NEW.job_id
      AND (j.version > NEW.version OR (j.version = NEW.version AND j.chain_hash = NEW.hash))
  ) THEN
    RAISE EXCEPTION 'job % has no version % that this event could tell of', NEW.job_id, NEW.version
      USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER flight_recorder_events_require_version AFTER INSERT ON flight_recorder_events
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION flight_recorder_events_require_version();

-- ---------------------------------------------------------------- runs and nodes

CREATE FUNCTION workflow_runs_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE job_state "JobState";
BEGIN
  -- FOR SHARE waits for a poisoning that is under way in another transaction, and then sees it.
  SELECT state INTO job_state FROM ai_jobs WHERE job_id = NEW.job_id FOR SHARE;
  IF TG_OP = 'INSERT' THEN
    IF job_state = 'poisoned' THEN
      RAISE EXCEPTION 'job % is poisoned: no run can be added', NEW.job_id USING ERRCODE = 'AJ004';
    END IF;
    RETURN NEW;
  END IF;
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

CREATE TRIGGER workflow_runs_guard BEFORE INSERT OR UPDATE ON workflow_runs
  FOR EACH ROW EXECUTE FUNCTION workflow_runs_guard();

CREATE FUNCTION node_executions_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE job_state "JobState";
BEGIN
  SELECT j.state INTO job_state FROM workflow_runs r JOIN ai_jobs j USING (job_id)
    WHERE r.id = NEW.workflow_run_id FOR SHARE OF j;
  IF TG_OP = 'INSERT' THEN
    IF job_state = 'poisoned' THEN
      RAISE EXCEPTION 'node %: its job is poisoned', NEW.id USING ERRCODE = 'AJ004';
    END IF;
    RETURN NEW;
  END IF;
  IF OLD.finished_at IS NOT NULL OR (job_state = 'poisoned' AND NEW.state <> 'poisoned') THEN
    RAISE EXCEPTION 'node % has finished, or its job is poisoned: it cannot change', OLD.id USING ERRCODE = 'AJ004';
  END IF;
  IF (NEW.id, NEW.workflow_run_id, NEW.node_id, NEW.node_type, NEW.sequence, NEW.started_at)
     <> (OLD.id, OLD.workflow_run_id, OLD.node_id, OLD.node_type, OLD.sequence, OLD.started_at) THEN
    RAISE EXCEPTION 'node %: whose it is cannot change', OLD.id USING ERRCODE = 'AJ007';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER node_executions_guard BEFORE INSERT OR UPDATE ON node_executions
  FOR EACH ROW EXECUTE FUNCTION node_executions_guard();

-- ---------------------------------------------------------------- nothing is lost

CREATE FUNCTION kept_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on %: what it holds is kept', TG_OP, TG_TABLE_NAME USING ERRCODE = 'AJ005';
END $$;

CREATE TRIGGER ai_jobs_kept BEFORE DELETE ON ai_jobs FOR EACH ROW EXECUTE FUNCTION kept_for_good();
CREATE TRIGGER workflow_runs_kept BEFORE DELETE ON workflow_runs FOR EACH ROW EXECUTE FUNCTION kept_for_good();
CREATE TRIGGER node_executions_kept BEFORE DELETE ON node_executions FOR EACH ROW EXECUTE FUNCTION kept_for_good();
CREATE TRIGGER flight_recorder_events_append_only BEFORE UPDATE OR DELETE ON flight_recorder_events
  FOR EACH ROW EXECUTE FUNCTION kept_for_good();

CREATE TRIGGER ai_jobs_not_truncated BEFORE TRUNCATE ON ai_jobs EXECUTE FUNCTION kept_for_good();
CREATE TRIGGER workflow_runs_not_truncated BEFORE TRUNCATE ON workflow_runs EXECUTE FUNCTION kept_for_good();
CREATE TRIGGER node_executions_not_truncated BEFORE TRUNCATE ON node_executions EXECUTE FUNCTION kept_for_good();
CREATE TRIGGER flight_recorder_events_not_truncated BEFORE TRUNCATE ON flight_recorder_events
  EXECUTE FUNCTION kept_for_good();

-- ---------------------------------------------------------------- what every database starts with

INSERT INTO event_log DEFAULT VALUES;

-- The one workspace that there is until identities exist (section 11).
INSERT INTO workspaces (workspace_id) VALUES ('00000000-0000-7000-8000-000000000000');

-- Section 8.
INSERT INTO capability_profiles (id, capabilities, job_kinds) VALUES
  ('default', '{doc.read,doc.summarize}',
   '{doc_edit,sheet_transform,canvas_cluster,asr_transcribe,workflow_run,doc_summarize}'),
  ('terminal', '{term.exec}', '{terminal_exec}');
