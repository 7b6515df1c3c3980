-- Database checks: what the database itself refuses, whichever client writes. "Section N" means docs/ai-job-model.md. The
-- server checks all of this before it writes; the checks here also apply to every other writer (a script, a person with
-- psql, a bug), so that stored rows can be relied on. By table: foreign keys (SQLSTATE 23503), value checks (23514), then
-- triggers, which raise one of these:
--
--   AJ001  an illegal transition: section 4 does not allow this state to become that one
--   AJ002  not the next version of a job, or an order_xid that is not allowed
--   AJ003  an inserted row is not in its initial state, a child job does not fit its parent or tree, a label not its job, or a chunk is
--          not its run's next
--   AJ004  the job is poisoned, or the row or its bulk action has finished: nothing can be changed or added
--   AJ005  a row was removed, or changed in a table that is append-only
--   AJ006  a version without its event, an event without its version, a job without its labels, a bulk action that ends before
--          its items, usage that is not what its version added, or a wait, an answer or a poisoning that is half done
--   AJ007  a column that never changes was changed, a counter was lowered, or `uncharged_attempts` or `releases` changed by anything but
--          0 or +1; `releases` may also become 0
--   AJ008  a job kind without a default capability profile, or with more than one
--
-- How the triggers are built, because every version of a job passes them:
-- - An expression (WHEN) decides whether something is wrong. PL/pgSQL, which costs several times as much, runs only to raise
--   the matching error, or where another table must be read.
-- - A trigger on UPDATE OF protects each column that never changes. An UPDATE that does not name such a column, as none of
--   the server's does, pays nothing; this matters most for documents, which may be megabytes.
-- - BEFORE triggers of a table fire in the order of their names, so `..._check_...` comes before `..._immutable_...`: an
--   UPDATE of a poisoned job is refused with AJ004, whatever it would change.

-- ---------------------------------------------------------------- functions that several tables use

-- The row that a trigger is about, for its message: the names and values of its primary key, in parentheses; empty for a
-- trigger of a whole statement. Not the whole row: its documents would end up in the log of the database.
CREATE FUNCTION row_key(of_table oid, of_row jsonb) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT coalesce(' (' || string_agg(a.attname || ' ' || (of_row ->> a.attname), ', ' ORDER BY a.attnum) || ')', '')
  FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
  WHERE i.indrelid = of_table AND i.indisprimary
$$;

-- Refuses the statement that fired its trigger, with the SQLSTATE and the reason that are the trigger's arguments.
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

-- Refuses nodes and reports of a run whose job is poisoned. FOR SHARE waits for a poisoning that is under way in another
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

-- This transaction's id as the number that order_xid holds: with the offset of the log's epoch, because ids begin anew on
-- another PostgreSQL server, and positions must not (section 10). VOLATILE, so that it sees the offset of an epoch that began
-- while its statement waited for a lock.
CREATE FUNCTION current_order_xid() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN pg_current_xact_id()::text::bigint + (SELECT xid_offset FROM event_log);
END $$;

-- The watermark (section 4): every transaction that can write an event with a smaller order_xid has ended. It is the smallest
-- of: the next id; this transaction's own id; the open ids that may be of this database. Open ids are those of the snapshot
-- of the calling statement, the one by which that statement reads events. So a statement calls this once, as
-- (SELECT log_watermark()): of two calls with the same snapshot the later one may know more ids, and rows between their
-- answers would be skipped.
--
-- Ids are given out for all databases of a PostgreSQL server. One that another database's transaction has can write no event
-- here, and is passed over, but only where that is certain. pg_stat_get_activity and pg_prepared_xact tell whose an id is, to
-- every role. They tell it of a moment after the snapshot was taken. What can happen in between:
-- - A transaction begins. Its id is not in the snapshot, and is the next id or a later one.
-- - A transaction ends. Its id is found no more, and counts as this database's, although it may not have been. So this may
--   return less than it did for an earlier statement; readers must bear that. More has been right when it was returned, and
--   stays right: what had ended then has ended.
-- - A transaction is prepared: it is looked for after the processes, and so is found at one place at least, or has ended.
-- - A process ends, and another one gets its slot or its pid. A row has the database of the process that was in a slot, and
--   then the id of the one that is: were it another one by then, it would have begun after the snapshot, and its id would not
--   be in it. pg_stat_clear_snapshot makes sure of that order: without it, the rows could be those that an earlier statement of
--   the same transaction has seen. Nobody changes databases.
-- - An id comes again: never, as a whole. Of the last 32 bits, which is what the rows have, no two that are open are the same.
-- A process without a database (NULL) counts as this database's. A subtransaction's id is neither in the list nor in an
-- order_xid, which takes that of the whole transaction.
--
-- A snapshot of a standby lists no ids, though some may be open; nor does one whose only open transaction is its own. For both,
-- the smallest id of the snapshot is right.
--
-- Looking whose the ids are takes 0.07 ms with 20 connections, 0.15 ms with 100, 1 ms with 1,000; pg_locks joined with
-- pg_stat_activity takes 0.4 ms more. Where no older transaction is open, nothing is looked at.
CREATE FUNCTION log_watermark() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  next_id CONSTANT bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
  smallest_id bigint := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  this_database oid;
BEGIN
  IF smallest_id < next_id THEN
    PERFORM pg_stat_clear_snapshot();
    SELECT oid INTO this_database FROM pg_database WHERE datname = current_database();
    SELECT CASE count(*) WHEN 0 THEN smallest_id ELSE
        least(next_id, pg_current_xact_id_if_assigned()::text::bigint, min(id::text::bigint) FILTER (WHERE id::xid NOT IN (
          SELECT backend_xid FROM pg_stat_get_activity(NULL) WHERE backend_xid IS NOT NULL AND datid <> this_database
          UNION ALL SELECT transaction FROM pg_prepared_xact() WHERE dbid <> this_database)))
      END
      INTO smallest_id FROM pg_snapshot_xip(pg_current_snapshot()) AS open(id);
  END IF;
  RETURN smallest_id + (SELECT xid_offset FROM event_log);
END $$;

-- The end of the log: every event that has been committed has a smaller order_xid. If one has not, the ids of this PostgreSQL
-- server lie behind those that were stored, and the log needs a new epoch (section 10).
CREATE FUNCTION log_end() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN pg_snapshot_xmax(pg_current_snapshot())::text::bigint + (SELECT xid_offset FROM event_log);
END $$;

