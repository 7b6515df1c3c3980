-- Database checks: what the database itself refuses, whoever writes. The server checks all of this before it writes; the
-- checks here hold for every other writer too (a script, a person with psql, a bug), so that what is stored can be relied
-- on. By table: foreign keys (SQLSTATE 23503), value checks (23514), then triggers, which raise one of these:
--
--   AJ001  an illegal transition: section 4 does not let this state become that one
--   AJ002  not the next version of a job, or not its place in the log
--   AJ003  not how a row begins
--   AJ004  the row can change no more: poisoned, or finished
--   AJ005  removed, or changed in a table that is append-only
--   AJ006  a version without its event, an event without its version, or a bulk action that ends before its items
--   AJ007  a column that never changes, or a counter that shrank
--   AJ008  a job kind that is the default of no capability profile, or of two
--
-- How the triggers are built, because every version of a job passes them:
-- - An expression (WHEN) decides whether something is wrong. PL/pgSQL, which costs several times as much, runs only to say
--   what it is, or where another table must be read.
-- - A column that never changes is guarded by a trigger on UPDATE OF that column. An UPDATE that does not name it, as none
--   of the server's does, pays nothing; this matters most for documents, which may be megabytes.
-- - BEFORE triggers of a table fire in the order of their names, so that `..._check_...` is asked before `..._immutable_...`:
--   a poisoned job answers AJ004 whatever an UPDATE would change.

-- ---------------------------------------------------------------- functions that several tables use

-- The row that a trigger is about, for its message: the names and values of its primary key, in parentheses; empty for a
-- trigger of a whole statement. Not the row itself: its documents would end in the log of the database.
CREATE FUNCTION row_key(of_table oid, of_row jsonb) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT coalesce(' (' || string_agg(a.attname || ' ' || (of_row ->> a.attname), ', ' ORDER BY a.attnum) || ')', '')
  FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
  WHERE i.indrelid = of_table AND i.indisprimary
$$;

-- Refuses what its trigger fires for, with the SQLSTATE and the reason that the trigger gives.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on %: %', TG_OP, TG_TABLE_NAME || row_key(TG_RELID, to_jsonb(coalesce(NEW, OLD))), TG_ARGV[1]
    USING ERRCODE = TG_ARGV[0];
END $$;

-- Refuses a change of the columns that its trigger names (UPDATE OF ...), and says which of them changed.
CREATE FUNCTION refuse_immutable_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE changed text;
BEGIN
  SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) INTO changed
    FROM pg_trigger t JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr)
    WHERE t.tgrelid = TG_RELID AND t.tgname = TG_NAME
      AND to_jsonb(NEW) -> a.attname IS DISTINCT FROM to_jsonb(OLD) -> a.attname;
  RAISE EXCEPTION 'UPDATE on %: % cannot change', TG_TABLE_NAME || row_key(TG_RELID, to_jsonb(OLD)), changed
    USING ERRCODE = 'AJ007';
END $$;

-- Refuses steps and reports of a run whose job is poisoned. FOR SHARE waits for a poisoning that is under way in another
-- transaction, and then sees it; without it, a row could be added just before that transaction commits.
CREATE FUNCTION check_job_is_not_poisoned() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE job_state "JobState";
BEGIN
  SELECT j.state INTO job_state FROM workflow_runs r JOIN ai_jobs j USING (job_id)
    WHERE r.id = NEW.workflow_run_id FOR SHARE OF j;
  IF job_state = 'poisoned' THEN
    RAISE EXCEPTION 'INSERT on %: the job of run % is poisoned', TG_TABLE_NAME, NEW.workflow_run_id
      USING ERRCODE = 'AJ004';
  END IF;
  RETURN NEW;
END $$;

