-- The whole database in one picture: types, functions, then each table with its columns, constraints, indexes, triggers and
-- the functions of its triggers. Written by `npm run schema:sql` from what prisma/migrations make; do not edit it. What a
-- column means is said in schema.prisma, what a check refuses and an index serves in prisma/migrations.

CREATE TYPE "AccessMode" AS ENUM ('analysis_only', 'preview_only', 'apply_scoped');
CREATE TYPE "BulkActionKind" AS ENUM ('cancel', 'retry');
CREATE TYPE "JobKind" AS ENUM ('doc_edit', 'sheet_transform', 'canvas_cluster', 'asr_transcribe', 'workflow_run', 'doc_summarize', 'terminal_exec');
CREATE TYPE "JobState" AS ENUM ('queued', 'running', 'stalled', 'awaiting_validation', 'awaiting_user', 'completed', 'completed_with_issues', 'failed', 'cancelled', 'poisoned');
CREATE TYPE "ModelTier" AS ENUM ('local', 'cloud');
CREATE TYPE "OperationType" AS ENUM ('read', 'write', 'plan', 'execute');
CREATE TYPE "QuotaResource" AS ENUM ('tokens', 'cost', 'jobs', 'active_jobs');
CREATE TYPE "RecorderActor" AS ENUM ('human', 'agent', 'system');
CREATE TYPE "RecorderEventType" AS ENUM ('job_submitted', 'state_changed', 'node_changed', 'metrics_recorded', 'capability_action', 'llm_inference', 'diagnostic', 'security_violation', 'workflow_recovery');
CREATE TYPE "Role" AS ENUM ('viewer', 'submitter', 'worker', 'reviewer', 'security', 'admin');
CREATE TYPE "SafetyMode" AS ENUM ('strict', 'normal', 'experimental');
CREATE TYPE "ViolationType" AS ENUM ('prompt_injection', 'cloud_leakage', 'sensitivity', 'unknown_sensitivity', 'export');
CREATE TYPE "WaitsFor" AS ENUM ('time', 'children', 'user_review', 'user_input');

CREATE OR REPLACE FUNCTION public.ai_job_transition_allowed(old_state "JobState", new_state "JobState")
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.ai_job_wait_allowed(old_state "JobState", old_wait "WaitsFor", new_state "JobState", new_wait "WaitsFor")
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT CASE
    WHEN new_state = old_state THEN new_wait IS NOT DISTINCT FROM old_wait OR (old_wait = 'children' AND new_wait IS NULL)
    WHEN new_wait = 'user_input' THEN old_state = 'running'
    WHEN new_wait = 'user_review' THEN old_state = 'awaiting_validation'
    WHEN new_wait = 'children' THEN old_state = 'running'
    WHEN old_wait = 'user_input' THEN new_state IN ('queued', 'failed', 'cancelled', 'poisoned')
    WHEN old_wait = 'children' THEN new_state <> 'running'
    ELSE true
  END
$function$;

CREATE OR REPLACE FUNCTION public.check_job_is_not_poisoned()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE job_state "JobState";
BEGIN
  SELECT j.state INTO job_state FROM workflow_runs r JOIN ai_jobs j USING (job_id)
    WHERE r.id = NEW.workflow_run_id FOR SHARE OF j;
  IF job_state = 'poisoned' THEN
    RAISE EXCEPTION 'INSERT on %: the job of run % is poisoned', TG_TABLE_NAME, NEW.workflow_run_id
      USING ERRCODE = 'AJ004';
  END IF;
  RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION public.current_order_xid()
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
BEGIN
  RETURN pg_current_xact_id()::text::bigint + (SELECT xid_offset FROM event_log);
END $function$;

CREATE OR REPLACE FUNCTION public.enum_code(value "JobKind")
 RETURNS smallint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
  SELECT (CASE value
    WHEN 'doc_edit' THEN 1
    WHEN 'sheet_transform' THEN 2
    WHEN 'canvas_cluster' THEN 3
    WHEN 'asr_transcribe' THEN 4
    WHEN 'workflow_run' THEN 5
    WHEN 'doc_summarize' THEN 6
    WHEN 'terminal_exec' THEN 7
  END)::smallint
$function$;

CREATE OR REPLACE FUNCTION public.enum_code(value "JobState")
 RETURNS smallint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
  SELECT (CASE value
    WHEN 'queued' THEN 1
    WHEN 'running' THEN 2
    WHEN 'stalled' THEN 3
    WHEN 'awaiting_validation' THEN 4
    WHEN 'awaiting_user' THEN 5
    WHEN 'completed' THEN 6
    WHEN 'completed_with_issues' THEN 7
    WHEN 'failed' THEN 8
    WHEN 'cancelled' THEN 9
    WHEN 'poisoned' THEN 10
  END)::smallint
$function$;

CREATE OR REPLACE FUNCTION public.enum_code(value "RecorderEventType")
 RETURNS smallint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
  SELECT (CASE value
    WHEN 'job_submitted' THEN 1
    WHEN 'state_changed' THEN 2
    WHEN 'node_changed' THEN 3
    WHEN 'metrics_recorded' THEN 4
    WHEN 'capability_action' THEN 5
    WHEN 'llm_inference' THEN 6
    WHEN 'diagnostic' THEN 7
    WHEN 'security_violation' THEN 8
    WHEN 'workflow_recovery' THEN 9
  END)::smallint
$function$;

CREATE OR REPLACE FUNCTION public.events_not_aggregated(of_workspaces uuid[])
 RETURNS SETOF flight_recorder_events
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
  SELECT * FROM (
    SELECT * FROM flight_recorder_events
    WHERE (order_xid, job_id, version) > (SELECT order_xid, job_id, version FROM totals_position WHERE singleton)
    OFFSET 0
  ) AS event
  WHERE workspace_id = ANY (of_workspaces)
$function$;

CREATE OR REPLACE FUNCTION public.is_sha256_hex(hash text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT octet_length(hash) = 64 AND encode(decode(hash, 'hex'), 'hex') = hash
$function$;

CREATE OR REPLACE FUNCTION public.lock_and_count_descendants(root uuid)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('descendants of job ' || root, 0));
  RETURN (SELECT count(*) FROM ai_jobs WHERE root_job_id = root);
END $function$;

CREATE OR REPLACE FUNCTION public.log_end()
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
  RETURN pg_snapshot_xmax(pg_current_snapshot())::text::bigint + (SELECT xid_offset FROM event_log);
END $function$;

CREATE OR REPLACE FUNCTION public.log_watermark()
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.refuse()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  RAISE EXCEPTION '% on %: %', TG_OP, TG_TABLE_NAME || row_key(TG_RELID, to_jsonb(coalesce(NEW, OLD))), TG_ARGV[1]
    USING ERRCODE = TG_ARGV[0];
END $function$;

CREATE OR REPLACE FUNCTION public.refuse_immutable_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE changed text;
BEGIN
  SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) INTO changed
    FROM pg_trigger t JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr)
    WHERE t.tgrelid = TG_RELID AND t.tgname = TG_NAME
      AND to_jsonb(NEW) -> a.attname IS DISTINCT FROM to_jsonb(OLD) -> a.attname;
  RAISE EXCEPTION 'UPDATE on %: % cannot change', TG_TABLE_NAME || row_key(TG_RELID, to_jsonb(OLD)), changed
    USING ERRCODE = 'AJ007';
END $function$;

CREATE OR REPLACE FUNCTION public.row_key(of_table oid, of_row jsonb)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
  SELECT coalesce(' (' || string_agg(a.attname || ' ' || (of_row ->> a.attname), ', ' ORDER BY a.attnum) || ')', '')
  FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
  WHERE i.indrelid = of_table AND i.indisprimary
$function$;

CREATE OR REPLACE FUNCTION public.sees_all_workspaces()
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  SELECT coalesce(current_setting('app.workspaces', true) = 'all', false)
$function$;

CREATE OR REPLACE FUNCTION public.usage_not_aggregated(of_workspaces uuid[])
 RETURNS SETOF usage_entries
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
  SELECT * FROM (
    SELECT * FROM usage_entries
    WHERE (order_xid, id) > (SELECT entry_order_xid, entry_id FROM totals_position WHERE singleton)
    OFFSET 0
  ) AS entry
  WHERE workspace_id = ANY (of_workspaces)
$function$;

CREATE OR REPLACE FUNCTION public.visible_workspaces()
 RETURNS uuid[]
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
  SELECT nullif(nullif(current_setting('app.workspaces', true), ''), 'all')::uuid[]
$function$;

-- ---------------------------------------------------------------- workspaces

CREATE TABLE workspaces (
  workspace_id uuid NOT NULL,
  created_at timestamp(3) with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
  name text,
  retention_days integer,
  CONSTRAINT workspaces_pkey PRIMARY KEY (workspace_id),
  CONSTRAINT workspaces_name_length CHECK (char_length(name) >= 1 AND char_length(name) <= 200),
  CONSTRAINT workspaces_retention_days_range CHECK (retention_days >= 1 AND retention_days <= 36500)
);

-- ---------------------------------------------------------------- capability_profiles

CREATE TABLE capability_profiles (
  id text NOT NULL,
  capabilities text[] NOT NULL,
  job_kinds "JobKind"[] NOT NULL,
  injection_patterns text[] NOT NULL DEFAULT ARRAY[]::text[],
  CONSTRAINT capability_profiles_pkey PRIMARY KEY (id)
);

CREATE INDEX capability_profiles_default ON public.capability_profiles USING btree (id) WHERE (job_kinds <> '{}'::"JobKind"[]);

CREATE CONSTRAINT TRIGGER capability_profiles_default_added AFTER INSERT ON capability_profiles DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (new.job_kinds <> '{}'::"JobKind"[])
  EXECUTE FUNCTION capability_profiles_one_default();
CREATE CONSTRAINT TRIGGER capability_profiles_default_changed AFTER UPDATE OF job_kinds ON capability_profiles DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (new.job_kinds IS DISTINCT FROM old.job_kinds)
  EXECUTE FUNCTION capability_profiles_one_default();