-- The table of transitions of section 4. src/jobs/state.ts has the same table; a test compares the two.
CREATE FUNCTION ai_job_transition_allowed(old_state "JobState", new_state "JobState") RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE old_state
    WHEN 'queued' THEN new_state IN ('running', 'failed', 'cancelled', 'poisoned')
    WHEN 'running' THEN new_state IN ('awaiting_validation', 'awaiting_user', 'completed', 'completed_with_issues', 'failed', 'cancelled',
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

-- Where a job may go with what it waits for, in a transition that the table above allows. A worker's question comes from running
-- alone, and leads to no outputs that could be accepted; outputs that await a person come from a verdict alone; a job that waits for
-- its children is not claimed before it waits for nothing.
CREATE FUNCTION ai_job_wait_allowed(old_state "JobState", old_wait "WaitsFor", new_state "JobState", new_wait "WaitsFor")
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN new_state = old_state THEN new_wait IS NOT DISTINCT FROM old_wait OR (old_wait = 'children' AND new_wait IS NULL)
    WHEN new_wait = 'user_input' THEN old_state = 'running'
    WHEN new_wait = 'user_review' THEN old_state = 'awaiting_validation'
    WHEN new_wait = 'children' THEN old_state = 'running'
    WHEN old_wait = 'user_input' THEN new_state IN ('queued', 'failed', 'cancelled', 'poisoned')
    WHEN old_wait = 'children' THEN new_state <> 'running'
    ELSE true
  END
$$;

-- ---------------------------------------------------------------- ai_jobs

ALTER TABLE ai_jobs
  -- A job's workspace must exist.
  ADD CONSTRAINT ai_jobs_workspace_id_fkey
    FOREIGN KEY (workspace_id) REFERENCES workspaces (workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- A job's capability profile must exist: otherwise it would be unknown what the job may do.
  ADD CONSTRAINT ai_jobs_capability_profile_id_fkey
    FOREIGN KEY (capability_profile_id) REFERENCES capability_profiles (id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- A job's parent must be in the same workspace.
  ADD CONSTRAINT ai_jobs_parent_job_id_workspace_id_fkey
    FOREIGN KEY (parent_job_id, workspace_id) REFERENCES ai_jobs (job_id, workspace_id)
    ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- A job's latest run must exist, in the same workspace.
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
  -- The total must be the sum, and the parts not larger than the total: otherwise quotas and budgets would count other
  -- numbers than clients see.
  ADD CONSTRAINT ai_jobs_total_tokens_is_sum CHECK (total_tokens = input_tokens + output_tokens),
  ADD CONSTRAINT ai_jobs_split_tokens_within_total CHECK (tokens_planner + tokens_executor <= total_tokens),
  ADD CONSTRAINT ai_jobs_token_budget CHECK (token_budget BETWEEN 0 AND 9007199254740991),
  ADD CONSTRAINT ai_jobs_cost_budget CHECK (cost_budget_micros BETWEEN 0 AND 9007199254740991),
  ADD CONSTRAINT ai_jobs_cost CHECK (cost_micros BETWEEN 0 AND 9007199254740991),
  -- Programs read the reason, so it is never empty.
  ADD CONSTRAINT ai_jobs_status_reason_not_empty CHECK (status_reason <> ''),
  -- A job may be tried at least once. `uncharged_attempts` counts the attempts that a person sent back, so it cannot exceed `attempt`.
  ADD CONSTRAINT ai_jobs_attempts CHECK (attempt >= 0 AND max_attempts >= 1),
  ADD CONSTRAINT ai_jobs_uncharged_attempts CHECK (uncharged_attempts >= 0),
  ADD CONSTRAINT ai_jobs_uncharged_within_attempts CHECK (uncharged_attempts <= attempt),
  -- A reservation for a worker has an end: without one, a job would wait forever for a worker that no longer runs.
  ADD CONSTRAINT ai_jobs_preference_has_an_end CHECK ((preferred_worker_id IS NULL) = (preferred_until IS NULL)),
  -- Only hashes: no chain could be verified with another text.
  ADD CONSTRAINT ai_jobs_hashes CHECK (is_sha256_hex(chain_hash) AND is_sha256_hex(submit_hash)),
  -- A principal's name, as api_keys.created_by.
  ADD CONSTRAINT ai_jobs_submitted_by CHECK (char_length(submitted_by) BETWEEN 1 AND 300),
  ADD CONSTRAINT ai_jobs_protocol_id CHECK (char_length(protocol_id) BETWEEN 1 AND 200),
  ADD CONSTRAINT ai_jobs_label_count CHECK (label_count BETWEEN 0 AND 32),
  -- Outputs exist only in states in which the work is done: a client must not mistake the outputs of a failed, cancelled or
  -- poisoned attempt for results.
  ADD CONSTRAINT ai_jobs_outputs_only_when_done CHECK (
    job_outputs IS NULL OR state IN ('awaiting_validation', 'awaiting_user', 'completed', 'completed_with_issues')),
  -- Nor do outputs exist while a worker's question waits for an answer.
  ADD CONSTRAINT ai_jobs_no_outputs_with_a_question CHECK (job_outputs IS NULL OR waits_for IS DISTINCT FROM 'user_input'),
  -- A missing value is SQL NULL only: a query with IS NULL would not find a JSON null.
  ADD CONSTRAINT ai_jobs_json_null_is_sql_null CHECK (
    jsonb_typeof(job_inputs) <> 'null' AND jsonb_typeof(job_outputs) <> 'null'),
  ADD CONSTRAINT ai_jobs_lists_are_arrays CHECK (
    jsonb_typeof(entity_refs) = 'array' AND jsonb_typeof(planned_operations) = 'array'),
  -- completed_at is set exactly in the terminal states.
  ADD CONSTRAINT ai_jobs_completed_at_when_final CHECK (
    (completed_at IS NOT NULL) = (state IN ('completed', 'completed_with_issues', 'cancelled', 'poisoned'))),
  -- ended_at is set exactly in the states in which a job has ended: those, and failed, which a retry leaves.
  ADD CONSTRAINT ai_jobs_ended_at_when_ended CHECK (
    (ended_at IS NOT NULL) = (state IN ('completed', 'completed_with_issues', 'failed', 'cancelled', 'poisoned'))),
  -- What waits says for what: decisions are made by it. A job that waits for its children is not due by a time as well.
  ADD CONSTRAINT ai_jobs_waits_for CHECK (
    CASE state
      WHEN 'awaiting_user' THEN coalesce(waits_for IN ('user_review', 'user_input'), false)
      WHEN 'queued' THEN waits_for IS NULL OR (waits_for = 'children' AND run_after IS NULL)
      ELSE waits_for IS NULL
    END),
  ADD CONSTRAINT ai_jobs_waits_until_for_an_answer CHECK (waits_until IS NULL OR coalesce(waits_for = 'user_input', false)),
  -- The hundredth release fails the job (section 13).
  ADD CONSTRAINT ai_jobs_releases CHECK (releases BETWEEN 0 AND 100),
  -- Progress is a fraction, a message or both, and has a time exactly where there is one (section 13). NaN is greater than 1 here.
  ADD CONSTRAINT ai_jobs_progress CHECK ((progress_at IS NULL) = (progress_fraction IS NULL AND progress_message IS NULL)),
  ADD CONSTRAINT ai_jobs_progress_fraction CHECK (progress_fraction BETWEEN 0 AND 1),
  ADD CONSTRAINT ai_jobs_progress_message CHECK (char_length(progress_message) BETWEEN 1 AND 200),
  -- A worker reports it, so there is none before the first attempt; and none of a poisoned job: it may hold what poisoned.
  ADD CONSTRAINT ai_jobs_progress_of_an_attempt CHECK (progress_at IS NULL OR (attempt > 0 AND state <> 'poisoned'));

-- A job begins as queued, with nothing done. A job inserted in a later state would have no events for the versions before
-- it.
CREATE TRIGGER ai_jobs_check_insert BEFORE INSERT ON ai_jobs FOR EACH ROW
  WHEN (
    NEW.state <> 'queued' OR NEW.version <> 1 OR NEW.attempt <> 0 OR NEW.uncharged_attempts > 0
    OR NEW.releases > 0 OR NEW.waits_for IS NOT NULL
    OR NEW.workflow_run_id IS NOT NULL OR NEW.job_outputs IS NOT NULL
    OR greatest(NEW.duration_ms, NEW.total_tokens, NEW.tokens_planner, NEW.tokens_executor, NEW.entities_read,
                NEW.entities_written, NEW.validators_run_count, NEW.cost_micros) <> 0
  )
  EXECUTE FUNCTION refuse('AJ003', 'a job begins as queued, version 1, with no attempts, outputs, metrics or cost');

-- The order_xid of the first version is the id of the inserting transaction: the feed could already have read past a
-- smaller one.
CREATE TRIGGER ai_jobs_check_insert_order BEFORE INSERT ON ai_jobs FOR EACH ROW
  WHEN (NEW.order_xid <> current_order_xid())
  EXECUTE FUNCTION refuse('AJ002', 'order_xid must be the id of the inserting transaction');

-- How many descendants a root has. The lock stops other transactions from adding one before this transaction ends. The count
-- is a separate query after the lock, so that it sees what was committed while this transaction waited for the lock.
CREATE FUNCTION lock_and_count_descendants(root uuid) RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('descendants of job ' || root, 0));
  RETURN (SELECT count(*) FROM ai_jobs WHERE root_job_id = root);
END $$;

-- A child's parent must be in the same workspace and must not have ended; the child has its parent's trace and root, and is
-- one of at most 1,000 descendants. Otherwise a tree could not be cancelled or poisoned as a whole.
--
-- What can run at the same time:
-- - A transaction that ends or poisons the parent. FOR SHARE waits for it, and then sees the parent's new state. A
--   transaction that changes the parent afterwards waits for this one, and can then find the child.
-- - An insert of another child of the same tree, perhaps of another parent, which the count must not miss: hence the
--   advisory lock on the root's id. It is taken after the parent's row. Its holder waits for no other job row, only for
--   quotas, which come later in the lock order (section 4). Children lock rows FOR SHARE, so they do not block each other;
--   cancelling or poisoning a tree never takes the advisory lock; so no deadlock is possible.
-- - A writer of plain SQL in REPEATABLE READ or SERIALIZABLE, whose snapshot may be older than the lock, so that it would
--   count too few descendants: refused.
--
-- The foreign key also refuses a parent in another workspace, but it is checked later, and it would accept a job that is its
-- own parent.
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
    RAISE EXCEPTION 'job %: root_job_id must be % and trace_id %, as its parent has', NEW.job_id, parent.root, parent.trace_id
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

-- Refuses an UPDATE that changes a poisoned job (section 5), makes an illegal transition (section 4), is not exactly the next
-- version, has a wrong order_xid, lowers a counter or the attempt, or changes uncharged_attempts or releases as AJ007 says. A smaller
-- order_xid than this transaction's could be skipped by the feed; a smaller one than the job's last would deliver its
-- versions out of order. What a job waits for decides where it may go (section 13): from a question no outputs can be accepted.
-- The WHEN clause of the trigger below detects a violation; this function only raises the matching error. It tests all rules but the
-- last three; if none of them matched, a counter, uncharged_attempts or releases is wrong.
CREATE FUNCTION ai_jobs_refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state = 'poisoned' THEN
    RAISE EXCEPTION 'job % is poisoned: no change is possible', OLD.job_id USING ERRCODE = 'AJ004';
  END IF;
  IF NEW.state <> OLD.state AND NOT ai_job_transition_allowed(OLD.state, NEW.state) THEN
    RAISE EXCEPTION 'job %: % cannot become %', OLD.job_id, OLD.state, NEW.state USING ERRCODE = 'AJ001';
  END IF;
  IF NOT ai_job_wait_allowed(OLD.state, OLD.waits_for, NEW.state, NEW.waits_for) THEN
    RAISE EXCEPTION 'job %: % (waits for %) cannot become % (waits for %)', OLD.job_id, OLD.state,
      coalesce(OLD.waits_for::text, 'nothing'), NEW.state, coalesce(NEW.waits_for::text, 'nothing') USING ERRCODE = 'AJ001';
  END IF;
  IF NEW.version <> OLD.version + 1 THEN
    RAISE EXCEPTION 'job %: version % must be followed by %', OLD.job_id, OLD.version, OLD.version + 1
      USING ERRCODE = 'AJ002';
  END IF;
  IF NEW.order_xid <> greatest(current_order_xid(), OLD.order_xid) THEN
    RAISE EXCEPTION 'job %: order_xid must be the greater of this transaction''s id and the last', OLD.job_id
      USING ERRCODE = 'AJ002';
  END IF;
  RAISE EXCEPTION 'job %: metrics, cost and attempt only grow, uncharged_attempts and releases only by one, releases to zero as well',
    OLD.job_id USING ERRCODE = 'AJ007';
END $$;

CREATE TRIGGER ai_jobs_check_update BEFORE UPDATE ON ai_jobs FOR EACH ROW
  WHEN (
    OLD.state = 'poisoned'
    OR (NEW.state <> OLD.state AND NOT ai_job_transition_allowed(OLD.state, NEW.state))
    OR ((OLD.waits_for IS NOT NULL OR NEW.waits_for IS NOT NULL)
      AND NOT ai_job_wait_allowed(OLD.state, OLD.waits_for, NEW.state, NEW.waits_for))
    OR NEW.version <> OLD.version + 1
    OR NEW.order_xid <> greatest(current_order_xid(), OLD.order_xid)
    OR NEW.duration_ms < OLD.duration_ms OR NEW.input_tokens < OLD.input_tokens OR NEW.output_tokens < OLD.output_tokens
    OR NEW.tokens_planner < OLD.tokens_planner OR NEW.tokens_executor < OLD.tokens_executor
    OR NEW.entities_read < OLD.entities_read OR NEW.entities_written < OLD.entities_written
    OR NEW.validators_run_count < OLD.validators_run_count OR NEW.cost_micros < OLD.cost_micros OR NEW.attempt < OLD.attempt
    OR NEW.uncharged_attempts NOT IN (OLD.uncharged_attempts, OLD.uncharged_attempts + 1)
    OR NEW.releases NOT IN (0, OLD.releases, OLD.releases + 1)
  )
  EXECUTE FUNCTION ai_jobs_refuse_update();

-- What a job was submitted with never changes: its workspace and its position in the tree; what totals and quotas count it
-- by; what its worker may do; above all its budgets, which could otherwise be raised while a report exceeds them.
CREATE TRIGGER ai_jobs_immutable_columns
  BEFORE UPDATE OF job_id, workspace_id, trace_id, parent_job_id, root_job_id, job_kind, protocol_id, profile_id,
    capability_profile_id, access_mode, safety_mode, model_tier, priority, max_attempts, token_budget, cost_budget_micros,
    idempotency_key, submit_hash, submitted_by, label_count, created_at ON ai_jobs
  FOR EACH ROW
  WHEN (
    (NEW.job_id, NEW.workspace_id, NEW.trace_id, NEW.parent_job_id, NEW.root_job_id, NEW.job_kind, NEW.protocol_id,
     NEW.profile_id, NEW.capability_profile_id, NEW.access_mode, NEW.safety_mode, NEW.model_tier, NEW.priority,
     NEW.max_attempts, NEW.token_budget, NEW.cost_budget_micros, NEW.idempotency_key, NEW.submit_hash, NEW.submitted_by, NEW.label_count,
     NEW.created_at)
    IS DISTINCT FROM
    (OLD.job_id, OLD.workspace_id, OLD.trace_id, OLD.parent_job_id, OLD.root_job_id, OLD.job_kind, OLD.protocol_id,
     OLD.profile_id, OLD.capability_profile_id, OLD.access_mode, OLD.safety_mode, OLD.model_tier, OLD.priority,
     OLD.max_attempts, OLD.token_budget, OLD.cost_budget_micros, OLD.idempotency_key, OLD.submit_hash, OLD.submitted_by, OLD.label_count,
     OLD.created_at)
  )
  EXECUTE FUNCTION refuse_immutable_change();

-- The documents never change either: what the guards have checked must be what the worker gets. They have a separate
-- trigger, so that an UPDATE that names another immutable column does not have to compare megabytes.
CREATE TRIGGER ai_jobs_immutable_documents BEFORE UPDATE OF job_inputs, entity_refs, planned_operations ON ai_jobs
  FOR EACH ROW
  WHEN ((NEW.job_inputs, NEW.entity_refs, NEW.planned_operations)
    IS DISTINCT FROM (OLD.job_inputs, OLD.entity_refs, OLD.planned_operations))
  EXECUTE FUNCTION refuse_immutable_change();

-- Every version has one event with the same state, metrics, cost and hash: otherwise the log could not be replayed, added up in
-- totals, or verified by its hashes. Checked at the commit, because plain SQL writes the job first and then the event. The
-- workspace is not compared, because the event's foreign key already requires that of its job.
CREATE FUNCTION ai_jobs_require_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- OLD is NULL for an insert: a job's first event has no previous state, and 64 zeros before it in the chain.
  IF NOT EXISTS (
    SELECT FROM flight_recorder_events e
    WHERE e.job_id = NEW.job_id AND e.version = NEW.version AND e.trace_id = NEW.trace_id
      AND e.state = NEW.state AND e.previous_state IS NOT DISTINCT FROM OLD.state
      AND e.order_xid = NEW.order_xid AND e.hash = NEW.chain_hash
      AND e.prev_hash = coalesce(OLD.chain_hash, repeat('0', 64))
      -- The first event says who submitted the job and when: the list by submittedBy is read from the log.
      AND (NEW.version > 1 OR (e.principal_id, e.recorded_at) = (NEW.submitted_by, NEW.created_at))
      AND (e.duration_ms, e.total_tokens, e.input_tokens, e.output_tokens, e.tokens_planner, e.tokens_executor,
           e.entities_read, e.entities_written, e.validators_run_count)
        = (NEW.duration_ms, NEW.total_tokens, NEW.input_tokens, NEW.output_tokens, NEW.tokens_planner,
           NEW.tokens_executor, NEW.entities_read, NEW.entities_written, NEW.validators_run_count)
      AND coalesce((e.payload ->> 'cost_micros')::numeric, 0) = NEW.cost_micros - coalesce(OLD.cost_micros, 0)
  ) THEN
    RAISE EXCEPTION 'job %: version % has no event that matches it', NEW.job_id, NEW.version USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ai_jobs_require_event AFTER INSERT OR UPDATE ON ai_jobs
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ai_jobs_require_event();

-- A job asks with a question, and goes on with its answer. Checked at the commit, because plain SQL may write the job first.
CREATE FUNCTION ai_jobs_check_wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.waits_for = 'user_input' AND NOT EXISTS (
    SELECT FROM user_input_requests
    WHERE workflow_run_id = NEW.workflow_run_id AND job_id = NEW.job_id AND answered_at IS NULL
      AND expires_at IS NOT DISTINCT FROM NEW.waits_until
  ) THEN
    RAISE EXCEPTION 'job %: it waits for an answer without an open question of its run with this time limit', NEW.job_id
      USING ERRCODE = 'AJ006';
  END IF;
  IF OLD.waits_for = 'user_input' AND NEW.state = 'queued' AND NOT EXISTS (
    SELECT FROM user_input_requests WHERE workflow_run_id = OLD.workflow_run_id AND answered_at IS NOT NULL
  ) THEN
    RAISE EXCEPTION 'job %: it is queued without the answer that it waits for', NEW.job_id USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ai_jobs_check_wait AFTER UPDATE ON ai_jobs
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (NEW.waits_for = 'user_input' OR (OLD.waits_for = 'user_input' AND NEW.state = 'queued'))
  EXECUTE FUNCTION ai_jobs_check_wait();

-- The outputs of a poisoned job's runs are cleared with its own: they are what the poisoned content led to.
CREATE FUNCTION ai_jobs_check_poisoned_outputs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM workflow_runs WHERE job_id = NEW.job_id AND outputs IS NOT NULL) THEN
    RAISE EXCEPTION 'job % is poisoned, and a run of it has outputs', NEW.job_id USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ai_jobs_check_poisoned_outputs AFTER UPDATE ON ai_jobs
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state = 'poisoned')
  EXECUTE FUNCTION ai_jobs_check_poisoned_outputs();

