-- Types and tables, as Prisma generates them from schema.prisma, where each of them is explained. NOT NULL of list columns
-- is added by hand: Prisma writes an empty list where nothing is given, but would let plain SQL store NULL for it.
CREATE TYPE "JobKind" AS ENUM ('doc_edit', 'sheet_transform', 'canvas_cluster', 'asr_transcribe', 'workflow_run', 'doc_summarize', 'terminal_exec');

CREATE TYPE "JobState" AS ENUM ('queued', 'running', 'stalled', 'awaiting_validation', 'awaiting_user', 'completed', 'completed_with_issues', 'failed', 'cancelled', 'poisoned');

CREATE TYPE "WaitsFor" AS ENUM ('time', 'children', 'user_review', 'user_input');

CREATE TYPE "AccessMode" AS ENUM ('analysis_only', 'preview_only', 'apply_scoped');

CREATE TYPE "SafetyMode" AS ENUM ('strict', 'normal', 'experimental');

CREATE TYPE "ModelTier" AS ENUM ('local', 'cloud');

CREATE TYPE "OperationType" AS ENUM ('read', 'write', 'plan', 'execute');

CREATE TYPE "RecorderActor" AS ENUM ('human', 'agent', 'system');

CREATE TYPE "RecorderEventType" AS ENUM ('job_submitted', 'state_changed', 'node_changed', 'metrics_recorded', 'capability_action', 'llm_inference', 'diagnostic', 'security_violation', 'workflow_recovery');

CREATE TYPE "ViolationType" AS ENUM ('prompt_injection', 'cloud_leakage', 'sensitivity', 'unknown_sensitivity', 'export');

CREATE TYPE "QuotaResource" AS ENUM ('tokens', 'cost', 'jobs', 'active_jobs');

CREATE TYPE "BulkActionKind" AS ENUM ('cancel', 'retry');

-- An enum value as a small number: its place in the list of values. Under row-level security only comparisons that PostgreSQL
-- knows to leak nothing use an index, and those of enums are not among them. So what claims and lists search by is in the
-- indexes as such a number, in a generated column. A new value needs its line here: without it the column would be NULL, and is refused.
CREATE FUNCTION enum_code(value "JobKind") RETURNS smallint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT (CASE value
    WHEN 'doc_edit' THEN 1
    WHEN 'sheet_transform' THEN 2
    WHEN 'canvas_cluster' THEN 3
    WHEN 'asr_transcribe' THEN 4
    WHEN 'workflow_run' THEN 5
    WHEN 'doc_summarize' THEN 6
    WHEN 'terminal_exec' THEN 7
  END)::smallint
$$;

CREATE FUNCTION enum_code(value "JobState") RETURNS smallint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
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
$$;

CREATE FUNCTION enum_code(value "RecorderEventType") RETURNS smallint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
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
$$;

CREATE TABLE "workspaces" (
    "workspace_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "workspaces_pkey" PRIMARY KEY ("workspace_id")
);