CREATE CONSTRAINT TRIGGER capability_profiles_default_removed AFTER DELETE ON capability_profiles DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (old.job_kinds <> '{}'::"JobKind"[])
  EXECUTE FUNCTION capability_profiles_one_default();

CREATE OR REPLACE FUNCTION public.capability_profiles_one_default()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
END $function$;

-- ---------------------------------------------------------------- ai_jobs

CREATE TABLE ai_jobs (
  job_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  trace_id uuid NOT NULL,
  workflow_run_id uuid,
  parent_job_id uuid,
  root_job_id uuid,
  job_kind "JobKind" NOT NULL,
  state "JobState" NOT NULL DEFAULT 'queued'::"JobState",
  status_reason text NOT NULL,
  error_message text,
  protocol_id text NOT NULL,
  profile_id text NOT NULL,
  capability_profile_id text NOT NULL,
  access_mode "AccessMode" NOT NULL DEFAULT 'analysis_only'::"AccessMode",
  safety_mode "SafetyMode" NOT NULL DEFAULT 'normal'::"SafetyMode",
  model_tier "ModelTier" NOT NULL DEFAULT 'local'::"ModelTier",
  entity_refs jsonb NOT NULL DEFAULT '[]'::jsonb,
  planned_operations jsonb NOT NULL DEFAULT '[]'::jsonb,
  job_inputs jsonb,
  job_outputs jsonb,
  issues text[] NOT NULL DEFAULT ARRAY[]::text[],
  priority integer NOT NULL DEFAULT 0,
  run_after timestamp(3) with time zone,
  attempt integer NOT NULL DEFAULT 0,
  max_attempts integer NOT NULL DEFAULT 3,
  uncharged_attempts integer NOT NULL DEFAULT 0,
  releases integer NOT NULL DEFAULT 0,
  waits_for "WaitsFor",
  waits_until timestamp(3) with time zone,
  progress_fraction double precision,
  progress_message text,
  progress_at timestamp(3) with time zone,
  preferred_worker_id text,
  preferred_until timestamp(3) with time zone,
  token_budget bigint,
  cost_budget_micros bigint,
  idempotency_key text,
  submit_hash text NOT NULL,
  submitted_by text NOT NULL,
  label_count integer NOT NULL DEFAULT 0,
  version integer NOT NULL DEFAULT 1,
  order_xid bigint NOT NULL,
  chain_hash text NOT NULL,
  duration_ms bigint NOT NULL DEFAULT 0,
  total_tokens bigint NOT NULL DEFAULT 0,
  input_tokens bigint NOT NULL DEFAULT 0,
  output_tokens bigint NOT NULL DEFAULT 0,
  tokens_planner bigint NOT NULL DEFAULT 0,
  tokens_executor bigint NOT NULL DEFAULT 0,
  entities_read bigint NOT NULL DEFAULT 0,
  entities_written bigint NOT NULL DEFAULT 0,
  validators_run_count bigint NOT NULL DEFAULT 0,
  cost_micros bigint NOT NULL DEFAULT 0,
  created_at timestamp(3) with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp(3) with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
  completed_at timestamp(3) with time zone,
  ended_at timestamp(3) with time zone,
  job_kind_code smallint NOT NULL GENERATED ALWAYS AS (enum_code(job_kind)) STORED,
  state_code smallint NOT NULL GENERATED ALWAYS AS (enum_code(state)) STORED,
  CONSTRAINT ai_jobs_pkey PRIMARY KEY (job_id),
  CONSTRAINT ai_jobs_capability_profile_id_fkey FOREIGN KEY (capability_profile_id) REFERENCES capability_profiles(id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT ai_jobs_parent_job_id_workspace_id_fkey FOREIGN KEY (parent_job_id, workspace_id) REFERENCES ai_jobs(job_id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT ai_jobs_workflow_run_id_workspace_id_fkey FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs(id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT ai_jobs_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT ai_jobs_attempts CHECK (attempt >= 0 AND max_attempts >= 1),
  CONSTRAINT ai_jobs_completed_at_when_final CHECK ((completed_at IS NOT NULL) = (state = ANY (ARRAY['completed'::"JobState", 'completed_with_issues'::"JobState", 'cancelled'::"JobState", 'poisoned'::"JobState"]))),
  CONSTRAINT ai_jobs_cost CHECK (cost_micros >= 0 AND cost_micros <= '9007199254740991'::bigint),
  CONSTRAINT ai_jobs_cost_budget CHECK (cost_budget_micros >= 0 AND cost_budget_micros <= '9007199254740991'::bigint),
  CONSTRAINT ai_jobs_ended_at_when_ended CHECK ((ended_at IS NOT NULL) = (state = ANY (ARRAY['completed'::"JobState", 'completed_with_issues'::"JobState", 'failed'::"JobState", 'cancelled'::"JobState", 'poisoned'::"JobState"]))),
  CONSTRAINT ai_jobs_hashes CHECK (is_sha256_hex(chain_hash) AND is_sha256_hex(submit_hash)),
  CONSTRAINT ai_jobs_json_null_is_sql_null CHECK (jsonb_typeof(job_inputs) <> 'null'::text AND jsonb_typeof(job_outputs) <> 'null'::text),
  CONSTRAINT ai_jobs_label_count CHECK (label_count >= 0 AND label_count <= 32),
  CONSTRAINT ai_jobs_lists_are_arrays CHECK (jsonb_typeof(entity_refs) = 'array'::text AND jsonb_typeof(planned_operations) = 'array'::text),
  CONSTRAINT ai_jobs_metrics_exact CHECK (GREATEST(duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor, entities_read, entities_written, validators_run_count) <= '9007199254740991'::bigint),
  CONSTRAINT ai_jobs_metrics_not_negative CHECK (LEAST(duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor, entities_read, entities_written, validators_run_count) >= 0),
  CONSTRAINT ai_jobs_no_outputs_with_a_question CHECK (job_outputs IS NULL OR waits_for IS DISTINCT FROM 'user_input'::"WaitsFor"),
  CONSTRAINT ai_jobs_outputs_only_when_done CHECK (job_outputs IS NULL OR (state = ANY (ARRAY['awaiting_validation'::"JobState", 'awaiting_user'::"JobState", 'completed'::"JobState", 'completed_with_issues'::"JobState"]))),
  CONSTRAINT ai_jobs_preference_has_an_end CHECK ((preferred_worker_id IS NULL) = (preferred_until IS NULL)),
  CONSTRAINT ai_jobs_progress CHECK ((progress_at IS NULL) = (progress_fraction IS NULL AND progress_message IS NULL)),
  CONSTRAINT ai_jobs_progress_fraction CHECK (progress_fraction >= 0::double precision AND progress_fraction <= 1::double precision),
  CONSTRAINT ai_jobs_progress_message CHECK (char_length(progress_message) >= 1 AND char_length(progress_message) <= 200),
  CONSTRAINT ai_jobs_progress_of_an_attempt CHECK (progress_at IS NULL OR attempt > 0 AND state <> 'poisoned'::"JobState"),
  CONSTRAINT ai_jobs_protocol_id CHECK (char_length(protocol_id) >= 1 AND char_length(protocol_id) <= 200),
  CONSTRAINT ai_jobs_releases CHECK (releases >= 0 AND releases <= 100),
  CONSTRAINT ai_jobs_split_tokens_within_total CHECK ((tokens_planner + tokens_executor) <= total_tokens),
  CONSTRAINT ai_jobs_status_reason_not_empty CHECK (status_reason <> ''::text),
  CONSTRAINT ai_jobs_submitted_by CHECK (char_length(submitted_by) >= 1 AND char_length(submitted_by) <= 300),
  CONSTRAINT ai_jobs_token_budget CHECK (token_budget >= 0 AND token_budget <= '9007199254740991'::bigint),
  CONSTRAINT ai_jobs_total_tokens_is_sum CHECK (total_tokens = (input_tokens + output_tokens)),
  CONSTRAINT ai_jobs_uncharged_attempts CHECK (uncharged_attempts >= 0),
  CONSTRAINT ai_jobs_uncharged_within_attempts CHECK (uncharged_attempts <= attempt),
  CONSTRAINT ai_jobs_waits_for CHECK (
  CASE state
      WHEN 'awaiting_user'::"JobState" THEN COALESCE(waits_for = ANY (ARRAY['user_review'::"WaitsFor", 'user_input'::"WaitsFor"]), false)
      WHEN 'queued'::"JobState" THEN waits_for IS NULL OR waits_for = 'children'::"WaitsFor" AND run_after IS NULL
      ELSE waits_for IS NULL
  END),
  CONSTRAINT ai_jobs_waits_until_for_an_answer CHECK (waits_until IS NULL OR COALESCE(waits_for = 'user_input'::"WaitsFor", false))
);

ALTER TABLE ai_jobs ALTER COLUMN entity_refs SET STORAGE EXTERNAL;
ALTER TABLE ai_jobs ALTER COLUMN job_inputs SET STORAGE EXTERNAL;
ALTER TABLE ai_jobs ALTER COLUMN job_outputs SET STORAGE EXTERNAL;
ALTER TABLE ai_jobs ALTER COLUMN planned_operations SET STORAGE EXTERNAL;
ALTER TABLE ai_jobs SET (autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=5000);

CREATE INDEX ai_jobs_children ON public.ai_jobs USING btree (parent_job_id, created_at DESC, job_id DESC) WHERE (parent_job_id IS NOT NULL);
CREATE INDEX ai_jobs_children_at_work ON public.ai_jobs USING btree (parent_job_id) WHERE ((parent_job_id IS NOT NULL) AND (ended_at IS NULL));
CREATE UNIQUE INDEX ai_jobs_job_id_workspace_id_key ON public.ai_jobs USING btree (job_id, workspace_id);
CREATE INDEX ai_jobs_next_due ON public.ai_jobs USING btree (workspace_id, job_kind_code, capability_profile_id, run_after) WHERE ((state = 'queued'::"JobState") AND (run_after IS NOT NULL));
CREATE UNIQUE INDEX ai_jobs_one_per_key ON public.ai_jobs USING btree (workspace_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);
CREATE INDEX ai_jobs_ready ON public.ai_jobs USING btree (workspace_id, job_kind_code, capability_profile_id, priority DESC, created_at, job_id) WHERE ((state = 'queued'::"JobState") AND (run_after IS NULL) AND (waits_for IS NULL));
CREATE INDEX ai_jobs_reserved ON public.ai_jobs USING btree (workspace_id, job_kind_code, capability_profile_id) WHERE ((state = 'queued'::"JobState") AND (preferred_until IS NOT NULL));
CREATE INDEX ai_jobs_scheduled ON public.ai_jobs USING btree (workspace_id, job_kind_code, capability_profile_id, priority DESC, created_at, job_id, run_after) WHERE ((state = 'queued'::"JobState") AND (run_after IS NOT NULL));
CREATE INDEX ai_jobs_tree ON public.ai_jobs USING btree (root_job_id) WHERE (root_job_id IS NOT NULL);
CREATE INDEX ai_jobs_wait_limits ON public.ai_jobs USING btree (waits_until, job_id) WHERE (waits_until IS NOT NULL);
CREATE INDEX ai_jobs_waiting_for_children ON public.ai_jobs USING btree (job_id) WHERE (waits_for = 'children'::"WaitsFor");
CREATE UNIQUE INDEX ai_jobs_workflow_run_id_workspace_id_key ON public.ai_jobs USING btree (workflow_run_id, workspace_id);
CREATE INDEX ai_jobs_workspace_id_created_at_job_id_idx ON public.ai_jobs USING btree (workspace_id, created_at DESC, job_id DESC);
CREATE INDEX ai_jobs_workspace_id_protocol_id_created_at_job_id_idx ON public.ai_jobs USING btree (workspace_id, protocol_id, created_at DESC, job_id DESC);
CREATE INDEX ai_jobs_workspace_id_state_code_job_kind_code_created_at_jo_idx ON public.ai_jobs USING btree (workspace_id, state_code, job_kind_code, created_at DESC, job_id DESC);

CREATE TRIGGER ai_jobs_check_insert BEFORE INSERT ON ai_jobs FOR EACH ROW
  WHEN (new.state <> 'queued'::"JobState"
    OR new.version <> 1
    OR new.attempt <> 0
    OR new.uncharged_attempts > 0
    OR new.releases > 0
    OR new.waits_for IS NOT NULL
    OR new.workflow_run_id IS NOT NULL
    OR new.job_outputs IS NOT NULL
    OR GREATEST(new.duration_ms, new.total_tokens, new.tokens_planner, new.tokens_executor, new.entities_read, new.entities_written, new.validators_run_count, new.cost_micros) <> 0)
  EXECUTE FUNCTION refuse('AJ003', 'a job begins as queued, version 1, with no attempts, outputs, metrics or cost');
CREATE TRIGGER ai_jobs_check_insert_order BEFORE INSERT ON ai_jobs FOR EACH ROW
  WHEN (new.order_xid <> current_order_xid())
  EXECUTE FUNCTION refuse('AJ002', 'order_xid must be the id of the inserting transaction');
CREATE TRIGGER ai_jobs_check_insert_tree BEFORE INSERT ON ai_jobs FOR EACH ROW
  WHEN (new.parent_job_id IS NOT NULL
    OR new.root_job_id IS NOT NULL)
  EXECUTE FUNCTION ai_jobs_check_insert_tree();
CREATE CONSTRAINT TRIGGER ai_jobs_check_poisoned_outputs AFTER UPDATE ON ai_jobs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (new.state = 'poisoned'::"JobState")
  EXECUTE FUNCTION ai_jobs_check_poisoned_outputs();
CREATE TRIGGER ai_jobs_check_update BEFORE UPDATE ON ai_jobs FOR EACH ROW
  WHEN (old.state = 'poisoned'::"JobState"
    OR new.state <> old.state AND NOT ai_job_transition_allowed(old.state, new.state)
    OR (old.waits_for IS NOT NULL
    OR new.waits_for IS NOT NULL) AND NOT ai_job_wait_allowed(old.state, old.waits_for, new.state, new.waits_for)
    OR new.version <> (old.version + 1)
    OR new.order_xid <> GREATEST(current_order_xid(), old.order_xid)
    OR new.duration_ms < old.duration_ms
    OR new.input_tokens < old.input_tokens
    OR new.output_tokens < old.output_tokens
    OR new.tokens_planner < old.tokens_planner
    OR new.tokens_executor < old.tokens_executor
    OR new.entities_read < old.entities_read
    OR new.entities_written < old.entities_written
    OR new.validators_run_count < old.validators_run_count
    OR new.cost_micros < old.cost_micros
    OR new.attempt < old.attempt
    OR new.uncharged_attempts <> old.uncharged_attempts AND new.uncharged_attempts <> (old.uncharged_attempts + 1)
    OR new.releases <> 0 AND new.releases <> old.releases AND new.releases <> (old.releases + 1))
  EXECUTE FUNCTION ai_jobs_refuse_update();
CREATE CONSTRAINT TRIGGER ai_jobs_check_wait AFTER UPDATE ON ai_jobs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (new.waits_for = 'user_input'::"WaitsFor"
    OR old.waits_for = 'user_input'::"WaitsFor" AND new.state = 'queued'::"JobState")
  EXECUTE FUNCTION ai_jobs_check_wait();
CREATE TRIGGER ai_jobs_immutable_columns BEFORE UPDATE OF job_id, workspace_id, trace_id, parent_job_id, root_job_id, job_kind, protocol_id, profile_id, capability_profile_id, access_mode, safety_mode, model_tier, priority, max_attempts, token_budget, cost_budget_micros, idempotency_key, submit_hash, submitted_by, label_count, created_at ON ai_jobs FOR EACH ROW
  WHEN (new.job_id IS DISTINCT FROM old.job_id
    OR new.workspace_id IS DISTINCT FROM old.workspace_id
    OR new.trace_id IS DISTINCT FROM old.trace_id
    OR new.parent_job_id IS DISTINCT FROM old.parent_job_id
    OR new.root_job_id IS DISTINCT FROM old.root_job_id
    OR new.job_kind IS DISTINCT FROM old.job_kind
    OR new.protocol_id IS DISTINCT FROM old.protocol_id
    OR new.profile_id IS DISTINCT FROM old.profile_id
    OR new.capability_profile_id IS DISTINCT FROM old.capability_profile_id
    OR new.access_mode IS DISTINCT FROM old.access_mode
    OR new.safety_mode IS DISTINCT FROM old.safety_mode
    OR new.model_tier IS DISTINCT FROM old.model_tier
    OR new.priority IS DISTINCT FROM old.priority
    OR new.max_attempts IS DISTINCT FROM old.max_attempts
    OR new.token_budget IS DISTINCT FROM old.token_budget
    OR new.cost_budget_micros IS DISTINCT FROM old.cost_budget_micros
    OR new.idempotency_key IS DISTINCT FROM old.idempotency_key
    OR new.submit_hash IS DISTINCT FROM old.submit_hash
    OR new.submitted_by IS DISTINCT FROM old.submitted_by
    OR new.label_count IS DISTINCT FROM old.label_count
    OR new.created_at IS DISTINCT FROM old.created_at)
  EXECUTE FUNCTION refuse_immutable_change();
CREATE TRIGGER ai_jobs_immutable_documents BEFORE UPDATE OF job_inputs, entity_refs, planned_operations ON ai_jobs FOR EACH ROW
  WHEN (new.job_inputs IS DISTINCT FROM old.job_inputs
    OR new.entity_refs IS DISTINCT FROM old.entity_refs
    OR new.planned_operations IS DISTINCT FROM old.planned_operations)
  EXECUTE FUNCTION refuse_immutable_change();
CREATE TRIGGER ai_jobs_no_delete BEFORE DELETE ON ai_jobs FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER ai_jobs_no_truncate BEFORE TRUNCATE ON ai_jobs FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE CONSTRAINT TRIGGER ai_jobs_require_event AFTER INSERT OR UPDATE ON ai_jobs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  EXECUTE FUNCTION ai_jobs_require_event();
CREATE CONSTRAINT TRIGGER ai_jobs_require_labels AFTER INSERT ON ai_jobs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (new.label_count > 0)
  EXECUTE FUNCTION ai_jobs_require_labels();
CREATE CONSTRAINT TRIGGER ai_jobs_require_usage AFTER UPDATE ON ai_jobs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (new.cost_micros <> old.cost_micros)
  EXECUTE FUNCTION ai_jobs_require_usage();

CREATE OR REPLACE FUNCTION public.ai_jobs_check_insert_tree()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.ai_jobs_check_poisoned_outputs()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
  IF EXISTS (SELECT FROM workflow_runs WHERE job_id = NEW.job_id AND outputs IS NOT NULL) THEN
    RAISE EXCEPTION 'job % is poisoned, and a run of it has outputs', NEW.job_id USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.ai_jobs_check_wait()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.ai_jobs_refuse_update()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.ai_jobs_require_event()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.ai_jobs_require_labels()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
  IF NEW.label_count <> (SELECT count(*) FROM job_labels WHERE job_id = NEW.job_id) THEN
    RAISE EXCEPTION 'job %: it has not the % labels that it says', NEW.job_id, NEW.label_count USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.ai_jobs_require_usage()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
  IF NEW.cost_micros - OLD.cost_micros IS DISTINCT FROM (
    SELECT sum(cost_micros) FROM usage_entries WHERE job_id = NEW.job_id AND version = NEW.version
  ) THEN
    RAISE EXCEPTION 'job %: version % has a cost that no usage says', NEW.job_id, NEW.version USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $function$;

-- ---------------------------------------------------------------- job_labels

CREATE TABLE job_labels (
  workspace_id uuid NOT NULL,
  job_id uuid NOT NULL,
  key text NOT NULL,
  value text NOT NULL,
  created_at timestamp(3) with time zone NOT NULL,
  CONSTRAINT job_labels_pkey PRIMARY KEY (job_id, key),
  CONSTRAINT job_labels_job_id_workspace_id_fkey FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs(job_id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT job_labels_key CHECK (char_length(key) >= 1 AND char_length(key) <= 63 AND translate(key, 'abcdefghijklmnopqrstuvwxyz0123456789_.-/'::text, ''::text) = ''::text),
  CONSTRAINT job_labels_value CHECK (char_length(value) <= 200)
);

CREATE INDEX job_labels_workspace_id_key_value_created_at_job_id_idx ON public.job_labels USING btree (workspace_id, key, value, created_at DESC, job_id DESC);

CREATE TRIGGER job_labels_append_only BEFORE DELETE OR UPDATE ON job_labels FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER job_labels_check_insert AFTER INSERT ON job_labels REFERENCING NEW TABLE AS new_labels FOR EACH STATEMENT
  EXECUTE FUNCTION job_labels_check_insert();
CREATE TRIGGER job_labels_no_truncate BEFORE TRUNCATE ON job_labels FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

CREATE OR REPLACE FUNCTION public.job_labels_check_insert()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
END $function$;

-- ---------------------------------------------------------------- workflow_runs

CREATE TABLE workflow_runs (
  id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  job_id uuid NOT NULL,
  attempt integer NOT NULL,
  state "JobState" NOT NULL DEFAULT 'running'::"JobState",
  worker_id text NOT NULL,
  principal_id text,
  lease_token bytea NOT NULL,
  lease_expires_at timestamp(3) with time zone,
  last_heartbeat timestamp(3) with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
  next_progress_fraction double precision,
  next_progress_message text,
  next_progress_at timestamp(3) with time zone,
  outputs jsonb,
  error_message text,
  end_reason text,
  started_at timestamp(3) with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
  finished_at timestamp(3) with time zone,
  CONSTRAINT workflow_runs_pkey PRIMARY KEY (id),
  CONSTRAINT workflow_runs_job_id_workspace_id_fkey FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs(job_id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT workflow_runs_attempt CHECK (attempt >= 1),
  CONSTRAINT workflow_runs_end_reason_when_finished CHECK ((finished_at IS NULL) = (end_reason IS NULL) AND end_reason <> ''::text),
  CONSTRAINT workflow_runs_finished_unless_active CHECK ((finished_at IS NULL) = (state = ANY (ARRAY['running'::"JobState", 'awaiting_validation'::"JobState", 'awaiting_user'::"JobState"]))),
  CONSTRAINT workflow_runs_json_null_is_sql_null CHECK (jsonb_typeof(outputs) <> 'null'::text),
  CONSTRAINT workflow_runs_never_queued CHECK (state <> 'queued'::"JobState"),
  CONSTRAINT workflow_runs_next_progress CHECK ((next_progress_at IS NULL) = (next_progress_fraction IS NULL AND next_progress_message IS NULL)),
  CONSTRAINT workflow_runs_next_progress_fraction CHECK (next_progress_fraction >= 0::double precision AND next_progress_fraction <= 1::double precision),
  CONSTRAINT workflow_runs_next_progress_message CHECK (char_length(next_progress_message) >= 1 AND char_length(next_progress_message) <= 200),
  CONSTRAINT workflow_runs_next_progress_while_running CHECK (next_progress_at IS NULL OR state = 'running'::"JobState"),
  CONSTRAINT workflow_runs_only_running_has_lease CHECK ((lease_expires_at IS NOT NULL) = (state = 'running'::"JobState")),
  CONSTRAINT workflow_runs_outputs_of_completed CHECK (outputs IS NULL OR (state <> ALL (ARRAY['running'::"JobState", 'stalled'::"JobState", 'poisoned'::"JobState"]))),
  CONSTRAINT workflow_runs_token_is_sha256 CHECK (octet_length(lease_token) = 32)
);

ALTER TABLE workflow_runs ALTER COLUMN outputs SET STORAGE EXTERNAL;
ALTER TABLE workflow_runs SET (autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=5000);

CREATE UNIQUE INDEX workflow_runs_job_id_attempt_key ON public.workflow_runs USING btree (job_id, attempt);
CREATE INDEX workflow_runs_leased ON public.workflow_runs USING btree (lease_expires_at) WHERE (state = 'running'::"JobState");
CREATE INDEX workflow_runs_next_progress ON public.workflow_runs USING btree (next_progress_at, id) WHERE (next_progress_at IS NOT NULL);
CREATE UNIQUE INDEX workflow_runs_one_active ON public.workflow_runs USING btree (job_id) WHERE (state = ANY (ARRAY['running'::"JobState", 'awaiting_validation'::"JobState", 'awaiting_user'::"JobState"]));
CREATE INDEX workflow_runs_stopped ON public.workflow_runs USING btree (principal_id, worker_id, finished_at) WHERE (state = ANY (ARRAY['failed'::"JobState", 'cancelled'::"JobState", 'poisoned'::"JobState", 'stalled'::"JobState"]));
CREATE UNIQUE INDEX workflow_runs_workspace_id_id_key ON public.workflow_runs USING btree (workspace_id, id);

CREATE TRIGGER workflow_runs_check_insert AFTER INSERT ON workflow_runs REFERENCING NEW TABLE AS new_runs FOR EACH STATEMENT
  EXECUTE FUNCTION workflow_runs_check_insert();
CREATE CONSTRAINT TRIGGER workflow_runs_check_outputs AFTER UPDATE OF outputs ON workflow_runs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (old.state <> 'running'::"JobState" AND new.outputs IS DISTINCT FROM old.outputs)
  EXECUTE FUNCTION workflow_runs_check_outputs();
CREATE TRIGGER workflow_runs_check_update BEFORE UPDATE ON workflow_runs FOR EACH ROW
  EXECUTE FUNCTION workflow_runs_check_update();
CREATE TRIGGER workflow_runs_immutable_columns BEFORE UPDATE OF id, workspace_id, job_id, attempt, worker_id, principal_id, lease_token, started_at ON workflow_runs FOR EACH ROW
  WHEN (new.id IS DISTINCT FROM old.id
    OR new.workspace_id IS DISTINCT FROM old.workspace_id
    OR new.job_id IS DISTINCT FROM old.job_id
    OR new.attempt IS DISTINCT FROM old.attempt
    OR new.worker_id IS DISTINCT FROM old.worker_id
    OR new.principal_id IS DISTINCT FROM old.principal_id
    OR new.lease_token IS DISTINCT FROM old.lease_token
    OR new.started_at IS DISTINCT FROM old.started_at)
  EXECUTE FUNCTION refuse_immutable_change();
CREATE TRIGGER workflow_runs_no_delete BEFORE DELETE ON workflow_runs FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER workflow_runs_no_truncate BEFORE TRUNCATE ON workflow_runs FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

CREATE OR REPLACE FUNCTION public.workflow_runs_check_insert()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.workflow_runs_check_outputs()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
  IF OLD.state <> 'running' AND NOT (NEW.outputs IS NULL AND EXISTS (
    SELECT FROM ai_jobs WHERE job_id = NEW.job_id AND state = 'poisoned')) THEN
    RAISE EXCEPTION 'run %: its outputs are kept as they are', NEW.id USING ERRCODE = 'AJ005';
  END IF;
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.workflow_runs_check_update()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
END $function$;

-- ---------------------------------------------------------------- node_executions

CREATE TABLE node_executions (
  id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  workflow_run_id uuid NOT NULL,
  node_id text NOT NULL,
  node_type text NOT NULL,
  sequence integer NOT NULL,
  depends_on text[] NOT NULL DEFAULT ARRAY[]::text[],
  state "JobState" NOT NULL DEFAULT 'running'::"JobState",
  input_payload jsonb,
  output_payload jsonb,
  error_message text,
  started_at timestamp(3) with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
  finished_at timestamp(3) with time zone,
  CONSTRAINT node_executions_pkey PRIMARY KEY (id),
  CONSTRAINT node_executions_workflow_run_id_workspace_id_fkey FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs(id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT node_executions_finished_unless_running CHECK ((finished_at IS NULL) = (state = 'running'::"JobState")),
  CONSTRAINT node_executions_json_null_is_sql_null CHECK (jsonb_typeof(input_payload) <> 'null'::text AND jsonb_typeof(output_payload) <> 'null'::text),
  CONSTRAINT node_executions_never_queued CHECK (state <> 'queued'::"JobState"),
  CONSTRAINT node_executions_sequence CHECK (sequence >= 1)
);

ALTER TABLE node_executions ALTER COLUMN input_payload SET STORAGE EXTERNAL;
ALTER TABLE node_executions ALTER COLUMN output_payload SET STORAGE EXTERNAL;

CREATE UNIQUE INDEX node_executions_one_open ON public.node_executions USING btree (workflow_run_id, node_id) WHERE (finished_at IS NULL);
CREATE UNIQUE INDEX node_executions_workflow_run_id_sequence_key ON public.node_executions USING btree (workflow_run_id, sequence);

CREATE TRIGGER node_executions_check_insert BEFORE INSERT ON node_executions FOR EACH ROW
  EXECUTE FUNCTION check_job_is_not_poisoned();
CREATE TRIGGER node_executions_check_update BEFORE UPDATE ON node_executions FOR EACH ROW
  EXECUTE FUNCTION node_executions_check_update();
CREATE TRIGGER node_executions_immutable_columns BEFORE UPDATE OF id, workspace_id, workflow_run_id, node_id, node_type, sequence, depends_on, started_at ON node_executions FOR EACH ROW
  WHEN (new.id IS DISTINCT FROM old.id
    OR new.workspace_id IS DISTINCT FROM old.workspace_id
    OR new.workflow_run_id IS DISTINCT FROM old.workflow_run_id
    OR new.node_id IS DISTINCT FROM old.node_id
    OR new.node_type IS DISTINCT FROM old.node_type
    OR new.sequence IS DISTINCT FROM old.sequence
    OR new.depends_on IS DISTINCT FROM old.depends_on
    OR new.started_at IS DISTINCT FROM old.started_at)
  EXECUTE FUNCTION refuse_immutable_change();
CREATE TRIGGER node_executions_immutable_input BEFORE UPDATE OF input_payload ON node_executions FOR EACH ROW
  WHEN (new.input_payload IS DISTINCT FROM old.input_payload)
  EXECUTE FUNCTION refuse_immutable_change();
CREATE TRIGGER node_executions_no_delete BEFORE DELETE ON node_executions FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER node_executions_no_truncate BEFORE TRUNCATE ON node_executions FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

CREATE OR REPLACE FUNCTION public.node_executions_check_update()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE job_state "JobState";
BEGIN
  -- FOR SHARE waits for a poisoning that is under way in another transaction, and then sees it.
  SELECT j.state INTO job_state FROM workflow_runs r JOIN ai_jobs j USING (job_id)
    WHERE r.id = NEW.workflow_run_id FOR SHARE OF j;
  IF OLD.finished_at IS NOT NULL OR (job_state = 'poisoned' AND NEW.state <> 'poisoned') THEN
    RAISE EXCEPTION 'node % has finished, or its job is poisoned: it cannot change', OLD.id USING ERRCODE = 'AJ004';
  END IF;
  RETURN NEW;
END $function$;

-- ---------------------------------------------------------------- user_input_requests

CREATE TABLE user_input_requests (
  request_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  job_id uuid NOT NULL,
  workflow_run_id uuid NOT NULL,
  question text NOT NULL,
  payload jsonb,
  options text[] NOT NULL DEFAULT ARRAY[]::text[],
  answer_schema jsonb,
  expires_at timestamp(3) with time zone,
  asked_at timestamp(3) with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
  answer jsonb,
  answered_by text,
  answered_at timestamp(3) with time zone,
  CONSTRAINT user_input_requests_pkey PRIMARY KEY (request_id),
  CONSTRAINT user_input_requests_job_id_workspace_id_fkey FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs(job_id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT user_input_requests_workflow_run_id_workspace_id_fkey FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs(id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT user_input_requests_answered_by_somebody CHECK ((answered_at IS NULL) = (answered_by IS NULL) AND (answered_at IS NULL) = (answer IS NULL)),
  CONSTRAINT user_input_requests_json_null_is_sql_null CHECK (jsonb_typeof(payload) <> 'null'::text AND jsonb_typeof(answer_schema) <> 'null'::text AND jsonb_typeof(answer) <> 'null'::text),
  CONSTRAINT user_input_requests_question_not_empty CHECK (question <> ''::text)
);

ALTER TABLE user_input_requests ALTER COLUMN answer SET STORAGE EXTERNAL;
ALTER TABLE user_input_requests ALTER COLUMN answer_schema SET STORAGE EXTERNAL;
ALTER TABLE user_input_requests ALTER COLUMN payload SET STORAGE EXTERNAL;

CREATE INDEX user_input_requests_job_id_request_id_idx ON public.user_input_requests USING btree (job_id, request_id);
CREATE UNIQUE INDEX user_input_requests_workflow_run_id_workspace_id_key ON public.user_input_requests USING btree (workflow_run_id, workspace_id);

CREATE CONSTRAINT TRIGGER user_input_requests_check_answer AFTER UPDATE ON user_input_requests DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (new.answered_at IS NOT NULL)
  EXECUTE FUNCTION user_input_requests_check_answer();
CREATE TRIGGER user_input_requests_check_insert BEFORE INSERT ON user_input_requests FOR EACH ROW
  EXECUTE FUNCTION user_input_requests_check_insert();
CREATE TRIGGER user_input_requests_check_update BEFORE UPDATE ON user_input_requests FOR EACH ROW
  EXECUTE FUNCTION user_input_requests_check_update();
CREATE TRIGGER user_input_requests_immutable_columns BEFORE UPDATE OF request_id, workspace_id, job_id, workflow_run_id, question, payload, options, answer_schema, expires_at, asked_at ON user_input_requests FOR EACH ROW
  WHEN (new.request_id IS DISTINCT FROM old.request_id
    OR new.workspace_id IS DISTINCT FROM old.workspace_id
    OR new.job_id IS DISTINCT FROM old.job_id
    OR new.workflow_run_id IS DISTINCT FROM old.workflow_run_id
    OR new.question IS DISTINCT FROM old.question
    OR new.payload IS DISTINCT FROM old.payload
    OR new.options IS DISTINCT FROM old.options
    OR new.answer_schema IS DISTINCT FROM old.answer_schema
    OR new.expires_at IS DISTINCT FROM old.expires_at
    OR new.asked_at IS DISTINCT FROM old.asked_at)
  EXECUTE FUNCTION refuse_immutable_change();
CREATE TRIGGER user_input_requests_no_delete BEFORE DELETE ON user_input_requests FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER user_input_requests_no_truncate BEFORE TRUNCATE ON user_input_requests FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

CREATE OR REPLACE FUNCTION public.user_input_requests_check_answer()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
  IF NOT EXISTS (SELECT FROM workflow_runs WHERE id = NEW.workflow_run_id AND end_reason = 'answered')
    OR EXISTS (
      SELECT FROM ai_jobs WHERE job_id = NEW.job_id AND waits_for = 'user_input' AND workflow_run_id = NEW.workflow_run_id)
  THEN
    RAISE EXCEPTION 'question %: its run has not ended with an answer, or its job still waits', NEW.request_id
      USING ERRCODE = 'AJ006';
  END IF;
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.user_input_requests_check_insert()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.user_input_requests_check_update()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE job_state "JobState";
BEGIN
  SELECT state INTO job_state FROM ai_jobs WHERE job_id = OLD.job_id FOR SHARE;
  IF OLD.answered_at IS NOT NULL OR job_state = 'poisoned' THEN
    RAISE EXCEPTION 'question %: it is answered already, or its job is poisoned', OLD.request_id USING ERRCODE = 'AJ004';
  END IF;
  RETURN NEW;
END $function$;

-- ---------------------------------------------------------------- flight_recorder_events

CREATE TABLE flight_recorder_events (
  event_id uuid NOT NULL,
  job_id uuid NOT NULL,
  version integer NOT NULL,
  order_xid bigint NOT NULL,
  workspace_id uuid NOT NULL,
  trace_id uuid NOT NULL,
  workflow_run_id uuid,
  type "RecorderEventType" NOT NULL,
  actor "RecorderActor" NOT NULL,
  actor_id text NOT NULL,
  principal_id text,
  state "JobState" NOT NULL,
  previous_state "JobState",
  duration_ms bigint NOT NULL DEFAULT 0,
  total_tokens bigint NOT NULL DEFAULT 0,
  input_tokens bigint NOT NULL DEFAULT 0,
  output_tokens bigint NOT NULL DEFAULT 0,
  tokens_planner bigint NOT NULL DEFAULT 0,
  tokens_executor bigint NOT NULL DEFAULT 0,
  entities_read bigint NOT NULL DEFAULT 0,
  entities_written bigint NOT NULL DEFAULT 0,
  validators_run_count bigint NOT NULL DEFAULT 0,
  capability_id text,
  payload jsonb NOT NULL DEFAULT '{}'::jsonb,
  recorded_at timestamp(3) with time zone NOT NULL,
  prev_hash text NOT NULL,
  hash text NOT NULL,
  type_code smallint NOT NULL GENERATED ALWAYS AS (enum_code(type)) STORED,
  CONSTRAINT flight_recorder_events_pkey PRIMARY KEY (job_id, version),
  CONSTRAINT flight_recorder_events_job_id_workspace_id_fkey FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs(job_id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT flight_recorder_events_hashes CHECK (is_sha256_hex(hash) AND is_sha256_hex(prev_hash)),
  CONSTRAINT flight_recorder_events_payload_is_object CHECK (jsonb_typeof(payload) = 'object'::text),
  CONSTRAINT flight_recorder_events_version CHECK (version >= 1)
);

CREATE INDEX flight_recorder_events_order_xid_job_id_version_idx ON public.flight_recorder_events USING btree (order_xid, job_id, version);
CREATE INDEX flight_recorder_events_submitted ON public.flight_recorder_events USING btree (workspace_id, principal_id, recorded_at DESC, job_id DESC) WHERE (version = 1);
CREATE INDEX flight_recorder_events_trace_id_recorded_at_job_id_version_idx ON public.flight_recorder_events USING btree (trace_id, recorded_at, job_id, version);
CREATE INDEX flight_recorder_events_workspace_id_type_code_recorded_at_j_idx ON public.flight_recorder_events USING btree (workspace_id, type_code, recorded_at, job_id, version);
CREATE INDEX flight_recorder_stops ON public.flight_recorder_events USING btree (workflow_run_id) WHERE ((previous_state = 'running'::"JobState") AND (state <> 'running'::"JobState") AND (actor <> 'agent'::"RecorderActor"));

CREATE TRIGGER flight_recorder_events_append_only BEFORE DELETE OR UPDATE ON flight_recorder_events FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER flight_recorder_events_check_insert AFTER INSERT ON flight_recorder_events REFERENCING NEW TABLE AS new_events FOR EACH STATEMENT
  EXECUTE FUNCTION flight_recorder_events_check_insert();
CREATE TRIGGER flight_recorder_events_no_truncate BEFORE TRUNCATE ON flight_recorder_events FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

CREATE OR REPLACE FUNCTION public.flight_recorder_events_check_insert()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
END $function$;

-- ---------------------------------------------------------------- event_log

CREATE TABLE event_log (
  singleton boolean NOT NULL DEFAULT true,
  epoch uuid NOT NULL DEFAULT gen_random_uuid(),
  began_at timestamp(3) with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
  reason text NOT NULL DEFAULT 'the database was created'::text,
  xid_offset bigint NOT NULL DEFAULT 0,
  kept_from bigint NOT NULL DEFAULT 0,
  hint_channel uuid NOT NULL DEFAULT gen_random_uuid(),
  served_with_auth boolean NOT NULL DEFAULT false,
  CONSTRAINT event_log_pkey PRIMARY KEY (singleton),
  CONSTRAINT event_log_kept_from CHECK (kept_from >= 0),
  CONSTRAINT event_log_one_row CHECK (singleton),
  CONSTRAINT event_log_reason CHECK (reason <> ''::text),
  CONSTRAINT event_log_xid_offset CHECK (xid_offset >= 0)
);

CREATE TRIGGER event_log_check_update BEFORE UPDATE ON event_log FOR EACH ROW
  WHEN (new.xid_offset < old.xid_offset
    OR new.kept_from < old.kept_from
    OR new.xid_offset <> old.xid_offset AND new.epoch = old.epoch)
  EXECUTE FUNCTION refuse('AJ007', 'xid_offset and kept_from only grow, and xid_offset only with a new epoch');
CREATE TRIGGER event_log_no_delete BEFORE DELETE ON event_log FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- worker_reports

CREATE TABLE worker_reports (
  workspace_id uuid NOT NULL,
  workflow_run_id uuid NOT NULL,
  report_id uuid NOT NULL,
  report_hash bytea NOT NULL,
  node_execution_id uuid,
  policy_violation_code text,
  policy_violation_detail text,
  recorded_at timestamp(3) with time zone NOT NULL,
  is_usage boolean NOT NULL DEFAULT false,
  CONSTRAINT worker_reports_pkey PRIMARY KEY (workflow_run_id, report_id),
  CONSTRAINT worker_reports_workflow_run_id_workspace_id_fkey FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs(id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT worker_reports_hash_is_sha256 CHECK (octet_length(report_hash) = 32),
  CONSTRAINT worker_reports_policy_violation_has_both CHECK ((policy_violation_code IS NULL) = (policy_violation_detail IS NULL)),
  CONSTRAINT worker_reports_usage_alone CHECK (NOT is_usage OR node_execution_id IS NULL AND policy_violation_code IS NULL)
);

CREATE TRIGGER worker_reports_append_only BEFORE DELETE OR UPDATE ON worker_reports FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER worker_reports_check_insert BEFORE INSERT ON worker_reports FOR EACH ROW
  WHEN (NOT new.is_usage)
  EXECUTE FUNCTION check_job_is_not_poisoned();
CREATE TRIGGER worker_reports_no_truncate BEFORE TRUNCATE ON worker_reports FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- usage_entries

CREATE TABLE usage_entries (
  id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  job_id uuid NOT NULL,
  version integer,
  order_xid bigint NOT NULL,
  workflow_run_id uuid NOT NULL,
  node_execution_id uuid,
  report_id uuid,
  capability_profile_id text NOT NULL,
  provider text NOT NULL,
  model text NOT NULL,
  input_tokens bigint NOT NULL,
  cached_input_tokens bigint NOT NULL,
  output_tokens bigint NOT NULL,
  reasoning_tokens bigint NOT NULL,
  cost_micros bigint NOT NULL,
  calls integer NOT NULL,
  recorded_at timestamp(3) with time zone NOT NULL,
  CONSTRAINT usage_entries_pkey PRIMARY KEY (id),
  CONSTRAINT usage_entries_job_id_workspace_id_fkey FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs(job_id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT usage_entries_workflow_run_id_report_id_fkey FOREIGN KEY (workflow_run_id, report_id) REFERENCES worker_reports(workflow_run_id, report_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT usage_entries_workflow_run_id_workspace_id_fkey FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs(id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT usage_entries_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT usage_entries_exact CHECK (GREATEST(input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost_micros) <= '9007199254740991'::bigint),
  CONSTRAINT usage_entries_names CHECK (char_length(provider) >= 1 AND char_length(provider) <= 100 AND char_length(model) >= 1 AND char_length(model) <= 200),
  CONSTRAINT usage_entries_not_negative CHECK (LEAST(input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost_micros) >= 0 AND calls >= 1),
  CONSTRAINT usage_entries_version_or_report CHECK ((version IS NULL) = (report_id IS NOT NULL))
);

CREATE INDEX usage_entries_job_id_version_idx ON public.usage_entries USING btree (job_id, version);
CREATE UNIQUE INDEX usage_entries_once_beside ON public.usage_entries USING btree (workflow_run_id, report_id, provider, model) WHERE (version IS NULL);
CREATE INDEX usage_entries_order_xid_id_idx ON public.usage_entries USING btree (order_xid, id);
CREATE INDEX usage_entries_workflow_run_id_idx ON public.usage_entries USING btree (workflow_run_id);

CREATE TRIGGER usage_entries_append_only BEFORE DELETE OR UPDATE ON usage_entries FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER usage_entries_check_insert AFTER INSERT ON usage_entries REFERENCING NEW TABLE AS new_entries FOR EACH STATEMENT
  EXECUTE FUNCTION usage_entries_check_insert();
CREATE TRIGGER usage_entries_no_truncate BEFORE TRUNCATE ON usage_entries FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

CREATE OR REPLACE FUNCTION public.usage_entries_check_insert()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
END $function$;

-- ---------------------------------------------------------------- output_chunks

CREATE TABLE output_chunks (
  workspace_id uuid NOT NULL,
  job_id uuid NOT NULL,
  attempt integer NOT NULL,
  sequence integer NOT NULL,
  workflow_run_id uuid NOT NULL,
  text text NOT NULL,
  total_bytes integer NOT NULL,
  CONSTRAINT output_chunks_pkey PRIMARY KEY (job_id, attempt, sequence),
  CONSTRAINT output_chunks_workflow_run_id_workspace_id_fkey FOREIGN KEY (workflow_run_id, workspace_id) REFERENCES workflow_runs(id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT output_chunks_sequence_is_in_range CHECK (sequence >= 1 AND sequence <= 65536),
  CONSTRAINT output_chunks_text_is_in_range CHECK (octet_length(text) >= 1 AND octet_length(text) <= 16384),
  CONSTRAINT output_chunks_total_is_in_range CHECK (total_bytes >= 1 AND total_bytes <= 4194304)
);

CREATE UNIQUE INDEX output_chunks_runs ON public.output_chunks USING btree (workflow_run_id) WHERE (sequence = 1);

CREATE TRIGGER output_chunks_check_delete AFTER DELETE ON output_chunks REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT
  EXECUTE FUNCTION output_chunks_check_delete();
CREATE TRIGGER output_chunks_check_insert BEFORE INSERT ON output_chunks FOR EACH ROW
  EXECUTE FUNCTION output_chunks_check_insert();
CREATE TRIGGER output_chunks_no_truncate BEFORE TRUNCATE ON output_chunks FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER output_chunks_no_update BEFORE UPDATE ON output_chunks FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table never change');

CREATE OR REPLACE FUNCTION public.output_chunks_check_delete()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
  IF EXISTS (
    SELECT FROM (SELECT DISTINCT workflow_run_id FROM deleted) AS d
      JOIN workflow_runs r ON r.id = d.workflow_run_id JOIN ai_jobs j USING (job_id)
    WHERE j.state <> 'poisoned' AND (r.finished_at IS NULL OR r.finished_at > clock_timestamp() - interval '1 hour'))
  THEN
    RAISE EXCEPTION 'DELETE on output_chunks: they are kept until an hour after their run ended' USING ERRCODE = 'AJ005';
  END IF;
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.output_chunks_check_insert()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
END $function$;

-- ---------------------------------------------------------------- quotas

CREATE TABLE quotas (
  id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  capability_profile_id text,
  resource "QuotaResource" NOT NULL,
  max bigint NOT NULL,
  window_seconds integer,
  created_at timestamp(3) with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp(3) with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
  CONSTRAINT quotas_pkey PRIMARY KEY (id),
  CONSTRAINT quotas_capability_profile_id_fkey FOREIGN KEY (capability_profile_id) REFERENCES capability_profiles(id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT quotas_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT quotas_max CHECK (max >= 0 AND max <= '9007199254740991'::bigint),
  CONSTRAINT quotas_only_active_jobs_has_no_window CHECK ((window_seconds IS NULL) = (resource = 'active_jobs'::"QuotaResource")),
  CONSTRAINT quotas_window CHECK (window_seconds >= 60 AND window_seconds <= 2678400)
);

CREATE UNIQUE INDEX quotas_one_of_each ON public.quotas USING btree (workspace_id, capability_profile_id, resource, window_seconds) NULLS NOT DISTINCT;

-- ---------------------------------------------------------------- job_totals

CREATE TABLE job_totals (
  workspace_id uuid NOT NULL,
  job_kind "JobKind" NOT NULL,
  state "JobState" NOT NULL,
  jobs bigint NOT NULL DEFAULT 0,
  duration_ms numeric NOT NULL DEFAULT 0,
  total_tokens numeric NOT NULL DEFAULT 0,
  input_tokens numeric NOT NULL DEFAULT 0,
  output_tokens numeric NOT NULL DEFAULT 0,
  tokens_planner numeric NOT NULL DEFAULT 0,
  tokens_executor numeric NOT NULL DEFAULT 0,
  entities_read numeric NOT NULL DEFAULT 0,
  entities_written numeric NOT NULL DEFAULT 0,
  validators_run_count numeric NOT NULL DEFAULT 0,
  CONSTRAINT job_totals_pkey PRIMARY KEY (workspace_id, job_kind, state),
  CONSTRAINT job_totals_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT job_totals_not_negative CHECK (jobs >= 0 AND LEAST(duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor, entities_read, entities_written, validators_run_count) >= 0::numeric)
);

-- ---------------------------------------------------------------- usage_minutes

CREATE TABLE usage_minutes (
  workspace_id uuid NOT NULL,
  capability_profile_id text NOT NULL,
  minute timestamp(3) with time zone NOT NULL,
  tokens numeric NOT NULL DEFAULT 0,
  cost_micros numeric NOT NULL DEFAULT 0,
  jobs bigint NOT NULL DEFAULT 0,
  CONSTRAINT usage_minutes_pkey PRIMARY KEY (workspace_id, minute, capability_profile_id),
  CONSTRAINT usage_minutes_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT usage_minutes_not_negative CHECK (tokens >= 0::numeric AND cost_micros >= 0::numeric AND jobs >= 0),
  CONSTRAINT usage_minutes_whole_minute CHECK (minute = date_bin('00:01:00'::interval, minute, '2000-01-01 00:00:00+00'::timestamp with time zone))
);

CREATE INDEX usage_minutes_minute_idx ON public.usage_minutes USING btree (minute);

-- ---------------------------------------------------------------- usage_labels

CREATE TABLE usage_labels (
  label_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  key text NOT NULL,
  "position" smallint NOT NULL,
  since_order_xid bigint NOT NULL,
  CONSTRAINT usage_labels_pkey PRIMARY KEY (label_id),
  CONSTRAINT usage_labels_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT usage_labels_five CHECK ("position" >= 1 AND "position" <= 5),
  CONSTRAINT usage_labels_id CHECK (label_id <> '00000000-0000-0000-0000-000000000000'::uuid),
  CONSTRAINT usage_labels_key CHECK (char_length(key) >= 1 AND char_length(key) <= 63 AND translate(key, 'abcdefghijklmnopqrstuvwxyz0123456789_.-/'::text, ''::text) = ''::text)
);

CREATE UNIQUE INDEX usage_labels_workspace_id_key_key ON public.usage_labels USING btree (workspace_id, key);
CREATE UNIQUE INDEX usage_labels_workspace_id_position_key ON public.usage_labels USING btree (workspace_id, "position");

CREATE TRIGGER usage_labels_immutable_columns BEFORE UPDATE OF label_id, workspace_id, key, since_order_xid ON usage_labels FOR EACH ROW
  WHEN (old.label_id IS DISTINCT FROM new.label_id
    OR old.workspace_id IS DISTINCT FROM new.workspace_id
    OR old.key IS DISTINCT FROM new.key
    OR old.since_order_xid IS DISTINCT FROM new.since_order_xid)
  EXECUTE FUNCTION refuse_immutable_change();

-- ---------------------------------------------------------------- usage_intervals

CREATE TABLE usage_intervals (
  workspace_id uuid NOT NULL,
  hours smallint NOT NULL,
  by_model boolean NOT NULL,
  label_id uuid NOT NULL,
  starts_at timestamp(3) with time zone NOT NULL,
  state_code smallint NOT NULL,
  job_kind "JobKind" NOT NULL,
  protocol_id text NOT NULL,
  provider text NOT NULL,
  model text NOT NULL,
  label_value text NOT NULL,
  jobs bigint NOT NULL DEFAULT 0,
  queue_buckets smallint[] NOT NULL DEFAULT ARRAY[]::smallint[],
  queue_jobs bigint[] NOT NULL DEFAULT ARRAY[]::bigint[],
  run_buckets smallint[] NOT NULL DEFAULT ARRAY[]::smallint[],
  run_jobs bigint[] NOT NULL DEFAULT ARRAY[]::bigint[],
  duration_ms numeric NOT NULL DEFAULT 0,
  total_tokens numeric NOT NULL DEFAULT 0,
  input_tokens numeric NOT NULL DEFAULT 0,
  output_tokens numeric NOT NULL DEFAULT 0,
  tokens_planner numeric NOT NULL DEFAULT 0,
  tokens_executor numeric NOT NULL DEFAULT 0,
  entities_read numeric NOT NULL DEFAULT 0,
  entities_written numeric NOT NULL DEFAULT 0,
  validators_run_count numeric NOT NULL DEFAULT 0,
  cost_micros numeric NOT NULL DEFAULT 0,
  CONSTRAINT usage_intervals_pkey PRIMARY KEY (workspace_id, hours, by_model, label_id, starts_at, state_code, job_kind, protocol_id, provider, model, label_value),
  CONSTRAINT usage_intervals_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT usage_intervals_buckets CHECK (cardinality(queue_buckets) = cardinality(queue_jobs) AND cardinality(run_buckets) = cardinality(run_jobs)),
  CONSTRAINT usage_intervals_jobs_ended CHECK (state_code <> 0 OR jobs = 0 AND cardinality(queue_buckets) = 0 AND cardinality(run_buckets) = 0),
  CONSTRAINT usage_intervals_label CHECK (label_id <> '00000000-0000-0000-0000-000000000000'::uuid OR label_value = ''::text),
  CONSTRAINT usage_intervals_model CHECK (by_model = (provider <> ''::text) AND by_model = (model <> ''::text)),
  CONSTRAINT usage_intervals_not_negative CHECK (jobs >= 0 AND LEAST(duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor, entities_read, entities_written, validators_run_count, cost_micros) >= 0::numeric),
  CONSTRAINT usage_intervals_state CHECK (state_code = 0 OR state_code >= enum_code('completed'::"JobState") AND state_code <= enum_code('poisoned'::"JobState")),
  CONSTRAINT usage_intervals_whole_interval CHECK ((hours = ANY (ARRAY[1, 24])) AND starts_at = date_bin(make_interval(hours => hours::integer), starts_at, '2000-01-01 00:00:00+00'::timestamp with time zone))
);

ALTER TABLE usage_intervals SET (fillfactor=70);

-- ---------------------------------------------------------------- totals_position

CREATE TABLE totals_position (
  singleton boolean NOT NULL DEFAULT true,
  order_xid bigint NOT NULL DEFAULT 0,
  job_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 0,
  entry_order_xid bigint NOT NULL DEFAULT 0,
  entry_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'::uuid,
  CONSTRAINT totals_position_pkey PRIMARY KEY (singleton),
  CONSTRAINT totals_position_one_row CHECK (singleton)
);

CREATE TRIGGER totals_position_no_delete BEFORE DELETE ON totals_position FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER totals_position_no_truncate BEFORE TRUNCATE ON totals_position FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

-- ---------------------------------------------------------------- bulk_actions

CREATE TABLE bulk_actions (
  id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  kind "BulkActionKind" NOT NULL,
  filter jsonb NOT NULL,
  reason text,
  actor "RecorderActor" NOT NULL,
  actor_id text NOT NULL,
  total integer NOT NULL DEFAULT 0,
  succeeded integer NOT NULL DEFAULT 0,
  failed integer NOT NULL DEFAULT 0,
  created_at timestamp(3) with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
  progressed_at timestamp(3) with time zone,
  finished_at timestamp(3) with time zone,
  CONSTRAINT bulk_actions_pkey PRIMARY KEY (id),
  CONSTRAINT bulk_actions_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT bulk_actions_filter_names_something CHECK (jsonb_typeof(filter) = 'object'::text AND filter <> '{}'::jsonb),
  CONSTRAINT bulk_actions_reason_of_a_cancellation CHECK ((reason IS NOT NULL) = (kind = 'cancel'::"BulkActionKind"))
);

CREATE INDEX bulk_actions_unfinished ON public.bulk_actions USING btree (created_at) WHERE (finished_at IS NULL);
CREATE UNIQUE INDEX bulk_actions_workspace_id_id_key ON public.bulk_actions USING btree (workspace_id, id);

CREATE TRIGGER bulk_actions_check_insert BEFORE INSERT ON bulk_actions FOR EACH ROW
  WHEN (new.finished_at IS NOT NULL
    OR new.progressed_at IS NOT NULL
    OR new.total <> 0
    OR new.succeeded <> 0
    OR new.failed <> 0)
  EXECUTE FUNCTION refuse('AJ003', 'a bulk action begins unfinished, and counts no item');
CREATE TRIGGER bulk_actions_check_update BEFORE UPDATE ON bulk_actions FOR EACH ROW
  WHEN (old.finished_at IS NOT NULL
    OR new.finished_at IS NOT NULL)
  EXECUTE FUNCTION bulk_actions_check_update();
CREATE TRIGGER bulk_actions_counted_by_items BEFORE UPDATE OF total, succeeded, failed, progressed_at ON bulk_actions FOR EACH ROW
  WHEN (pg_trigger_depth() = 0 AND (new.total IS DISTINCT FROM old.total
    OR new.succeeded IS DISTINCT FROM old.succeeded
    OR new.failed IS DISTINCT FROM old.failed
    OR new.progressed_at IS DISTINCT FROM old.progressed_at))
  EXECUTE FUNCTION refuse_immutable_change();
CREATE TRIGGER bulk_actions_immutable_columns BEFORE UPDATE OF id, workspace_id, kind, filter, reason, actor, actor_id, created_at ON bulk_actions FOR EACH ROW
  WHEN (new.id IS DISTINCT FROM old.id
    OR new.workspace_id IS DISTINCT FROM old.workspace_id
    OR new.kind IS DISTINCT FROM old.kind
    OR new.filter IS DISTINCT FROM old.filter
    OR new.reason IS DISTINCT FROM old.reason
    OR new.actor IS DISTINCT FROM old.actor
    OR new.actor_id IS DISTINCT FROM old.actor_id
    OR new.created_at IS DISTINCT FROM old.created_at)
  EXECUTE FUNCTION refuse_immutable_change();
CREATE TRIGGER bulk_actions_no_delete BEFORE DELETE ON bulk_actions FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER bulk_actions_no_truncate BEFORE TRUNCATE ON bulk_actions FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

CREATE OR REPLACE FUNCTION public.bulk_actions_check_update()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
  IF OLD.finished_at IS NOT NULL THEN
    RAISE EXCEPTION 'bulk action % has finished: it cannot change', OLD.id USING ERRCODE = 'AJ004';
  END IF;
  IF EXISTS (SELECT FROM bulk_action_items WHERE bulk_action_id = NEW.id AND finished_at IS NULL) THEN
    RAISE EXCEPTION 'bulk action %: it cannot finish before its items', OLD.id USING ERRCODE = 'AJ006';
  END IF;
  RETURN NEW;
END $function$;

-- ---------------------------------------------------------------- bulk_action_items

CREATE TABLE bulk_action_items (
  workspace_id uuid NOT NULL,
  bulk_action_id uuid NOT NULL,
  "position" integer NOT NULL,
  job_id uuid NOT NULL,
  finished_at timestamp(3) with time zone,
  error jsonb,
  CONSTRAINT bulk_action_items_pkey PRIMARY KEY (bulk_action_id, "position"),
  CONSTRAINT bulk_action_items_bulk_action_id_workspace_id_fkey FOREIGN KEY (bulk_action_id, workspace_id) REFERENCES bulk_actions(id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT bulk_action_items_job_id_workspace_id_fkey FOREIGN KEY (job_id, workspace_id) REFERENCES ai_jobs(job_id, workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT bulk_action_items_at_most_100000 CHECK ("position" >= 1 AND "position" <= 100000),
  CONSTRAINT bulk_action_items_error_has_a_code CHECK (error IS NULL OR COALESCE(jsonb_typeof(error -> 'code'::text) = 'string'::text, false)),
  CONSTRAINT bulk_action_items_error_when_finished CHECK (error IS NULL OR finished_at IS NOT NULL)
);

CREATE UNIQUE INDEX bulk_action_items_bulk_action_id_job_id_key ON public.bulk_action_items USING btree (bulk_action_id, job_id);
CREATE INDEX bulk_action_items_failed ON public.bulk_action_items USING btree (bulk_action_id, "position") WHERE (error IS NOT NULL);
CREATE INDEX bulk_action_items_pending ON public.bulk_action_items USING btree (bulk_action_id, "position") WHERE (finished_at IS NULL);

CREATE TRIGGER bulk_action_items_check_insert BEFORE INSERT ON bulk_action_items FOR EACH ROW
  WHEN (new.finished_at IS NOT NULL)
  EXECUTE FUNCTION refuse('AJ003', 'an item begins unfinished');
CREATE TRIGGER bulk_action_items_check_update BEFORE UPDATE ON bulk_action_items FOR EACH ROW
  WHEN (old.finished_at IS NOT NULL)
  EXECUTE FUNCTION refuse('AJ004', 'a finished item cannot change');
CREATE TRIGGER bulk_action_items_count_added AFTER INSERT ON bulk_action_items REFERENCING NEW TABLE AS added FOR EACH STATEMENT
  EXECUTE FUNCTION bulk_action_items_count_added();
CREATE TRIGGER bulk_action_items_count_finished AFTER UPDATE ON bulk_action_items REFERENCING NEW TABLE AS changed FOR EACH STATEMENT
  EXECUTE FUNCTION bulk_action_items_count_finished();
CREATE TRIGGER bulk_action_items_immutable_columns BEFORE UPDATE OF workspace_id, bulk_action_id, "position", job_id ON bulk_action_items FOR EACH ROW
  WHEN (new.workspace_id IS DISTINCT FROM old.workspace_id
    OR new.bulk_action_id IS DISTINCT FROM old.bulk_action_id
    OR new."position" IS DISTINCT FROM old."position"
    OR new.job_id IS DISTINCT FROM old.job_id)
  EXECUTE FUNCTION refuse_immutable_change();
CREATE TRIGGER bulk_action_items_no_delete BEFORE DELETE ON bulk_action_items FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');
CREATE TRIGGER bulk_action_items_no_truncate BEFORE TRUNCATE ON bulk_action_items FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'the rows of this table are kept');

CREATE OR REPLACE FUNCTION public.bulk_action_items_count_added()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
  IF EXISTS (SELECT FROM added i JOIN bulk_actions a ON a.id = i.bulk_action_id WHERE a.finished_at IS NOT NULL) THEN
    RAISE EXCEPTION 'a bulk action that has finished gets no item' USING ERRCODE = 'AJ004';
  END IF;
  UPDATE bulk_actions a SET total = a.total + i.items
  FROM (SELECT bulk_action_id, count(*) AS items FROM added GROUP BY bulk_action_id) AS i
  WHERE a.id = i.bulk_action_id;
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.bulk_action_items_count_finished()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
  UPDATE bulk_actions a
  SET succeeded = a.succeeded + i.succeeded, failed = a.failed + i.failed, progressed_at = clock_timestamp()
  FROM (
    SELECT bulk_action_id, count(*) FILTER (WHERE error IS NULL) AS succeeded, count(error) AS failed
    FROM changed WHERE finished_at IS NOT NULL GROUP BY bulk_action_id
  ) AS i
  WHERE a.id = i.bulk_action_id;
  RETURN NULL;
END $function$;

-- ---------------------------------------------------------------- api_keys

CREATE TABLE api_keys (
  api_key_id uuid NOT NULL,
  workspace_id uuid,
  name text NOT NULL,
  secret_hash bytea NOT NULL,
  prefix text NOT NULL,
  last_four text NOT NULL,
  roles "Role"[] NOT NULL,
  job_kinds "JobKind"[],
  created_at timestamp(3) with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
  created_by text NOT NULL,
  created_by_key_id uuid,
  expires_at timestamp(3) with time zone,
  revoked_at timestamp(3) with time zone,
  last_used_at timestamp(3) with time zone,
  previous_secret_hash bytea,
  overlap_until timestamp(3) with time zone,
  CONSTRAINT api_keys_pkey PRIMARY KEY (api_key_id),
  CONSTRAINT api_keys_created_by_key_id_fkey FOREIGN KEY (created_by_key_id) REFERENCES api_keys(api_key_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT api_keys_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT api_keys_created_by CHECK (char_length(created_by) >= 1 AND char_length(created_by) <= 300),
  CONSTRAINT api_keys_job_kinds CHECK (cardinality(job_kinds) > 0 AND array_position(job_kinds, NULL::"JobKind") IS NULL),
  CONSTRAINT api_keys_name_length CHECK (char_length(name) >= 1 AND char_length(name) <= 200),
  CONSTRAINT api_keys_roles CHECK (cardinality(roles) >= 1 AND cardinality(roles) <= 6 AND array_position(roles, NULL::"Role") IS NULL),
  CONSTRAINT api_keys_secret CHECK (octet_length(secret_hash) = 32 AND NOT octet_length(previous_secret_hash) IS DISTINCT FROM
  CASE
      WHEN overlap_until IS NULL THEN NULL::integer
      ELSE 32
  END AND char_length(prefix) = 8 AND char_length(last_four) = 4)
);

CREATE INDEX api_keys_made_by ON public.api_keys USING btree (created_by_key_id);
CREATE INDEX api_keys_of_workspace ON public.api_keys USING btree (workspace_id, api_key_id DESC);
CREATE UNIQUE INDEX api_keys_previous_secret_hash_key ON public.api_keys USING btree (previous_secret_hash);
CREATE UNIQUE INDEX api_keys_secret_hash_key ON public.api_keys USING btree (secret_hash);

CREATE TRIGGER api_keys_immutable_columns BEFORE UPDATE OF api_key_id, workspace_id, roles, job_kinds, created_at, created_by, created_by_key_id, expires_at ON api_keys FOR EACH ROW
  WHEN (old.api_key_id IS DISTINCT FROM new.api_key_id
    OR old.workspace_id IS DISTINCT FROM new.workspace_id
    OR old.roles IS DISTINCT FROM new.roles
    OR old.job_kinds IS DISTINCT FROM new.job_kinds
    OR old.created_at IS DISTINCT FROM new.created_at
    OR old.created_by IS DISTINCT FROM new.created_by
    OR old.created_by_key_id IS DISTINCT FROM new.created_by_key_id
    OR old.expires_at IS DISTINCT FROM new.expires_at)
  EXECUTE FUNCTION refuse_immutable_change();
CREATE TRIGGER api_keys_no_delete BEFORE DELETE ON api_keys FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'keys are revoked, and not deleted');
CREATE TRIGGER api_keys_no_truncate BEFORE TRUNCATE ON api_keys FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'keys are revoked, and not deleted');
CREATE TRIGGER api_keys_stay_revoked BEFORE UPDATE ON api_keys FOR EACH ROW
  WHEN (old.revoked_at IS NOT NULL AND (new.revoked_at IS DISTINCT FROM old.revoked_at
    OR new.secret_hash IS DISTINCT FROM old.secret_hash))
  EXECUTE FUNCTION refuse('AJ004', 'a revoked key stays revoked');

-- ---------------------------------------------------------------- sessions

CREATE TABLE sessions (
  secret_hash bytea NOT NULL,
  workspace_id uuid,
  principal text NOT NULL,
  roles "Role"[] NOT NULL,
  api_key_id uuid,
  credential_hash bytea NOT NULL,
  created_at timestamp(3) with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
  expires_at timestamp(3) with time zone NOT NULL,
  CONSTRAINT sessions_pkey PRIMARY KEY (secret_hash),
  CONSTRAINT sessions_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES api_keys(api_key_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT sessions_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(workspace_id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT sessions_hashes CHECK (octet_length(secret_hash) = 32 AND octet_length(credential_hash) = 32),
  CONSTRAINT sessions_lifetime CHECK (expires_at > created_at AND expires_at <= (created_at + '12:00:00'::interval)),
  CONSTRAINT sessions_principal CHECK (char_length(principal) <= 300 AND
  CASE
      WHEN api_key_id IS NOT NULL THEN principal = ('key:'::text || api_key_id)
      WHEN workspace_id IS NULL THEN principal = 'operator'::text
      ELSE principal ~~ 'jwt:_%'::text
  END),
  CONSTRAINT sessions_roles CHECK (cardinality(roles) >= 1 AND cardinality(roles) <= 6 AND array_position(roles, NULL::"Role") IS NULL)
);

CREATE INDEX sessions_expires_at_idx ON public.sessions USING btree (expires_at);

CREATE TRIGGER sessions_check_workspace BEFORE INSERT ON sessions FOR EACH ROW
  WHEN (new.api_key_id IS NOT NULL)
  EXECUTE FUNCTION sessions_check_workspace();
CREATE TRIGGER sessions_no_update BEFORE UPDATE ON sessions FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ007', 'a session does not change');

CREATE OR REPLACE FUNCTION public.sessions_check_workspace()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
BEGIN
  IF NEW.workspace_id IS DISTINCT FROM (SELECT workspace_id FROM api_keys WHERE api_key_id = NEW.api_key_id) THEN
    RAISE EXCEPTION 'the session of key % is in another workspace', NEW.api_key_id USING ERRCODE = 'AJ006';
  END IF;
  RETURN NEW;
END $function$;