-- A job is never removed: its events and runs refer to it, and would mean nothing without it.
CREATE TRIGGER ai_jobs_no_delete BEFORE DELETE ON ai_jobs
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER ai_jobs_no_truncate BEFORE TRUNCATE ON ai_jobs
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- job_labels

ALTER TABLE job_labels
  -- A label's job must exist, in the same workspace.
  ADD CONSTRAINT job_labels_job_id_workspace_id_fkey
    FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs (job_id, workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- Few characters, so that a key has one spelling. A regular expression takes ten times as long.
  ADD CONSTRAINT job_labels_key CHECK (
    char_length(key) BETWEEN 1 AND 63 AND translate(key, 'abcdefghijklmnopqrstuvwxyz0123456789_.-/', '') = ''),
  ADD CONSTRAINT job_labels_value CHECK (char_length(value) <= 200);

-- A job gets labels in the transaction that inserts it, of its own time, and never later: nobody may put a job that runs under
-- another label, by which others find and bill it. Only an insert leaves a job at version 1, so one that this transaction has
-- written (xmin) at that version is new.
CREATE FUNCTION job_labels_check_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong uuid;
BEGIN
  SELECT n.job_id INTO wrong
    FROM (SELECT job_id, min(created_at) AS first, max(created_at) AS last FROM new_labels GROUP BY job_id) AS n
    JOIN ai_jobs j ON j.job_id = n.job_id
    WHERE j.version > 1 OR j.xmin <> pg_current_xact_id()::xid OR j.label_count = 0
      OR n.first <> j.created_at OR n.last <> j.created_at
    LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'job %: labels are inserted with their job, as many as it says, with its created_at', wrong
      USING ERRCODE = 'AJ003';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER job_labels_check_insert AFTER INSERT ON job_labels REFERENCING NEW TABLE AS new_labels
  FOR EACH STATEMENT EXECUTE FUNCTION job_labels_check_insert();

-- A job has as many labels as its label_count says: who reads one without labels does not look for them. Checked at the commit,
-- as plain SQL writes the job first. A job without labels pays nothing for it.
CREATE FUNCTION ai_jobs_require_labels() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.label_count <> (SELECT count(*) FROM job_labels WHERE job_id = NEW.job_id) THEN
    RAISE EXCEPTION 'job %: it has not the % labels that it says', NEW.job_id, NEW.label_count USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ai_jobs_require_labels AFTER INSERT ON ai_jobs
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.label_count > 0) EXECUTE FUNCTION ai_jobs_require_labels();