CREATE TABLE "capability_profiles" (
    "id" TEXT NOT NULL,
    "capabilities" TEXT[] NOT NULL,
    "job_kinds" "JobKind"[] NOT NULL,
    "injection_patterns" TEXT[] NOT NULL DEFAULT ARRAY[]::TEXT[],

    CONSTRAINT "capability_profiles_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "ai_jobs" (
    "job_id" UUID NOT NULL,
    "workspace_id" UUID NOT NULL,
    "trace_id" UUID NOT NULL,
    "workflow_run_id" UUID,
    "parent_job_id" UUID,
    "root_job_id" UUID,
    "job_kind" "JobKind" NOT NULL,
    "state" "JobState" NOT NULL DEFAULT 'queued',
    "status_reason" TEXT NOT NULL,
    "error_message" TEXT,
    "protocol_id" TEXT NOT NULL,
    "profile_id" TEXT NOT NULL,
    "capability_profile_id" TEXT NOT NULL,
    "access_mode" "AccessMode" NOT NULL DEFAULT 'analysis_only',
    "safety_mode" "SafetyMode" NOT NULL DEFAULT 'normal',
    "model_tier" "ModelTier" NOT NULL DEFAULT 'local',
    "entity_refs" JSONB NOT NULL DEFAULT '[]',
    "planned_operations" JSONB NOT NULL DEFAULT '[]',
    "job_inputs" JSONB,
    "job_outputs" JSONB,
    "issues" TEXT[] NOT NULL DEFAULT ARRAY[]::TEXT[],
    "priority" INTEGER NOT NULL DEFAULT 0,
    "run_after" TIMESTAMPTZ(3),
    "attempt" INTEGER NOT NULL DEFAULT 0,
    "max_attempts" INTEGER NOT NULL DEFAULT 3,
    "uncharged_attempts" INTEGER NOT NULL DEFAULT 0,
    "releases" INTEGER NOT NULL DEFAULT 0,
    "waits_for" "WaitsFor",
    "waits_until" TIMESTAMPTZ(3),
    "progress_fraction" DOUBLE PRECISION,
    "progress_message" TEXT,
    "progress_at" TIMESTAMPTZ(3),
    "preferred_worker_id" TEXT,
    "preferred_until" TIMESTAMPTZ(3),
    "token_budget" BIGINT,
    "cost_budget_micros" BIGINT,
    "idempotency_key" TEXT,
    "submit_hash" TEXT NOT NULL,
    "submitted_by" TEXT NOT NULL,
    "label_count" INTEGER NOT NULL DEFAULT 0,
    "version" INTEGER NOT NULL DEFAULT 1,
    "order_xid" BIGINT NOT NULL,
    "chain_hash" TEXT NOT NULL,
    "duration_ms" BIGINT NOT NULL DEFAULT 0,
    "total_tokens" BIGINT NOT NULL DEFAULT 0,
    "input_tokens" BIGINT NOT NULL DEFAULT 0,
    "output_tokens" BIGINT NOT NULL DEFAULT 0,
    "tokens_planner" BIGINT NOT NULL DEFAULT 0,
    "tokens_executor" BIGINT NOT NULL DEFAULT 0,
    "entities_read" BIGINT NOT NULL DEFAULT 0,
    "entities_written" BIGINT NOT NULL DEFAULT 0,
    "validators_run_count" BIGINT NOT NULL DEFAULT 0,
    "cost_micros" BIGINT NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "completed_at" TIMESTAMPTZ(3),
    "ended_at" TIMESTAMPTZ(3),
    "job_kind_code" SMALLINT NOT NULL GENERATED ALWAYS AS (enum_code("job_kind")) STORED,
    "state_code" SMALLINT NOT NULL GENERATED ALWAYS AS (enum_code("state")) STORED,

    CONSTRAINT "ai_jobs_pkey" PRIMARY KEY ("job_id")
);

-- Keys and values are compared byte by byte, whatever the collation of the database: so their order is the same everywhere, and
-- comparing them is cheap.
CREATE TABLE "job_labels" (
    "workspace_id" UUID NOT NULL,
    "job_id" UUID NOT NULL,
    "key" TEXT COLLATE "C" NOT NULL,
    "value" TEXT COLLATE "C" NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "job_labels_pkey" PRIMARY KEY ("job_id","key")
);

CREATE TABLE "workflow_runs" (
    "id" UUID NOT NULL,
    "workspace_id" UUID NOT NULL,
    "job_id" UUID NOT NULL,
    "attempt" INTEGER NOT NULL,
    "state" "JobState" NOT NULL DEFAULT 'running',
    "worker_id" TEXT NOT NULL,
    "principal_id" TEXT,
    "lease_token" BYTEA NOT NULL,
    "lease_expires_at" TIMESTAMPTZ(3),
    "last_heartbeat" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "next_progress_fraction" DOUBLE PRECISION,
    "next_progress_message" TEXT,
    "next_progress_at" TIMESTAMPTZ(3),
    "outputs" JSONB,
    "error_message" TEXT,
    "end_reason" TEXT,
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "workflow_runs_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "node_executions" (
    "id" UUID NOT NULL,
    "workspace_id" UUID NOT NULL,
    "workflow_run_id" UUID NOT NULL,
    "node_id" TEXT NOT NULL,
    "node_type" TEXT NOT NULL,
    "sequence" INTEGER NOT NULL,
    "depends_on" TEXT[] NOT NULL DEFAULT ARRAY[]::TEXT[],
    "state" "JobState" NOT NULL DEFAULT 'running',
    "input_payload" JSONB,
    "output_payload" JSONB,
    "error_message" TEXT,
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "node_executions_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "user_input_requests" (
    "request_id" UUID NOT NULL,
    "workspace_id" UUID NOT NULL,
    "job_id" UUID NOT NULL,
    "workflow_run_id" UUID NOT NULL,
    "question" TEXT NOT NULL,
    "payload" JSONB,
    "options" TEXT[] NOT NULL DEFAULT ARRAY[]::TEXT[],
    "answer_schema" JSONB,
    "expires_at" TIMESTAMPTZ(3),
    "asked_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "answer" JSONB,
    "answered_by" TEXT,
    "answered_at" TIMESTAMPTZ(3),

    CONSTRAINT "user_input_requests_pkey" PRIMARY KEY ("request_id")
);