-- Whether a text is a SHA-256 in lower-case hexadecimal. A regular expression takes ten times as long, and each version of
-- a job has four hashes to check.
CREATE FUNCTION is_sha256_hex(hash text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT octet_length(hash) = 64 AND encode(decode(hash, 'hex'), 'hex') = hash
$$;

-- This transaction's id as the number that order_xid holds.
CREATE FUNCTION current_order_xid() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT pg_current_xact_id()::text::bigint
$$;

-- Section 4's table of transitions. src/jobs/state.ts has it too; a test holds the two together.
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

-- ---------------------------------------------------------------- ai_jobs

ALTER TABLE ai_jobs
  -- No job without its workspace.
  ADD CONSTRAINT ai_jobs_workspace_id_fkey
    FOREIGN KEY (workspace_id) REFERENCES workspaces (workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- No job of an unknown capability profile: nobody could say what it may do.
  ADD CONSTRAINT ai_jobs_capability_profile_id_fkey
    FOREIGN KEY (capability_profile_id) REFERENCES capability_profiles (id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- No parent in another workspace.
  ADD CONSTRAINT ai_jobs_parent_job_id_workspace_id_fkey
    FOREIGN KEY (parent_job_id, workspace_id) REFERENCES ai_jobs (job_id, workspace_id)
    ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- No latest run that does not exist, or is another workspace's.
  ADD CONSTRAINT ai_jobs_workflow_run_id_workspace_id_fkey
    FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs (id, workspace_id)
    ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- Metrics [HSK-JOB-101] are from 0 to 2^53 - 1, the largest integer that every client reads exactly, JavaScript too.
  ADD CONSTRAINT ai_jobs_metrics_not_negative CHECK (
    least(duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor,
          entities_read, entities_written, validators_run_count) >= 0),
  ADD CONSTRAINT ai_jobs_metrics_exact CHECK (
    greatest(duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor,
             entities_read, entities_written, validators_run_count) <= 9007199254740991),
  -- No total that is not the sum, and no parts larger than the whole: quotas and budgets would count something else than
  -- what clients see.
  ADD CONSTRAINT ai_jobs_total_tokens_is_sum CHECK (total_tokens = input_tokens + output_tokens),
  ADD CONSTRAINT ai_jobs_split_tokens_within_total CHECK (tokens_planner + tokens_executor <= total_tokens),
  ADD CONSTRAINT ai_jobs_token_budget CHECK (token_budget BETWEEN 0 AND 9007199254740991),
  -- Programs read the reason: it is never empty.
  ADD CONSTRAINT ai_jobs_status_reason_not_empty CHECK (status_reason <> ''),
  -- A job may be tried at least once. Of the attempts, some were sent back by a person: never more than there were.
  ADD CONSTRAINT ai_jobs_attempts CHECK (attempt >= 0 AND max_attempts >= 1),
  ADD CONSTRAINT ai_jobs_revisions CHECK (revisions >= 0),
  ADD CONSTRAINT ai_jobs_revisions_within_attempts CHECK (revisions <= attempt),
  -- A reservation for a worker ends: without an end, a job would wait forever for a worker that is gone.
  ADD CONSTRAINT ai_jobs_preference_has_an_end CHECK ((preferred_worker_id IS NULL) = (preferred_until IS NULL)),
  -- No text that is not a hash: no chain could be verified with it.
  ADD CONSTRAINT ai_jobs_hashes CHECK (is_sha256_hex(chain_hash) AND is_sha256_hex(submit_hash)),
  -- Outputs stand only where the work is done: those of a failed, cancelled or poisoned attempt must not be taken for good.
  ADD CONSTRAINT ai_jobs_outputs_only_when_done CHECK (
    job_outputs IS NULL OR state IN ('awaiting_validation', 'awaiting_user', 'completed', 'completed_with_issues')),
  -- "Nothing" has one form, SQL NULL: a JSON null beside it would be missed by whoever asks IS NULL.
  ADD CONSTRAINT ai_jobs_json_null_is_sql_null CHECK (
    jsonb_typeof(job_inputs) <> 'null' AND jsonb_typeof(job_outputs) <> 'null'),
  ADD CONSTRAINT ai_jobs_lists_are_arrays CHECK (
    jsonb_typeof(entity_refs) = 'array' AND jsonb_typeof(planned_operations) = 'array'),
  -- completed_at is there exactly in the states that nothing leaves.
  ADD CONSTRAINT ai_jobs_completed_at_when_final CHECK (
    (completed_at IS NOT NULL) = (state IN ('completed', 'completed_with_issues', 'cancelled', 'poisoned')));

-- A job begins as queued, with nothing done: a row with a history that never was would have no events for it.
CREATE TRIGGER ai_jobs_check_insert BEFORE INSERT ON ai_jobs FOR EACH ROW
  WHEN (
    NEW.state <> 'queued' OR NEW.version <> 1 OR NEW.attempt <> 0 OR NEW.revisions > 0
    OR NEW.workflow_run_id IS NOT NULL OR NEW.job_outputs IS NOT NULL
    OR greatest(NEW.duration_ms, NEW.total_tokens, NEW.tokens_planner, NEW.tokens_executor, NEW.entities_read,
                NEW.entities_written, NEW.validators_run_count) <> 0
  )
  EXECUTE FUNCTION refuse('AJ003', 'a job begins as queued, version 1, with no attempts, outputs or metrics');

-- Its first place in the log is that of its own transaction: with a smaller number, the feed could already have passed it.
CREATE TRIGGER ai_jobs_check_insert_order BEFORE INSERT ON ai_jobs FOR EACH ROW
  WHEN (NEW.order_xid <> current_order_xid())
  EXECUTE FUNCTION refuse('AJ002', 'order_xid must be the id of the inserting transaction');

-- How many descendants a root has, with nobody else adding one before this transaction ends. The count is a query of its
-- own after the lock, and so sees what was committed while this one waited.
CREATE FUNCTION lock_and_count_descendants(root uuid) RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('descendants of job ' || root, 0));
  RETURN (SELECT count(*) FROM ai_jobs WHERE root_job_id = root);
END $$;

-- A child begins under a parent of its workspace that has not ended, with its parent's trace and root, as one of at most
-- 1,000 descendants: otherwise a tree could not be cancelled or poisoned as a whole.
--
-- What can interleave:
-- - A parent that is about to end or to be poisoned. FOR SHARE waits for whoever changes it, and then sees what it has
--   become; whoever wants to change it afterwards waits for this transaction, and can then find the child.
-- - Another child of the same tree, perhaps of another parent, which the count must not miss: hence the lock on the
--   root's id. It is taken after the parent's row, and whoever has it waits for no row: children hold rows FOR SHARE
--   only, which they can do together. So two children never wait for each other, and since whoever poisons or cancels
--   a tree waits for rows alone, there is no circle with them either.
-- - A writer of plain SQL in REPEATABLE READ or SERIALIZABLE, whose snapshot may be older than the lock and count too
--   few: refused.
--
-- The foreign key refuses a parent of another workspace too, but only after this, and not the job itself as its parent.
CREATE FUNCTION ai_jobs_check_insert_tree() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE parent record;
BEGIN
  IF NEW.parent_job_id IS NULL THEN
    RAISE EXCEPTION 'job %: without a parent it has no root', NEW.job_id USING ERRCODE = 'AJ003';
  END IF;
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'job %: a child is inserted in READ COMMITTED', NEW.job_id USING ERRCODE = 'AJ003';
  END IF;
  SELECT trace_id, state, coalesce(root_job_id, job_id) AS root INTO parent
    FROM ai_jobs WHERE job_id = NEW.parent_job_id AND workspace_id = NEW.workspace_id FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'job %: its workspace has no job % for a parent', NEW.job_id, NEW.parent_job_id
      USING ERRCODE = 'AJ003';
  END IF;
  IF parent.state IN ('completed', 'completed_with_issues', 'failed', 'cancelled', 'poisoned') THEN
    RAISE EXCEPTION 'job %: its parent % is %, and gets no more children', NEW.job_id, NEW.parent_job_id, parent.state
      USING ERRCODE = 'AJ003';
  END IF;
  IF NEW.root_job_id IS DISTINCT FROM parent.root OR NEW.trace_id <> parent.trace_id THEN
    RAISE EXCEPTION 'job %: its root is % and its trace %, as its parent''s', NEW.job_id, parent.root, parent.trace_id
      USING ERRCODE = 'AJ003';
  END IF;
  IF lock_and_count_descendants(parent.root) >= 1000 THEN
    RAISE EXCEPTION 'job %: job % has 1,000 descendants already', NEW.job_id, parent.root USING ERRCODE = 'AJ003';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER ai_jobs_check_insert_tree BEFORE INSERT ON ai_jobs FOR EACH ROW
  WHEN (NEW.parent_job_id IS NOT NULL OR NEW.root_job_id IS NOT NULL)
  EXECUTE FUNCTION ai_jobs_check_insert_tree();

-- Every change, however it comes: none of a poisoned job (section 5); only transitions of section 4; exactly the next
-- version, at a place in the log that no reader has passed (a smaller order_xid than this transaction's would be skipped
-- by the feed, a smaller one than the job's last would deliver its versions out of order); counters only grow, and
-- revisions by one at a time, since each is one decision of a person. The function is called when one of these is broken:
-- it finds out which one, and the last that it names is what is left when it is none of those before.
CREATE FUNCTION ai_jobs_refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
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
  RAISE EXCEPTION 'job %: metrics and attempts only grow, and revisions by one', OLD.job_id USING ERRCODE = 'AJ007';
END $$;

CREATE TRIGGER ai_jobs_check_update BEFORE UPDATE ON ai_jobs FOR EACH ROW
  WHEN (
    OLD.state = 'poisoned'
    OR (NEW.state <> OLD.state AND NOT ai_job_transition_allowed(OLD.state, NEW.state))
    OR NEW.version <> OLD.version + 1
    OR NEW.order_xid <> greatest(current_order_xid(), OLD.order_xid)
    OR NEW.duration_ms < OLD.duration_ms OR NEW.input_tokens < OLD.input_tokens OR NEW.output_tokens < OLD.output_tokens
    OR NEW.tokens_planner < OLD.tokens_planner OR NEW.tokens_executor < OLD.tokens_executor
    OR NEW.entities_read < OLD.entities_read OR NEW.entities_written < OLD.entities_written
    OR NEW.validators_run_count < OLD.validators_run_count OR NEW.attempt < OLD.attempt
    OR NEW.revisions NOT IN (OLD.revisions, OLD.revisions + 1)
  )
  EXECUTE FUNCTION ai_jobs_refuse_update();

-- What a job was submitted as stays: who it belongs to and where it stands in its tree; what totals and quotas have
-- counted it as; what its worker may do; above all its budget, which could otherwise be raised while a report passes it.
CREATE TRIGGER ai_jobs_immutable_columns
  BEFORE UPDATE OF job_id, workspace_id, trace_id, parent_job_id, root_job_id, job_kind, protocol_id, profile_id,
    capability_profile_id, access_mode, safety_mode, model_tier, priority, max_attempts, token_budget, idempotency_key,
    submit_hash, created_at ON ai_jobs
  FOR EACH ROW
  WHEN (
    (NEW.job_id, NEW.workspace_id, NEW.trace_id, NEW.parent_job_id, NEW.root_job_id, NEW.job_kind, NEW.protocol_id,
     NEW.profile_id, NEW.capability_profile_id, NEW.access_mode, NEW.safety_mode, NEW.model_tier, NEW.priority,
     NEW.max_attempts, NEW.token_budget, NEW.idempotency_key, NEW.submit_hash, NEW.created_at)
    IS DISTINCT FROM
    (OLD.job_id, OLD.workspace_id, OLD.trace_id, OLD.parent_job_id, OLD.root_job_id, OLD.job_kind, OLD.protocol_id,
     OLD.profile_id, OLD.capability_profile_id, OLD.access_mode, OLD.safety_mode, OLD.model_tier, OLD.priority,
     OLD.max_attempts, OLD.token_budget, OLD.idempotency_key, OLD.submit_hash, OLD.created_at)
  )
  EXECUTE FUNCTION refuse_immutable_change();

-- The documents stay too: what the guards have read must be what the worker gets. A trigger of their own, so that an
-- UPDATE that names another immutable column does not have to compare megabytes.
CREATE TRIGGER ai_jobs_immutable_documents BEFORE UPDATE OF job_inputs, entity_refs, planned_operations ON ai_jobs
  FOR EACH ROW
  WHEN ((NEW.job_inputs, NEW.entity_refs, NEW.planned_operations)
    IS DISTINCT FROM (OLD.job_inputs, OLD.entity_refs, OLD.planned_operations))
  EXECUTE FUNCTION refuse_immutable_change();

-- Every version has one event that tells the truth about it: the log could otherwise not be replayed, folded into totals,
-- or verified by its hashes. Checked at the commit, since plain SQL writes the job first and then the event. That the
-- event is of the job's workspace, its foreign key says.
CREATE FUNCTION ai_jobs_require_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- OLD is NULL for an insert: a job's first event has no previous state, and 64 zeros before it in the chain.
  IF NOT EXISTS (
    SELECT FROM flight_recorder_events e
    WHERE e.job_id = NEW.job_id AND e.version = NEW.version AND e.trace_id = NEW.trace_id
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

-- Jobs are never removed: their events, runs and chains of hashes would tell of nothing.
CREATE TRIGGER ai_jobs_no_delete BEFORE DELETE ON ai_jobs
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');
CREATE TRIGGER ai_jobs_no_truncate BEFORE TRUNCATE ON ai_jobs EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');

-- ---------------------------------------------------------------- workflow_runs

ALTER TABLE workflow_runs
  -- No run without its job, or in another workspace than its job.
  ADD CONSTRAINT workflow_runs_job_id_workspace_id_fkey
    FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs (job_id, workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- The token is stored as its SHA-256 alone: the token itself would let whoever reads the table report.
  ADD CONSTRAINT workflow_runs_token_is_sha256 CHECK (octet_length(lease_token) = 32),
  -- A running run, and no other, has a lease: without one it would never be recovered, with one another run would be.
  ADD CONSTRAINT workflow_runs_only_running_has_lease CHECK ((lease_expires_at IS NOT NULL) = (state = 'running')),
  -- An active run has not finished, and any other has.
  ADD CONSTRAINT workflow_runs_finished_unless_active CHECK (
    (finished_at IS NULL) = (state IN ('running', 'awaiting_validation', 'awaiting_user'))),
  -- A run is an attempt that began: it is never queued, and the first is number 1.
  ADD CONSTRAINT workflow_runs_never_queued CHECK (state <> 'queued'),
  ADD CONSTRAINT workflow_runs_attempt CHECK (attempt >= 1);

-- A poisoned job gets no run (section 5). Once for all rows of a statement: a claim inserts up to a hundred. FOR SHARE
-- waits for a poisoning that is under way in another transaction, and then sees it; so it locks all of the jobs, in the
-- order in which everyone does, before it looks at any.
CREATE FUNCTION workflow_runs_check_insert() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER workflow_runs_check_insert AFTER INSERT ON workflow_runs REFERENCING NEW TABLE AS new_runs
  FOR EACH STATEMENT EXECUTE FUNCTION workflow_runs_check_insert();

-- A run that has finished stays as it is: a late report could otherwise change what was decided without it. The one
-- exception is a stalled run, which may still become poisoned. A run of a poisoned job can only become poisoned itself
-- (section 5). While it is active it follows section 4's transitions, as its job does.
CREATE FUNCTION workflow_runs_check_update() RETURNS trigger LANGUAGE plpgsql AS $$
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
  IF NEW.state <> OLD.state AND NOT ai_job_transition_allowed(OLD.state, NEW.state) THEN
    RAISE EXCEPTION 'run %: % cannot become %', OLD.id, OLD.state, NEW.state USING ERRCODE = 'AJ001';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER workflow_runs_check_update BEFORE UPDATE ON workflow_runs
  FOR EACH ROW EXECUTE FUNCTION workflow_runs_check_update();

-- Whose run it is stays: a changed token or worker would hand a job over to somebody who never claimed it.
CREATE TRIGGER workflow_runs_immutable_columns
  BEFORE UPDATE OF id, workspace_id, job_id, attempt, worker_id, lease_token, started_at ON workflow_runs
  FOR EACH ROW
  WHEN ((NEW.id, NEW.workspace_id, NEW.job_id, NEW.attempt, NEW.worker_id, NEW.lease_token, NEW.started_at)
    IS DISTINCT FROM (OLD.id, OLD.workspace_id, OLD.job_id, OLD.attempt, OLD.worker_id, OLD.lease_token, OLD.started_at))
  EXECUTE FUNCTION refuse_immutable_change();

-- Every attempt is kept.
CREATE TRIGGER workflow_runs_no_delete BEFORE DELETE ON workflow_runs
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');
CREATE TRIGGER workflow_runs_no_truncate BEFORE TRUNCATE ON workflow_runs
  EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');

-- ---------------------------------------------------------------- node_executions

ALTER TABLE node_executions
  -- No step without its run, or in another workspace than its run.
  ADD CONSTRAINT node_executions_workflow_run_id_workspace_id_fkey
    FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs (id, workspace_id)
    ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- A step is running and has no end, or has ended and has one.
  ADD CONSTRAINT node_executions_finished_unless_running CHECK ((finished_at IS NULL) = (state = 'running')),
  ADD CONSTRAINT node_executions_never_queued CHECK (state <> 'queued'),
  -- "Nothing" has one form, SQL NULL.
  ADD CONSTRAINT node_executions_json_null_is_sql_null CHECK (
    jsonb_typeof(input_payload) <> 'null' AND jsonb_typeof(output_payload) <> 'null'),
  ADD CONSTRAINT node_executions_sequence CHECK (sequence >= 1);

-- A poisoned job gets no step (section 5).
CREATE TRIGGER node_executions_check_insert BEFORE INSERT ON node_executions
  FOR EACH ROW EXECUTE FUNCTION check_job_is_not_poisoned();

-- A step that has ended stays as it was reported, and one of a poisoned job can only become poisoned (section 5).
CREATE FUNCTION node_executions_check_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE job_state "JobState";
BEGIN
  -- FOR SHARE waits for a poisoning that is under way in another transaction, and then sees it.
  SELECT j.state INTO job_state FROM workflow_runs r JOIN ai_jobs j USING (job_id)
    WHERE r.id = NEW.workflow_run_id FOR SHARE OF j;
  IF OLD.finished_at IS NOT NULL OR (job_state = 'poisoned' AND NEW.state <> 'poisoned') THEN
    RAISE EXCEPTION 'node % has finished, or its job is poisoned: it cannot change', OLD.id USING ERRCODE = 'AJ004';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER node_executions_check_update BEFORE UPDATE ON node_executions
  FOR EACH ROW EXECUTE FUNCTION node_executions_check_update();

-- Which step it is, and what it depends on, was said when it started.
CREATE TRIGGER node_executions_immutable_columns
  BEFORE UPDATE OF id, workspace_id, workflow_run_id, node_id, node_type, sequence, depends_on, started_at
  ON node_executions
  FOR EACH ROW
  WHEN ((NEW.id, NEW.workspace_id, NEW.workflow_run_id, NEW.node_id, NEW.node_type, NEW.sequence, NEW.depends_on,
         NEW.started_at)
    IS DISTINCT FROM
        (OLD.id, OLD.workspace_id, OLD.workflow_run_id, OLD.node_id, OLD.node_type, OLD.sequence, OLD.depends_on,
         OLD.started_at))
  EXECUTE FUNCTION refuse_immutable_change();

-- Every execution is kept [HSK-WF-001].
CREATE TRIGGER node_executions_no_delete BEFORE DELETE ON node_executions
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');
CREATE TRIGGER node_executions_no_truncate BEFORE TRUNCATE ON node_executions
  EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');

-- ---------------------------------------------------------------- worker_reports

ALTER TABLE worker_reports
  -- No report without its run, or in another workspace than its run.
  ADD CONSTRAINT worker_reports_workflow_run_id_workspace_id_fkey
    FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs (id, workspace_id)
    ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT worker_reports_hash_is_sha256 CHECK (octet_length(report_hash) = 32),
  -- A violation of policy has a code for programs and a detail for people: the same report, sent again, is answered with
  -- both.
  ADD CONSTRAINT worker_reports_policy_violation_has_both CHECK (
    (policy_violation_code IS NULL) = (policy_violation_detail IS NULL));

-- A poisoned job gets no report (section 5).
CREATE TRIGGER worker_reports_check_insert BEFORE INSERT ON worker_reports
  FOR EACH ROW EXECUTE FUNCTION check_job_is_not_poisoned();

-- Append-only: a report that were forgotten would count again when it is sent again.
CREATE TRIGGER worker_reports_append_only BEFORE UPDATE OR DELETE ON worker_reports
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');
CREATE TRIGGER worker_reports_no_truncate BEFORE TRUNCATE ON worker_reports
  EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');

-- ---------------------------------------------------------------- flight_recorder_events

ALTER TABLE flight_recorder_events
  -- No event without its job, or in another workspace than its job.
  ADD CONSTRAINT flight_recorder_events_job_id_workspace_id_fkey
    FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs (job_id, workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT flight_recorder_events_version CHECK (version >= 1),
  ADD CONSTRAINT flight_recorder_events_payload_is_object CHECK (jsonb_typeof(payload) = 'object'),
  -- No text that is not a hash: no chain could be verified with it.
  ADD CONSTRAINT flight_recorder_events_hashes CHECK (is_sha256_hex(hash) AND is_sha256_hex(prev_hash));

-- An event tells of a version that its job has when the statement that writes it ends. Versions only grow, so there is
-- nothing to wait for until the commit; and once for all events of a statement.
CREATE FUNCTION flight_recorder_events_check_insert() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER flight_recorder_events_check_insert AFTER INSERT ON flight_recorder_events
  REFERENCING NEW TABLE AS new_events
  FOR EACH STATEMENT EXECUTE FUNCTION flight_recorder_events_check_insert();

-- Append-only: what happened does not change afterwards.
CREATE TRIGGER flight_recorder_events_append_only BEFORE UPDATE OR DELETE ON flight_recorder_events
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');
CREATE TRIGGER flight_recorder_events_no_truncate BEFORE TRUNCATE ON flight_recorder_events
  EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');

-- ---------------------------------------------------------------- event_log

ALTER TABLE event_log
  -- There is one log, and so one row.
  ADD CONSTRAINT event_log_one_row CHECK (singleton),
  -- From this order_xid on the log is whole: a cursor from before it is answered with CURSOR_EXPIRED, never with a silent
  -- gap (section 10).
  ADD CONSTRAINT event_log_kept_from CHECK (kept_from >= 0);

-- ---------------------------------------------------------------- quotas

ALTER TABLE quotas
  ADD CONSTRAINT quotas_workspace_id_fkey
    FOREIGN KEY (workspace_id) REFERENCES workspaces (workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- No quota of an unknown profile: it would limit nothing, and its owner would believe that it does.
  ADD CONSTRAINT quotas_capability_profile_id_fkey
    FOREIGN KEY (capability_profile_id) REFERENCES capability_profiles (id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- Up to 2^53 - 1, as metrics.
  ADD CONSTRAINT quotas_max CHECK (max BETWEEN 0 AND 9007199254740991),
  -- What is used is counted over a window, but for jobs that are active at this moment.
  ADD CONSTRAINT quotas_only_active_jobs_has_no_window CHECK ((window_seconds IS NULL) = (resource = 'active_jobs')),
  -- A minute, since usage is kept by the minute, to 31 days, since it is kept for 32.
  ADD CONSTRAINT quotas_window CHECK (window_seconds BETWEEN 60 AND 2678400);

-- ---------------------------------------------------------------- job_totals, usage_minutes, totals_position

ALTER TABLE job_totals
  ADD CONSTRAINT job_totals_workspace_id_fkey
    FOREIGN KEY (workspace_id) REFERENCES workspaces (workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- A sum below zero would mean that an event was folded twice, or never.
  ADD CONSTRAINT job_totals_not_negative CHECK (
    jobs >= 0 AND least(duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor,
                        entities_read, entities_written, validators_run_count) >= 0);

ALTER TABLE usage_minutes
  ADD CONSTRAINT usage_minutes_workspace_id_fkey
    FOREIGN KEY (workspace_id) REFERENCES workspaces (workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT usage_minutes_not_negative CHECK (tokens >= 0 AND jobs >= 0),
  -- Whole minutes only: with parts of a minute, one minute would have several rows, and windows would miss some.
  ADD CONSTRAINT usage_minutes_whole_minute CHECK (
    minute = date_bin('1 minute', minute, '2000-01-01 00:00:00+00'::timestamptz));

-- Totals come from one place in one log: one row, which is never removed. Without it nobody could tell which events the
-- totals hold.
--
-- A job's change is told by its event and the one before it, so whatever removes old events must keep the newest one of
-- every job, and everything after this position.
ALTER TABLE totals_position ADD CONSTRAINT totals_position_one_row CHECK (singleton);

CREATE TRIGGER totals_position_no_delete BEFORE DELETE ON totals_position
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');
CREATE TRIGGER totals_position_no_truncate BEFORE TRUNCATE ON totals_position
  EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');

-- The events of some workspaces that come after the position, which reads of totals add to what is folded. STABLE: it sees
-- what the statement that calls it sees. The planner cannot know how few they are, nor that the position is near the log's
-- end: without the setting and the OFFSET it reads the whole log, or all of a workspace's, for them.
CREATE FUNCTION events_not_folded(of_workspaces uuid[]) RETURNS SETOF flight_recorder_events
LANGUAGE sql STABLE ROWS 1000 SET enable_seqscan = off AS $$
  SELECT * FROM (
    SELECT * FROM flight_recorder_events
    WHERE (order_xid, job_id, version) > (SELECT order_xid, job_id, version FROM totals_position WHERE singleton)
    OFFSET 0
  ) AS event
  WHERE workspace_id = ANY (of_workspaces)
$$;

-- ---------------------------------------------------------------- bulk_actions, bulk_action_items

ALTER TABLE bulk_actions
  ADD CONSTRAINT bulk_actions_workspace_id_fkey
    FOREIGN KEY (workspace_id) REFERENCES workspaces (workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- A filter that names nothing would be about every job of the workspace.
  ADD CONSTRAINT bulk_actions_filter_names_something CHECK (jsonb_typeof(filter) = 'object' AND filter <> '{}'),
  -- A cancellation has a reason, as that of one job has; a retry has none.
  ADD CONSTRAINT bulk_actions_reason_of_a_cancellation CHECK ((reason IS NOT NULL) = (kind = 'cancel'));

CREATE TRIGGER bulk_actions_check_insert BEFORE INSERT ON bulk_actions FOR EACH ROW
  WHEN (NEW.finished_at IS NOT NULL) EXECUTE FUNCTION refuse('AJ003', 'a bulk action begins unfinished');

-- An action finishes once, with its last item: an item that were left would never have its turn.
CREATE FUNCTION bulk_actions_check_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.finished_at IS NOT NULL THEN
    RAISE EXCEPTION 'bulk action % has finished: it cannot change', OLD.id USING ERRCODE = 'AJ004';
  END IF;
  IF EXISTS (SELECT FROM bulk_action_items WHERE bulk_action_id = NEW.id AND finished_at IS NULL) THEN
    RAISE EXCEPTION 'bulk action %: it finishes with its last item', OLD.id USING ERRCODE = 'AJ006';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER bulk_actions_check_update BEFORE UPDATE ON bulk_actions FOR EACH ROW
  WHEN (OLD.finished_at IS NOT NULL OR NEW.finished_at IS NOT NULL) EXECUTE FUNCTION bulk_actions_check_update();

-- What was asked for, and by whom, stays.
CREATE TRIGGER bulk_actions_immutable_columns
  BEFORE UPDATE OF id, workspace_id, kind, filter, reason, actor, actor_id, created_at ON bulk_actions
  FOR EACH ROW
  WHEN ((NEW.id, NEW.workspace_id, NEW.kind, NEW.filter, NEW.reason, NEW.actor, NEW.actor_id, NEW.created_at)
    IS DISTINCT FROM
        (OLD.id, OLD.workspace_id, OLD.kind, OLD.filter, OLD.reason, OLD.actor, OLD.actor_id, OLD.created_at))
  EXECUTE FUNCTION refuse_immutable_change();

CREATE TRIGGER bulk_actions_no_delete BEFORE DELETE ON bulk_actions
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');
CREATE TRIGGER bulk_actions_no_truncate BEFORE TRUNCATE ON bulk_actions
  EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');

ALTER TABLE bulk_action_items
  -- No item without its action and its job, or of another workspace than either: an action changes only jobs of its own.
  ADD CONSTRAINT bulk_action_items_bulk_action_id_workspace_id_fkey
    FOREIGN KEY (bulk_action_id, workspace_id) REFERENCES bulk_actions (id, workspace_id)
    ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT bulk_action_items_job_id_workspace_id_fkey
    FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs (job_id, workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT bulk_action_items_at_most_1000 CHECK (position BETWEEN 1 AND 1000),
  -- An error is the outcome of an item that has had its turn, and names a code of the API.
  ADD CONSTRAINT bulk_action_items_error_when_finished CHECK (error IS NULL OR finished_at IS NOT NULL),
  ADD CONSTRAINT bulk_action_items_error_has_a_code CHECK (
    error IS NULL OR coalesce(jsonb_typeof(error -> 'code') = 'string', false));

CREATE TRIGGER bulk_action_items_check_insert BEFORE INSERT ON bulk_action_items FOR EACH ROW
  WHEN (NEW.finished_at IS NOT NULL) EXECUTE FUNCTION refuse('AJ003', 'an item begins before its turn');

-- An action that has finished gets no item: nobody would look for it any more. Once for all rows of a statement: an action
-- is stored with up to 1,000 items at once.
CREATE FUNCTION bulk_action_items_check_action() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM added i JOIN bulk_actions a ON a.id = i.bulk_action_id WHERE a.finished_at IS NOT NULL) THEN
    RAISE EXCEPTION 'a bulk action that has finished gets no item' USING ERRCODE = 'AJ004';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER bulk_action_items_check_action AFTER INSERT ON bulk_action_items
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION bulk_action_items_check_action();

-- An item that has had its turn keeps its outcome; otherwise it could have a second turn.
CREATE TRIGGER bulk_action_items_check_update BEFORE UPDATE ON bulk_action_items FOR EACH ROW
  WHEN (OLD.finished_at IS NOT NULL) EXECUTE FUNCTION refuse('AJ004', 'an item that has had its turn cannot change');

-- Which job it is about stays.
CREATE TRIGGER bulk_action_items_immutable_columns
  BEFORE UPDATE OF workspace_id, bulk_action_id, position, job_id ON bulk_action_items
  FOR EACH ROW
  WHEN ((NEW.workspace_id, NEW.bulk_action_id, NEW.position, NEW.job_id)
    IS DISTINCT FROM (OLD.workspace_id, OLD.bulk_action_id, OLD.position, OLD.job_id))
  EXECUTE FUNCTION refuse_immutable_change();

CREATE TRIGGER bulk_action_items_no_delete BEFORE DELETE ON bulk_action_items
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');
CREATE TRIGGER bulk_action_items_no_truncate BEFORE TRUNCATE ON bulk_action_items
  EXECUTE FUNCTION refuse('AJ005', 'what it holds is kept');

-- ---------------------------------------------------------------- capability_profiles

-- Each kind of job has exactly one default profile: the one that a submit gets which names none (section 8).
-- Refuses two profiles that claim one kind, and a kind that none claims. At commit, so that one transaction
-- can move a kind from one profile to another. It needs no lock: whoever moves a kind writes the row that has claimed it
-- until then, and so of two that move the same kind the later one waits, and sees what the earlier one has committed.
CREATE FUNCTION capability_profiles_one_default() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE kind "JobKind"; claims bigint;
BEGIN
  SELECT k, count(p.id) INTO kind, claims
    FROM unnest(enum_range(NULL::"JobKind")) AS k LEFT JOIN capability_profiles p ON k = ANY(p.job_kinds)
    GROUP BY k HAVING count(p.id) <> 1 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'job kind %: % capability profiles claim it, and exactly one has to', kind, claims
      USING ERRCODE = 'AJ008';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER capability_profiles_default_added AFTER INSERT ON capability_profiles
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.job_kinds <> '{}')
  EXECUTE FUNCTION capability_profiles_one_default();
CREATE CONSTRAINT TRIGGER capability_profiles_default_changed AFTER UPDATE OF job_kinds ON capability_profiles
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.job_kinds IS DISTINCT FROM OLD.job_kinds)
  EXECUTE FUNCTION capability_profiles_one_default();
CREATE CONSTRAINT TRIGGER capability_profiles_default_removed AFTER DELETE ON capability_profiles
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.job_kinds <> '{}')
  EXECUTE FUNCTION capability_profiles_one_default();