-- Labels never change.
CREATE TRIGGER job_labels_append_only BEFORE UPDATE OR DELETE ON job_labels
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER job_labels_no_truncate BEFORE TRUNCATE ON job_labels
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- workflow_runs

ALTER TABLE workflow_runs
  -- A run's job must exist, in the same workspace.
  ADD CONSTRAINT workflow_runs_job_id_workspace_id_fkey
    FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs (job_id, workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- Only the SHA-256 of the token is stored: with the token itself, anybody who can read the table could report on the run.
  ADD CONSTRAINT workflow_runs_token_is_sha256 CHECK (octet_length(lease_token) = 32),
  -- A run has a lease exactly while it is running. A running run without one would never be recovered, because recovery
  -- looks for expired leases; in any other state its worker may no longer report.
  ADD CONSTRAINT workflow_runs_only_running_has_lease CHECK ((lease_expires_at IS NOT NULL) = (state = 'running')),
  -- A run has a finish time exactly when it is not active.
  ADD CONSTRAINT workflow_runs_finished_unless_active CHECK (
    (finished_at IS NULL) = (state IN ('running', 'awaiting_validation', 'awaiting_user'))),
  -- Why it finished is said exactly when it has.
  ADD CONSTRAINT workflow_runs_end_reason_when_finished CHECK ((finished_at IS NULL) = (end_reason IS NULL) AND end_reason <> ''),
  -- A missing value is SQL NULL only.
  ADD CONSTRAINT workflow_runs_json_null_is_sql_null CHECK (jsonb_typeof(outputs) <> 'null'),
  -- A run at work has no outputs yet, and a poisoned one none any more.
  ADD CONSTRAINT workflow_runs_outputs_of_completed CHECK (outputs IS NULL OR state NOT IN ('running', 'stalled', 'poisoned')),
  -- The progress that waits to become a version is one like a job's, with the time from which it may.
  ADD CONSTRAINT workflow_runs_next_progress CHECK (
    (next_progress_at IS NULL) = (next_progress_fraction IS NULL AND next_progress_message IS NULL)),
  ADD CONSTRAINT workflow_runs_next_progress_fraction CHECK (next_progress_fraction BETWEEN 0 AND 1),
  ADD CONSTRAINT workflow_runs_next_progress_message CHECK (char_length(next_progress_message) BETWEEN 1 AND 200),
  -- It goes with the work: a run that is not at work any more makes no version for it.
  ADD CONSTRAINT workflow_runs_next_progress_while_running CHECK (next_progress_at IS NULL OR state = 'running'),
  -- A run is an attempt that began: it is never queued, and the first is number 1.
  ADD CONSTRAINT workflow_runs_never_queued CHECK (state <> 'queued'),
  ADD CONSTRAINT workflow_runs_attempt CHECK (attempt >= 1);

-- A poisoned job gets no run (section 5). Checked once for all rows of a statement: a claim inserts up to a hundred. FOR SHARE
-- waits for a poisoning that is under way in another transaction, and then sees it. All jobs are locked before any state is
-- checked, in `job_id` order as everywhere (section 4), so that no deadlock is possible.
CREATE FUNCTION workflow_runs_check_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE poisoned uuid;
BEGIN
  WITH locked AS MATERIALIZED (
    SELECT job_id, state FROM ai_jobs WHERE job_id IN (SELECT job_id FROM new_runs) ORDER BY job_id FOR SHARE
  )
  SELECT job_id INTO poisoned FROM locked WHERE state = 'poisoned' LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'job % is poisoned: no run can be added', poisoned USING ERRCODE = 'AJ004';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER workflow_runs_check_insert AFTER INSERT ON workflow_runs REFERENCING NEW TABLE AS new_runs
  FOR EACH STATEMENT EXECUTE FUNCTION workflow_runs_check_insert();

-- A run that has finished never changes: otherwise a late report could change how it ended. There are two exceptions, both of
-- poisoning: a stalled run may become poisoned as long as its job is not poisoned yet, and the outputs of a finished run are cleared in
-- the transaction that poisons its job. Once the job is poisoned, only an unfinished run can still change, and only to poisoned
-- (section 5). An active run follows the transitions of section 4, as its job does.
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
  IF OLD.finished_at IS NOT NULL AND NOT (OLD.state = 'stalled' AND NEW.state = 'poisoned')
     AND NOT (OLD.outputs IS NOT NULL AND NEW.outputs IS NULL AND to_jsonb(NEW) - 'outputs' = to_jsonb(OLD) - 'outputs') THEN
    RAISE EXCEPTION 'run % has finished: only a stalled one can still become poisoned', OLD.id USING ERRCODE = 'AJ004';
  END IF;
  IF NEW.state <> OLD.state AND NOT ai_job_transition_allowed(OLD.state, NEW.state) THEN
    RAISE EXCEPTION 'run %: % cannot become %', OLD.id, OLD.state, NEW.state USING ERRCODE = 'AJ001';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER workflow_runs_check_update BEFORE UPDATE ON workflow_runs
  FOR EACH ROW EXECUTE FUNCTION workflow_runs_check_update();

-- A run's job, worker and principal never change: with another, a job could pass to one that never claimed it.
CREATE TRIGGER workflow_runs_immutable_columns
  BEFORE UPDATE OF id, workspace_id, job_id, attempt, worker_id, principal_id, lease_token, started_at ON workflow_runs
  FOR EACH ROW
  WHEN ((NEW.id, NEW.workspace_id, NEW.job_id, NEW.attempt, NEW.worker_id, NEW.principal_id, NEW.lease_token, NEW.started_at)
    IS DISTINCT FROM
    (OLD.id, OLD.workspace_id, OLD.job_id, OLD.attempt, OLD.worker_id, OLD.principal_id, OLD.lease_token, OLD.started_at))
  EXECUTE FUNCTION refuse_immutable_change();

-- What a run completed with is kept, whatever became of it: only a poisoning takes it away. A run gets its outputs once, when its work
-- is done. Checked at the commit, because a poisoning writes the runs first.
CREATE FUNCTION workflow_runs_check_outputs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state <> 'running' AND NOT (NEW.outputs IS NULL AND EXISTS (
    SELECT FROM ai_jobs WHERE job_id = NEW.job_id AND state = 'poisoned')) THEN
    RAISE EXCEPTION 'run %: its outputs are kept as they are', NEW.id USING ERRCODE = 'AJ005';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER workflow_runs_check_outputs AFTER UPDATE OF outputs ON workflow_runs
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.state <> 'running' AND NEW.outputs IS DISTINCT FROM OLD.outputs)
  EXECUTE FUNCTION workflow_runs_check_outputs();