CREATE TABLE "flight_recorder_events" (
    "event_id" UUID NOT NULL,
    "job_id" UUID NOT NULL,
    "version" INTEGER NOT NULL,
    "order_xid" BIGINT NOT NULL,
    "workspace_id" UUID NOT NULL,
    "trace_id" UUID NOT NULL,
    "workflow_run_id" UUID,
    "type" "RecorderEventType" NOT NULL,
    "actor" "RecorderActor" NOT NULL,
    "actor_id" TEXT NOT NULL,
    "principal_id" TEXT,
    "state" "JobState" NOT NULL,
    "previous_state" "JobState",
    "duration_ms" BIGINT NOT NULL DEFAULT 0,
    "total_tokens" BIGINT NOT NULL DEFAULT 0,
    "input_tokens" BIGINT NOT NULL DEFAULT 0,
    "output_tokens" BIGINT NOT NULL DEFAULT 0,
    "tokens_planner" BIGINT NOT NULL DEFAULT 0,
    "tokens_executor" BIGINT NOT NULL DEFAULT 0,
    "entities_read" BIGINT NOT NULL DEFAULT 0,
    "entities_written" BIGINT NOT NULL DEFAULT 0,
    "validators_run_count" BIGINT NOT NULL DEFAULT 0,
    "capability_id" TEXT,
    "payload" JSONB NOT NULL DEFAULT '{}',
    "recorded_at" TIMESTAMPTZ(3) NOT NULL,
    "prev_hash" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "type_code" SMALLINT NOT NULL GENERATED ALWAYS AS (enum_code("type")) STORED,

    CONSTRAINT "flight_recorder_events_pkey" PRIMARY KEY ("job_id","version")
);

CREATE TABLE "event_log" (
    "singleton" BOOLEAN NOT NULL DEFAULT true,
    "epoch" UUID NOT NULL DEFAULT gen_random_uuid(),
    "began_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "reason" TEXT NOT NULL DEFAULT 'the database was created',
    "xid_offset" BIGINT NOT NULL DEFAULT 0,
    "kept_from" BIGINT NOT NULL DEFAULT 0,
    "hint_channel" UUID NOT NULL DEFAULT gen_random_uuid(),

    CONSTRAINT "event_log_pkey" PRIMARY KEY ("singleton")
);

CREATE TABLE "worker_reports" (
    "workspace_id" UUID NOT NULL,
    "workflow_run_id" UUID NOT NULL,
    "report_id" UUID NOT NULL,
    "report_hash" BYTEA NOT NULL,
    "node_execution_id" UUID,
    "policy_violation_code" TEXT,
    "policy_violation_detail" TEXT,
    "recorded_at" TIMESTAMPTZ(3) NOT NULL,
    "is_usage" BOOLEAN NOT NULL DEFAULT false,

    CONSTRAINT "worker_reports_pkey" PRIMARY KEY ("workflow_run_id","report_id")
);