-- Every attempt is kept.
CREATE TRIGGER workflow_runs_no_delete BEFORE DELETE ON workflow_runs
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER workflow_runs_no_truncate BEFORE TRUNCATE ON workflow_runs
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- node_executions

ALTER TABLE node_executions
  -- A node's run must exist, in the same workspace.
  ADD CONSTRAINT node_executions_workflow_run_id_workspace_id_fkey
    FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs (id, workspace_id)
    ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- A node has a finish time exactly when it is not running.
  ADD CONSTRAINT node_executions_finished_unless_running CHECK ((finished_at IS NULL) = (state = 'running')),
  ADD CONSTRAINT node_executions_never_queued CHECK (state <> 'queued'),
  -- A missing value is SQL NULL only.
  ADD CONSTRAINT node_executions_json_null_is_sql_null CHECK (
    jsonb_typeof(input_payload) <> 'null' AND jsonb_typeof(output_payload) <> 'null'),
  ADD CONSTRAINT node_executions_sequence CHECK (sequence >= 1);

-- A poisoned job gets no node (section 5).
CREATE TRIGGER node_executions_check_insert BEFORE INSERT ON node_executions
  FOR EACH ROW EXECUTE FUNCTION check_job_is_not_poisoned();

-- A node that has finished never changes, and a node of a poisoned job can only become poisoned (section 5).
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

-- What a node was started with never changes.
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

-- Nor does its input. The input has a separate trigger, so that an UPDATE that names another immutable column does not have to
-- compare up to 256 KiB.
CREATE TRIGGER node_executions_immutable_input BEFORE UPDATE OF input_payload ON node_executions
  FOR EACH ROW WHEN (NEW.input_payload IS DISTINCT FROM OLD.input_payload)
  EXECUTE FUNCTION refuse_immutable_change();

-- Every node is kept [HSK-WF-001].
CREATE TRIGGER node_executions_no_delete BEFORE DELETE ON node_executions
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER node_executions_no_truncate BEFORE TRUNCATE ON node_executions
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- user_input_requests

ALTER TABLE user_input_requests
  -- A question's job and run must exist, in the same workspace.
  ADD CONSTRAINT user_input_requests_job_id_workspace_id_fkey
    FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs (job_id, workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT user_input_requests_workflow_run_id_workspace_id_fkey
    FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs (id, workspace_id)
    ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT user_input_requests_question_not_empty CHECK (question <> ''),
  -- A missing value is SQL NULL only.
  ADD CONSTRAINT user_input_requests_json_null_is_sql_null CHECK (
    jsonb_typeof(payload) <> 'null' AND jsonb_typeof(answer_schema) <> 'null' AND jsonb_typeof(answer) <> 'null'),
  -- An answer has somebody who gave it, at a time.
  ADD CONSTRAINT user_input_requests_answered_by_somebody CHECK (
    (answered_at IS NULL) = (answered_by IS NULL) AND (answered_at IS NULL) = (answer IS NULL));

-- A question begins without an answer; it is one of its job's run, and a poisoned job gets none (section 5).
CREATE FUNCTION user_input_requests_check_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE job_state "JobState"; job_of_run uuid;
BEGIN
  SELECT state INTO job_state FROM ai_jobs WHERE job_id = NEW.job_id FOR SHARE;
  IF job_state = 'poisoned' THEN
    RAISE EXCEPTION 'job % is poisoned: it gets no question', NEW.job_id USING ERRCODE = 'AJ004';
  END IF;
  SELECT job_id INTO job_of_run FROM workflow_runs WHERE id = NEW.workflow_run_id;
  IF job_of_run IS DISTINCT FROM NEW.job_id OR NEW.answered_at IS NOT NULL THEN
    RAISE EXCEPTION 'question %: it begins without an answer, of a run of its own job', NEW.request_id USING ERRCODE = 'AJ003';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER user_input_requests_check_insert BEFORE INSERT ON user_input_requests
  FOR EACH ROW EXECUTE FUNCTION user_input_requests_check_insert();

-- A question is answered once, and never of a poisoned job (section 5).
CREATE FUNCTION user_input_requests_check_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE job_state "JobState";
BEGIN
  SELECT state INTO job_state FROM ai_jobs WHERE job_id = OLD.job_id FOR SHARE;
  IF OLD.answered_at IS NOT NULL OR job_state = 'poisoned' THEN
    RAISE EXCEPTION 'question %: it is answered already, or its job is poisoned', OLD.request_id USING ERRCODE = 'AJ004';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER user_input_requests_check_update BEFORE UPDATE ON user_input_requests
  FOR EACH ROW EXECUTE FUNCTION user_input_requests_check_update();

-- An answer ends the run that asked, and the wait of its job; a run that ended otherwise gets none. Checked at the commit: one statement writes both.
CREATE FUNCTION user_input_requests_check_answer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM workflow_runs WHERE id = NEW.workflow_run_id AND end_reason = 'answered')
    OR EXISTS (
      SELECT FROM ai_jobs WHERE job_id = NEW.job_id AND waits_for = 'user_input' AND workflow_run_id = NEW.workflow_run_id)
  THEN
    RAISE EXCEPTION 'question %: its run has not ended with an answer, or its job still waits', NEW.request_id
      USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER user_input_requests_check_answer AFTER UPDATE ON user_input_requests
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.answered_at IS NOT NULL)
  EXECUTE FUNCTION user_input_requests_check_answer();

-- What was asked never changes.
CREATE TRIGGER user_input_requests_immutable_columns
  BEFORE UPDATE OF request_id, workspace_id, job_id, workflow_run_id, question, payload, options, answer_schema, expires_at, asked_at
  ON user_input_requests FOR EACH ROW
  WHEN ((NEW.request_id, NEW.workspace_id, NEW.job_id, NEW.workflow_run_id, NEW.question, NEW.payload, NEW.options, NEW.answer_schema,
         NEW.expires_at, NEW.asked_at)
    IS DISTINCT FROM
        (OLD.request_id, OLD.workspace_id, OLD.job_id, OLD.workflow_run_id, OLD.question, OLD.payload, OLD.options, OLD.answer_schema,
         OLD.expires_at, OLD.asked_at))
  EXECUTE FUNCTION refuse_immutable_change();

CREATE TRIGGER user_input_requests_no_delete BEFORE DELETE ON user_input_requests
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER user_input_requests_no_truncate BEFORE TRUNCATE ON user_input_requests
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- worker_reports

ALTER TABLE worker_reports
  -- A report's run must exist, in the same workspace.
  ADD CONSTRAINT worker_reports_workflow_run_id_workspace_id_fkey
    FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs (id, workspace_id)
    ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT worker_reports_hash_is_sha256 CHECK (octet_length(report_hash) = 32),
  -- A policy violation has a code for programs and a detail for people: a repeat of the report is answered with both.
  ADD CONSTRAINT worker_reports_policy_violation_has_both CHECK (
    (policy_violation_code IS NULL) = (policy_violation_detail IS NULL)),
  -- A report of usage is about no step, and breaks no rule: it is all that a poisoned job still gets.
  ADD CONSTRAINT worker_reports_usage_alone CHECK (
    NOT is_usage OR (node_execution_id IS NULL AND policy_violation_code IS NULL));

-- A poisoned job gets no report (section 5), but of what was used before: without it, the same usage would be counted as often as it
-- is sent. It says nothing else.
CREATE TRIGGER worker_reports_check_insert BEFORE INSERT ON worker_reports
  FOR EACH ROW WHEN (NOT NEW.is_usage) EXECUTE FUNCTION check_job_is_not_poisoned();

-- Append-only: if a report were removed, a repeat of it would be applied a second time.
CREATE TRIGGER worker_reports_append_only BEFORE UPDATE OR DELETE ON worker_reports
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER worker_reports_no_truncate BEFORE TRUNCATE ON worker_reports
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- usage_entries

ALTER TABLE usage_entries
  ADD CONSTRAINT usage_entries_workspace_id_fkey
    FOREIGN KEY (workspace_id) REFERENCES workspaces (workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- An entry's job and run must exist, both in its workspace.
  ADD CONSTRAINT usage_entries_job_id_workspace_id_fkey
    FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs (job_id, workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT usage_entries_workflow_run_id_workspace_id_fkey
    FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs (id, workspace_id)
    ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- What no version counted was counted by a stored report: sent again, it is recognised.
  ADD CONSTRAINT usage_entries_workflow_run_id_report_id_fkey
    FOREIGN KEY (workflow_run_id, report_id) REFERENCES worker_reports (workflow_run_id, report_id)
    ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT usage_entries_version_or_report CHECK ((version IS NULL) = (report_id IS NOT NULL)),
  ADD CONSTRAINT usage_entries_names CHECK (
    char_length(provider) BETWEEN 1 AND 100 AND char_length(model) BETWEEN 1 AND 200),
  -- Numbers are from 0 to 2^53 - 1, as metrics are.
  ADD CONSTRAINT usage_entries_not_negative CHECK (
    least(input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost_micros) >= 0 AND calls >= 1),
  ADD CONSTRAINT usage_entries_exact CHECK (
    greatest(input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost_micros) <= 9007199254740991);

-- An entry fits what it belongs to: its run is an attempt at its job, its step one of that run, its profile the job's. It is written
-- with the version that counts it, at the position of that version's event; all entries of a version are what it added to the tokens
-- and the cost. Without a version it is of a job that is poisoned, at the position that a version of it would have. So the ledger
-- and the log say the same, and nothing appears below a position up to which both were added up. Checked once for all entries of a
-- statement, when its version and its event are written, too.
CREATE FUNCTION usage_entries_check_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE entry record;
BEGIN
  SELECT e.id, e.job_id INTO entry FROM new_entries e
    WHERE NOT EXISTS (
      SELECT FROM workflow_runs r JOIN ai_jobs j ON j.job_id = r.job_id
      WHERE r.id = e.workflow_run_id AND r.job_id = e.job_id AND j.capability_profile_id = e.capability_profile_id
        AND (e.node_execution_id IS NULL OR EXISTS (
          SELECT FROM node_executions n WHERE n.id = e.node_execution_id AND n.workflow_run_id = r.id))
        AND CASE
          WHEN e.version IS NULL THEN j.state = 'poisoned' AND e.order_xid = greatest(current_order_xid(), j.order_xid)
          ELSE e.version = j.version AND e.order_xid = j.order_xid AND e.order_xid >= current_order_xid()
        END)
    LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'usage % of job %: its run, step, profile, version or order_xid is not of this job', entry.id, entry.job_id
      USING ERRCODE = 'AJ006';
  END IF;
  SELECT counted.job_id, counted.version INTO entry FROM (
      SELECT u.job_id, u.version, sum(u.input_tokens + u.cached_input_tokens) AS input,
        sum(u.output_tokens + u.reasoning_tokens) AS output, sum(u.cost_micros) AS cost
      FROM (SELECT DISTINCT job_id, version FROM new_entries WHERE version IS NOT NULL) AS written
      JOIN usage_entries u ON u.job_id = written.job_id AND u.version = written.version
      GROUP BY u.job_id, u.version
    ) AS counted
    JOIN flight_recorder_events after ON after.job_id = counted.job_id AND after.version = counted.version
    LEFT JOIN flight_recorder_events before ON before.job_id = counted.job_id AND before.version = counted.version - 1
    WHERE (counted.input, counted.output, counted.cost) IS DISTINCT FROM
      (after.input_tokens - coalesce(before.input_tokens, 0), after.output_tokens - coalesce(before.output_tokens, 0),
       coalesce((after.payload ->> 'cost_micros')::numeric, 0))
    LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'job %: the usage of version % is not what it added', entry.job_id, entry.version USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER usage_entries_check_insert AFTER INSERT ON usage_entries REFERENCING NEW TABLE AS new_entries
  FOR EACH STATEMENT EXECUTE FUNCTION usage_entries_check_insert();

-- What a job has cost is what its usage says. Checked at the commit, because the version is written before its usage; and only where
-- the cost changes.
CREATE FUNCTION ai_jobs_require_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.cost_micros - OLD.cost_micros IS DISTINCT FROM (
    SELECT sum(cost_micros) FROM usage_entries WHERE job_id = NEW.job_id AND version = NEW.version
  ) THEN
    RAISE EXCEPTION 'job %: version % has a cost that no usage says', NEW.job_id, NEW.version USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ai_jobs_require_usage AFTER UPDATE ON ai_jobs
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.cost_micros <> OLD.cost_micros)
  EXECUTE FUNCTION ai_jobs_require_usage();

-- Append-only: what was paid does not change afterwards.
CREATE TRIGGER usage_entries_append_only BEFORE UPDATE OR DELETE ON usage_entries
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER usage_entries_no_truncate BEFORE TRUNCATE ON usage_entries
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- output_chunks

ALTER TABLE output_chunks
  -- A chunk's run must exist, in the same workspace.
  ADD CONSTRAINT output_chunks_workflow_run_id_workspace_id_fkey
    FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs (id, workspace_id)
    ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- The number of a run's chunks is bounded beside their bytes: all of them are deleted in the transaction that poisons their job.
  ADD CONSTRAINT output_chunks_sequence_is_in_range CHECK (sequence BETWEEN 1 AND 65536),
  ADD CONSTRAINT output_chunks_text_is_in_range CHECK (octet_length(text) BETWEEN 1 AND 16384),
  ADD CONSTRAINT output_chunks_total_is_in_range CHECK (total_bytes BETWEEN 1 AND 4194304);

-- A chunk is appended to a run that is running, of the job and attempt that it names, behind the run's last one, with its own
-- bytes added to those before (section 13). FOR SHARE waits for whoever ends the run, or poisons the job, and then sees it.
CREATE FUNCTION output_chunks_check_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  job_state "JobState";
  run workflow_runs;
  previous output_chunks;
BEGIN
  SELECT state INTO job_state FROM ai_jobs WHERE job_id = NEW.job_id FOR SHARE;
  SELECT * INTO run FROM workflow_runs WHERE id = NEW.workflow_run_id;
  IF job_state = 'poisoned' OR run.state <> 'running' THEN
    RAISE EXCEPTION 'INSERT on output_chunks: run % has ended, or its job is poisoned', NEW.workflow_run_id USING ERRCODE = 'AJ004';
  END IF;
  SELECT * INTO previous FROM output_chunks
    WHERE job_id = NEW.job_id AND attempt = NEW.attempt ORDER BY sequence DESC LIMIT 1;
  IF run.job_id <> NEW.job_id OR run.attempt <> NEW.attempt OR NEW.sequence <> coalesce(previous.sequence, 0) + 1
    OR NEW.total_bytes <> coalesce(previous.total_bytes, 0) + octet_length(NEW.text) THEN
    RAISE EXCEPTION 'INSERT on output_chunks: not the next chunk of run %', NEW.workflow_run_id USING ERRCODE = 'AJ003';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER output_chunks_check_insert BEFORE INSERT ON output_chunks
  FOR EACH ROW EXECUTE FUNCTION output_chunks_check_insert();

-- Append-only, until the job is poisoned or the run ended an hour ago. Once for each statement, because a run may have tens of
-- thousands of chunks.
CREATE FUNCTION output_chunks_check_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM (SELECT DISTINCT workflow_run_id FROM deleted) AS d
      JOIN workflow_runs r ON r.id = d.workflow_run_id JOIN ai_jobs j USING (job_id)
    WHERE j.state <> 'poisoned' AND (r.finished_at IS NULL OR r.finished_at > clock_timestamp() - interval '1 hour'))
  THEN
    RAISE EXCEPTION 'DELETE on output_chunks: they are kept until an hour after their run ended' USING ERRCODE = 'AJ005';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER output_chunks_check_delete AFTER DELETE ON output_chunks REFERENCING OLD TABLE AS deleted
  FOR EACH STATEMENT EXECUTE FUNCTION output_chunks_check_delete();
CREATE TRIGGER output_chunks_no_update BEFORE UPDATE ON output_chunks
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'the rows of this table never change');
CREATE TRIGGER output_chunks_no_truncate BEFORE TRUNCATE ON output_chunks
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- flight_recorder_events