CREATE TABLE "usage_entries" (
    "id" UUID NOT NULL,
    "workspace_id" UUID NOT NULL,
    "job_id" UUID NOT NULL,
    "version" INTEGER,
    "order_xid" BIGINT NOT NULL,
    "workflow_run_id" UUID NOT NULL,
    "node_execution_id" UUID,
    "report_id" UUID,
    "capability_profile_id" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "input_tokens" BIGINT NOT NULL,
    "cached_input_tokens" BIGINT NOT NULL,
    "output_tokens" BIGINT NOT NULL,
    "reasoning_tokens" BIGINT NOT NULL,
    "cost_micros" BIGINT NOT NULL,
    "calls" INTEGER NOT NULL,
    "recorded_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "usage_entries_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "output_chunks" (
    "workspace_id" UUID NOT NULL,
    "job_id" UUID NOT NULL,
    "attempt" INTEGER NOT NULL,
    "sequence" INTEGER NOT NULL,
    "workflow_run_id" UUID NOT NULL,
    "text" TEXT NOT NULL,
    "total_bytes" INTEGER NOT NULL,

    CONSTRAINT "output_chunks_pkey" PRIMARY KEY ("job_id","attempt","sequence")
);

CREATE TABLE "quotas" (
    "id" UUID NOT NULL,
    "workspace_id" UUID NOT NULL,
    "capability_profile_id" TEXT,
    "resource" "QuotaResource" NOT NULL,
    "max" BIGINT NOT NULL,
    "window_seconds" INTEGER,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "quotas_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "job_totals" (
    "workspace_id" UUID NOT NULL,
    "job_kind" "JobKind" NOT NULL,
    "state" "JobState" NOT NULL,
    "jobs" BIGINT NOT NULL DEFAULT 0,
    "duration_ms" DECIMAL NOT NULL DEFAULT 0,
    "total_tokens" DECIMAL NOT NULL DEFAULT 0,
    "input_tokens" DECIMAL NOT NULL DEFAULT 0,
    "output_tokens" DECIMAL NOT NULL DEFAULT 0,
    "tokens_planner" DECIMAL NOT NULL DEFAULT 0,
    "tokens_executor" DECIMAL NOT NULL DEFAULT 0,
    "entities_read" DECIMAL NOT NULL DEFAULT 0,
    "entities_written" DECIMAL NOT NULL DEFAULT 0,
    "validators_run_count" DECIMAL NOT NULL DEFAULT 0,

    CONSTRAINT "job_totals_pkey" PRIMARY KEY ("workspace_id","job_kind","state")
);

CREATE TABLE "usage_minutes" (
    "workspace_id" UUID NOT NULL,
    "capability_profile_id" TEXT NOT NULL,
    "minute" TIMESTAMPTZ(3) NOT NULL,
    "tokens" DECIMAL NOT NULL DEFAULT 0,
    "cost_micros" DECIMAL NOT NULL DEFAULT 0,
    "jobs" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "usage_minutes_pkey" PRIMARY KEY ("workspace_id","minute","capability_profile_id")
);

CREATE TABLE "usage_labels" (
    "label_id" UUID NOT NULL,
    "workspace_id" UUID NOT NULL,
    "key" TEXT NOT NULL,
    "position" SMALLINT NOT NULL,
    "since_order_xid" BIGINT NOT NULL,

    CONSTRAINT "usage_labels_pkey" PRIMARY KEY ("label_id")
);

CREATE TABLE "usage_intervals" (
    "workspace_id" UUID NOT NULL,
    "hours" SMALLINT NOT NULL,
    "by_model" BOOLEAN NOT NULL,
    "label_id" UUID NOT NULL,
    "starts_at" TIMESTAMPTZ(3) NOT NULL,
    "state_code" SMALLINT NOT NULL,
    "job_kind" "JobKind" NOT NULL,
    "protocol_id" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "label_value" TEXT NOT NULL,
    "jobs" BIGINT NOT NULL DEFAULT 0,
    "queue_buckets" SMALLINT[] NOT NULL DEFAULT ARRAY[]::SMALLINT[],
    "queue_jobs" BIGINT[] NOT NULL DEFAULT ARRAY[]::BIGINT[],
    "run_buckets" SMALLINT[] NOT NULL DEFAULT ARRAY[]::SMALLINT[],
    "run_jobs" BIGINT[] NOT NULL DEFAULT ARRAY[]::BIGINT[],
    "duration_ms" DECIMAL NOT NULL DEFAULT 0,
    "total_tokens" DECIMAL NOT NULL DEFAULT 0,
    "input_tokens" DECIMAL NOT NULL DEFAULT 0,
    "output_tokens" DECIMAL NOT NULL DEFAULT 0,
    "tokens_planner" DECIMAL NOT NULL DEFAULT 0,
    "tokens_executor" DECIMAL NOT NULL DEFAULT 0,
    "entities_read" DECIMAL NOT NULL DEFAULT 0,
    "entities_written" DECIMAL NOT NULL DEFAULT 0,
    "validators_run_count" DECIMAL NOT NULL DEFAULT 0,
    "cost_micros" DECIMAL NOT NULL DEFAULT 0,

    CONSTRAINT "usage_intervals_pkey" PRIMARY KEY ("workspace_id","hours","by_model","label_id","starts_at","state_code","job_kind","protocol_id","provider","model","label_value")
);

CREATE TABLE "totals_position" (
    "singleton" BOOLEAN NOT NULL DEFAULT true,
    "order_xid" BIGINT NOT NULL DEFAULT 0,
    "job_id" UUID NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 0,
    "entry_order_xid" BIGINT NOT NULL DEFAULT 0,
    "entry_id" UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'::uuid,

    CONSTRAINT "totals_position_pkey" PRIMARY KEY ("singleton")
);

CREATE TABLE "bulk_actions" (
    "id" UUID NOT NULL,
    "workspace_id" UUID NOT NULL,
    "kind" "BulkActionKind" NOT NULL,
    "filter" JSONB NOT NULL,
    "reason" TEXT,
    "actor" "RecorderActor" NOT NULL,
    "actor_id" TEXT NOT NULL,
    "total" INTEGER NOT NULL DEFAULT 0,
    "succeeded" INTEGER NOT NULL DEFAULT 0,
    "failed" INTEGER NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "progressed_at" TIMESTAMPTZ(3),
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "bulk_actions_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "bulk_action_items" (
    "workspace_id" UUID NOT NULL,
    "bulk_action_id" UUID NOT NULL,
    "position" INTEGER NOT NULL,
    "job_id" UUID NOT NULL,
    "finished_at" TIMESTAMPTZ(3),
    "error" JSONB,

    CONSTRAINT "bulk_action_items_pkey" PRIMARY KEY ("bulk_action_id","position")
);