ALTER TABLE flight_recorder_events
  -- An event's job must exist, in the same workspace.
  ADD CONSTRAINT flight_recorder_events_job_id_workspace_id_fkey
    FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs (job_id, workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT flight_recorder_events_version CHECK (version >= 1),
  ADD CONSTRAINT flight_recorder_events_payload_is_object CHECK (jsonb_typeof(payload) = 'object'),
  -- Only hashes: no chain could be verified with another text.
  ADD CONSTRAINT flight_recorder_events_hashes CHECK (is_sha256_hex(hash) AND is_sha256_hex(prev_hash));

-- An event's version must exist when the statement that inserts the event ends. This need not wait for the commit, because
-- versions only grow. Nor may it lie before an event whose order_xid this PostgreSQL server has yet to give: the log was restored
-- from another one, and whoever has read that event would never read this one (section 10). Checked once for all events of a
-- statement.
CREATE FUNCTION flight_recorder_events_check_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE event record; ids_begin_at bigint;
BEGIN
  SELECT e.job_id, e.version INTO event FROM new_events e
    WHERE NOT EXISTS (
      SELECT FROM ai_jobs j
      WHERE j.job_id = e.job_id AND (j.version > e.version OR (j.version = e.version AND j.chain_hash = e.hash))
    )
    LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'job % has no version % that matches this event', event.job_id, event.version
      USING ERRCODE = 'AJ006';
  END IF;
  -- Events at or above this transaction's id are its own, or those of transactions that began later and committed earlier. Each
  -- has the id of its own transaction, or of the one that wrote the version before, which then has an event of its own with it.
  -- What another one wrote, such as a restore, has an id that is given here again: this transaction's own, or one of which the
  -- transaction of that id has written no event. Written out instead of with current_order_xid(), which would read the offset
  -- again: every insert of events comes by here.
  SELECT xid_offset INTO ids_begin_at FROM event_log;
  IF EXISTS (
    SELECT FROM flight_recorder_events e
    WHERE order_xid >= ids_begin_at + pg_current_xact_id()::text::bigint AND xmin <> pg_current_xact_id()::xid
      AND (order_xid = ids_begin_at + pg_current_xact_id()::text::bigint OR NOT EXISTS (
        SELECT FROM flight_recorder_events first
        WHERE first.order_xid = e.order_xid AND first.xmin = ((e.order_xid - ids_begin_at) % 4294967296)::text::xid))
  ) THEN
    RAISE EXCEPTION 'the log has events beyond this server''s transaction ids: it needs a new epoch'
      USING ERRCODE = 'AJ009';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER flight_recorder_events_check_insert AFTER INSERT ON flight_recorder_events
  REFERENCING NEW TABLE AS new_events
  FOR EACH STATEMENT EXECUTE FUNCTION flight_recorder_events_check_insert();

-- Append-only: what happened does not change afterwards.
CREATE TRIGGER flight_recorder_events_append_only BEFORE UPDATE OR DELETE ON flight_recorder_events
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER flight_recorder_events_no_truncate BEFORE TRUNCATE ON flight_recorder_events
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- event_log

ALTER TABLE event_log
  -- There is one log, and so one row.
  ADD CONSTRAINT event_log_one_row CHECK (singleton),
  -- No event from this order_xid on has been removed. An older cursor is answered with CURSOR_EXPIRED, never with a silent gap
  -- (section 10).
  ADD CONSTRAINT event_log_kept_from CHECK (kept_from >= 0),
  ADD CONSTRAINT event_log_xid_offset CHECK (xid_offset >= 0),
  ADD CONSTRAINT event_log_reason CHECK (reason <> '');

-- With a smaller offset, new events would lie below stored ones. An offset that changes under the same epoch would leave
-- cursors valid whose positions mean something else. Removed events do not come back.
CREATE TRIGGER event_log_check_update BEFORE UPDATE ON event_log FOR EACH ROW
  WHEN (NEW.xid_offset < OLD.xid_offset OR NEW.kept_from < OLD.kept_from
    OR (NEW.xid_offset <> OLD.xid_offset AND NEW.epoch = OLD.epoch))
  EXECUTE FUNCTION refuse('AJ007', 'xid_offset and kept_from only grow, and xid_offset only with a new epoch');
CREATE TRIGGER event_log_no_delete BEFORE DELETE ON event_log
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- quotas

ALTER TABLE quotas
  ADD CONSTRAINT quotas_workspace_id_fkey
    FOREIGN KEY (workspace_id) REFERENCES workspaces (workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- A quota's capability profile must exist: a quota of an unknown profile would limit nothing.
  ADD CONSTRAINT quotas_capability_profile_id_fkey
    FOREIGN KEY (capability_profile_id) REFERENCES capability_profiles (id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- At most 2^53 - 1, as for metrics.
  ADD CONSTRAINT quotas_max CHECK (max BETWEEN 0 AND 9007199254740991),
  -- Usage is counted over a window, except for active jobs, which are counted at this moment.
  ADD CONSTRAINT quotas_only_active_jobs_has_no_window CHECK ((window_seconds IS NULL) = (resource = 'active_jobs')),
  -- At least a minute, because usage is stored by the minute; at most 31 days, because it is kept for 32.
  ADD CONSTRAINT quotas_window CHECK (window_seconds BETWEEN 60 AND 2678400);

-- ---------------------------------------------------------------- job_totals, usage_minutes, usage_intervals, totals_position

ALTER TABLE job_totals
  ADD CONSTRAINT job_totals_workspace_id_fkey
    FOREIGN KEY (workspace_id) REFERENCES workspaces (workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- A sum below zero would mean that an event was aggregated twice, or never.
  ADD CONSTRAINT job_totals_not_negative CHECK (
    jobs >= 0 AND least(duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor,
                        entities_read, entities_written, validators_run_count) >= 0);

ALTER TABLE usage_minutes
  ADD CONSTRAINT usage_minutes_workspace_id_fkey
    FOREIGN KEY (workspace_id) REFERENCES workspaces (workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT usage_minutes_not_negative CHECK (tokens >= 0 AND cost_micros >= 0 AND jobs >= 0),
  -- Whole minutes only: with parts of a minute, one minute would have several rows, and windows would miss some.
  ADD CONSTRAINT usage_minutes_whole_minute CHECK (
    minute = date_bin('1 minute', minute, '2000-01-01 00:00:00+00'::timestamptz));

ALTER TABLE usage_labels
  ADD CONSTRAINT usage_labels_workspace_id_fkey
    FOREIGN KEY (workspace_id) REFERENCES workspaces (workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT usage_labels_key CHECK (
    char_length(key) BETWEEN 1 AND 63 AND translate(key, 'abcdefghijklmnopqrstuvwxyz0123456789_.-/', '') = ''),
  -- Five of a workspace: each of them multiplies what is counted for a job that has the label.
  ADD CONSTRAINT usage_labels_five CHECK (position BETWEEN 1 AND 5),
  -- The id of all is that of no label, for what is counted whatever labels a job has.
  ADD CONSTRAINT usage_labels_id CHECK (label_id <> '00000000-0000-0000-0000-000000000000');

-- What was counted since then is what a declaration means. Another key, or another time, is another declaration.
CREATE TRIGGER usage_labels_immutable_columns BEFORE UPDATE OF label_id, workspace_id, key, since_order_xid ON usage_labels
  FOR EACH ROW WHEN (
    (OLD.label_id, OLD.workspace_id, OLD.key, OLD.since_order_xid)
      IS DISTINCT FROM (NEW.label_id, NEW.workspace_id, NEW.key, NEW.since_order_xid))
  EXECUTE FUNCTION refuse_immutable_change();

ALTER TABLE usage_intervals
  ADD CONSTRAINT usage_intervals_workspace_id_fkey
    FOREIGN KEY (workspace_id) REFERENCES workspaces (workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT usage_intervals_not_negative CHECK (
    jobs >= 0 AND least(duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor,
                        entities_read, entities_written, validators_run_count, cost_micros) >= 0),
  -- Whole hours and days of UTC: another start would be an interval that no read asks for.
  ADD CONSTRAINT usage_intervals_whole_interval CHECK (
    hours IN (1, 24) AND starts_at = date_bin(make_interval(hours => hours), starts_at, '2000-01-01 00:00:00+00'::timestamptz)),
  -- 0 for what was used, by jobs in any state; else the state in which jobs ended.
  ADD CONSTRAINT usage_intervals_state CHECK (state_code = 0 OR state_code BETWEEN enum_code('completed'::"JobState") AND enum_code('poisoned'::"JobState")),
  ADD CONSTRAINT usage_intervals_jobs_ended CHECK (
    state_code <> 0 OR (jobs = 0 AND cardinality(queue_buckets) = 0 AND cardinality(run_buckets) = 0)),
  ADD CONSTRAINT usage_intervals_model CHECK (by_model = (provider <> '') AND by_model = (model <> '')),
  ADD CONSTRAINT usage_intervals_label CHECK (label_id <> '00000000-0000-0000-0000-000000000000' OR label_value = ''),
  -- How many jobs each bucket has.
  ADD CONSTRAINT usage_intervals_buckets CHECK (
    cardinality(queue_buckets) = cardinality(queue_jobs) AND cardinality(run_buckets) = cardinality(run_jobs));

-- There is one position in the log up to which the totals are complete, so one row. It is never removed: without it, it
-- would be unknown which events the totals contain.
--
-- A change of the totals is computed from an event and the one before it of the same job. So a program that removes old
-- events must keep the newest event of every job, and every event after this position.
ALTER TABLE totals_position ADD CONSTRAINT totals_position_one_row CHECK (singleton);

CREATE TRIGGER totals_position_no_delete BEFORE DELETE ON totals_position
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER totals_position_no_truncate BEFORE TRUNCATE ON totals_position
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- The events of some workspaces after totals_position; a read of totals adds them to the stored totals. STABLE, so that it has
-- the snapshot of the statement that calls it. The planner cannot know how few these events are, nor that the position is near
-- the end of the log: without the setting and the OFFSET it reads the whole log, or all events of a workspace.
CREATE FUNCTION events_not_aggregated(of_workspaces uuid[]) RETURNS SETOF flight_recorder_events
LANGUAGE sql STABLE ROWS 1000 SET enable_seqscan = off AS $$
  SELECT * FROM (
    SELECT * FROM flight_recorder_events
    WHERE (order_xid, job_id, version) > (SELECT order_xid, job_id, version FROM totals_position WHERE singleton)
    OFFSET 0
  ) AS event
  WHERE workspace_id = ANY (of_workspaces)
$$;

-- The same for the entries of the ledger that no event has: those of poisoned jobs.
CREATE FUNCTION usage_not_aggregated(of_workspaces uuid[]) RETURNS SETOF usage_entries
LANGUAGE sql STABLE ROWS 1000 SET enable_seqscan = off AS $$
  SELECT * FROM (
    SELECT * FROM usage_entries
    WHERE (order_xid, id) > (SELECT entry_order_xid, entry_id FROM totals_position WHERE singleton)
    OFFSET 0
  ) AS entry
  WHERE workspace_id = ANY (of_workspaces)
$$;

-- ---------------------------------------------------------------- bulk_actions, bulk_action_items

ALTER TABLE bulk_actions
  ADD CONSTRAINT bulk_actions_workspace_id_fkey
    FOREIGN KEY (workspace_id) REFERENCES workspaces (workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  -- A filter without a condition would match every job of the workspace.
  ADD CONSTRAINT bulk_actions_filter_names_something CHECK (jsonb_typeof(filter) = 'object' AND filter <> '{}'),
  -- A cancellation has a reason, as a cancellation of one job has; a retry has none.
  ADD CONSTRAINT bulk_actions_reason_of_a_cancellation CHECK ((reason IS NOT NULL) = (kind = 'cancel'));

CREATE TRIGGER bulk_actions_check_insert BEFORE INSERT ON bulk_actions FOR EACH ROW
  WHEN (NEW.finished_at IS NOT NULL OR NEW.progressed_at IS NOT NULL OR (NEW.total, NEW.succeeded, NEW.failed) <> (0, 0, 0))
  EXECUTE FUNCTION refuse('AJ003', 'a bulk action begins unfinished, and counts no item');

-- An action finishes once, after all of its items: an item that was still pending would never be processed.
CREATE FUNCTION bulk_actions_check_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.finished_at IS NOT NULL THEN
    RAISE EXCEPTION 'bulk action % has finished: it cannot change', OLD.id USING ERRCODE = 'AJ004';
  END IF;
  IF EXISTS (SELECT FROM bulk_action_items WHERE bulk_action_id = NEW.id AND finished_at IS NULL) THEN
    RAISE EXCEPTION 'bulk action %: it cannot finish before its items', OLD.id USING ERRCODE = 'AJ006';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER bulk_actions_check_update BEFORE UPDATE ON bulk_actions FOR EACH ROW
  WHEN (OLD.finished_at IS NOT NULL OR NEW.finished_at IS NOT NULL) EXECUTE FUNCTION bulk_actions_check_update();

-- What was requested, and by whom, never changes.
CREATE TRIGGER bulk_actions_immutable_columns
  BEFORE UPDATE OF id, workspace_id, kind, filter, reason, actor, actor_id, created_at ON bulk_actions
  FOR EACH ROW
  WHEN ((NEW.id, NEW.workspace_id, NEW.kind, NEW.filter, NEW.reason, NEW.actor, NEW.actor_id, NEW.created_at)
    IS DISTINCT FROM
        (OLD.id, OLD.workspace_id, OLD.kind, OLD.filter, OLD.reason, OLD.actor, OLD.actor_id, OLD.created_at))
  EXECUTE FUNCTION refuse_immutable_change();

-- Its items are counted by their own triggers, and by nobody else: whoever reads how far an action is need not read 100,000 items.
CREATE TRIGGER bulk_actions_counted_by_items
  BEFORE UPDATE OF total, succeeded, failed, progressed_at ON bulk_actions
  FOR EACH ROW
  WHEN (pg_trigger_depth() = 0 AND (NEW.total, NEW.succeeded, NEW.failed, NEW.progressed_at)
    IS DISTINCT FROM (OLD.total, OLD.succeeded, OLD.failed, OLD.progressed_at))
  EXECUTE FUNCTION refuse_immutable_change();

CREATE TRIGGER bulk_actions_no_delete BEFORE DELETE ON bulk_actions
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER bulk_actions_no_truncate BEFORE TRUNCATE ON bulk_actions
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

ALTER TABLE bulk_action_items
  -- An item's action and job must exist, both in the same workspace: an action changes only jobs of its own workspace.
  ADD CONSTRAINT bulk_action_items_bulk_action_id_workspace_id_fkey
    FOREIGN KEY (bulk_action_id, workspace_id) REFERENCES bulk_actions (id, workspace_id)
    ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT bulk_action_items_job_id_workspace_id_fkey
    FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs (job_id, workspace_id) ON DELETE RESTRICT ON UPDATE RESTRICT,
  ADD CONSTRAINT bulk_action_items_at_most_100000 CHECK (position BETWEEN 1 AND 100000),
  -- Only a finished item has an error, which contains an error code of the API.
  ADD CONSTRAINT bulk_action_items_error_when_finished CHECK (error IS NULL OR finished_at IS NOT NULL),
  ADD CONSTRAINT bulk_action_items_error_has_a_code CHECK (
    error IS NULL OR coalesce(jsonb_typeof(error -> 'code') = 'string', false));

CREATE TRIGGER bulk_action_items_check_insert BEFORE INSERT ON bulk_action_items FOR EACH ROW
  WHEN (NEW.finished_at IS NOT NULL) EXECUTE FUNCTION refuse('AJ003', 'an item begins unfinished');

-- Items that are added count in their action. One that has finished gets none: the item would never be processed. Once for all rows
-- of a statement, because an action is stored with all of its items at once.
CREATE FUNCTION bulk_action_items_count_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM added i JOIN bulk_actions a ON a.id = i.bulk_action_id WHERE a.finished_at IS NOT NULL) THEN
    RAISE EXCEPTION 'a bulk action that has finished gets no item' USING ERRCODE = 'AJ004';
  END IF;
  UPDATE bulk_actions a SET total = a.total + i.items
  FROM (SELECT bulk_action_id, count(*) AS items FROM added GROUP BY bulk_action_id) AS i
  WHERE a.id = i.bulk_action_id;
  RETURN NULL;
END $$;

CREATE TRIGGER bulk_action_items_count_added AFTER INSERT ON bulk_action_items
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION bulk_action_items_count_added();

-- Items that are processed count as changed or failed. An item changes once, by being processed, so what has a time now had none.
CREATE FUNCTION bulk_action_items_count_finished() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE bulk_actions a
  SET succeeded = a.succeeded + i.succeeded, failed = a.failed + i.failed, progressed_at = clock_timestamp()
  FROM (
    SELECT bulk_action_id, count(*) FILTER (WHERE error IS NULL) AS succeeded, count(error) AS failed
    FROM changed WHERE finished_at IS NOT NULL GROUP BY bulk_action_id
  ) AS i
  WHERE a.id = i.bulk_action_id;
  RETURN NULL;
END $$;

CREATE TRIGGER bulk_action_items_count_finished AFTER UPDATE ON bulk_action_items
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION bulk_action_items_count_finished();

-- A finished item never changes: otherwise it could be processed twice.
CREATE TRIGGER bulk_action_items_check_update BEFORE UPDATE ON bulk_action_items FOR EACH ROW
  WHEN (OLD.finished_at IS NOT NULL) EXECUTE FUNCTION refuse('AJ004', 'a finished item cannot change');

-- An item's job never changes.
CREATE TRIGGER bulk_action_items_immutable_columns
  BEFORE UPDATE OF workspace_id, bulk_action_id, position, job_id ON bulk_action_items
  FOR EACH ROW
  WHEN ((NEW.workspace_id, NEW.bulk_action_id, NEW.position, NEW.job_id)
    IS DISTINCT FROM (OLD.workspace_id, OLD.bulk_action_id, OLD.position, OLD.job_id))
  EXECUTE FUNCTION refuse_immutable_change();

CREATE TRIGGER bulk_action_items_no_delete BEFORE DELETE ON bulk_action_items
  FOR EACH ROW EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER bulk_action_items_no_truncate BEFORE TRUNCATE ON bulk_action_items
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- capability_profiles

-- Each job kind has exactly one default profile, which a submit without a profile gets (section 8): the profile with the kind
-- in its `job_kinds`. Refuses a kind without a default profile, or with more than one. Checked at the commit, so that one
-- transaction can move a kind from one profile to another. The check needs no lock: moving a kind writes the row of the
-- profile that had the kind. So of two transactions that move the same kind, the later one waits for the earlier one, and then
-- sees what the earlier one has committed.
CREATE FUNCTION capability_profiles_one_default() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE kind "JobKind"; profiles bigint;
BEGIN
  SELECT k, count(p.id) INTO kind, profiles
    FROM unnest(enum_range(NULL::"JobKind")) AS k LEFT JOIN capability_profiles p ON k = ANY(p.job_kinds)
    GROUP BY k HAVING count(p.id) <> 1 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'job kind %: % capability profiles are its default; it must have exactly one', kind, profiles
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
