-- CreateEnum
CREATE TYPE "JobKind" AS ENUM ('doc_edit', 'sheet_transform', 'canvas_cluster', 'asr_transcribe', 'workflow_run', 'doc_summarize', 'terminal_exec');

-- CreateEnum
CREATE TYPE "JobState" AS ENUM ('queued', 'running', 'stalled', 'awaiting_validation', 'awaiting_user', 'completed', 'completed_with_issues', 'failed', 'cancelled', 'poisoned');

-- CreateEnum
CREATE TYPE "AccessMode" AS ENUM ('analysis_only', 'preview_only', 'apply_scoped');

-- CreateEnum
CREATE TYPE "SafetyMode" AS ENUM ('strict', 'normal', 'experimental');

-- CreateEnum
CREATE TYPE "ModelTier" AS ENUM ('local', 'cloud');

-- CreateEnum
CREATE TYPE "OperationType" AS ENUM ('read', 'write', 'plan', 'execute');

-- CreateEnum
CREATE TYPE "RecorderActor" AS ENUM ('human', 'agent', 'system');

-- CreateEnum
CREATE TYPE "RecorderEventType" AS ENUM ('job_submitted', 'state_changed', 'node_changed', 'metrics_recorded', 'capability_action', 'llm_inference', 'diagnostic', 'security_violation', 'workflow_recovery');

-- CreateEnum
CREATE TYPE "ViolationType" AS ENUM ('prompt_injection', 'cloud_leakage', 'sensitivity', 'unknown_sensitivity', 'export');

-- CreateTable
CREATE TABLE "workspaces" (
    "workspace_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "workspaces_pkey" PRIMARY KEY ("workspace_id")
);

-- CreateTable
CREATE TABLE "capability_profiles" (
    "id" TEXT NOT NULL,
    "capabilities" TEXT[] NOT NULL,
    "job_kinds" "JobKind"[] NOT NULL,
    "injection_patterns" TEXT[] NOT NULL DEFAULT ARRAY[]::TEXT[],

    CONSTRAINT "capability_profiles_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ai_jobs" (
    "job_id" UUID NOT NULL,
    "workspace_id" UUID NOT NULL,
    "trace_id" UUID NOT NULL,
    "workflow_run_id" UUID,
    "parent_job_id" UUID,
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
    "token_budget" BIGINT,
    "idempotency_key" TEXT,
    "submit_hash" TEXT NOT NULL,
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
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "completed_at" TIMESTAMPTZ(3),

    CONSTRAINT "ai_jobs_pkey" PRIMARY KEY ("job_id")
);

-- CreateTable
CREATE TABLE "workflow_runs" (
    "id" UUID NOT NULL,
    "job_id" UUID NOT NULL,
    "attempt" INTEGER NOT NULL,
    "state" "JobState" NOT NULL DEFAULT 'running',
    "worker_id" TEXT NOT NULL,
    "lease_token" BYTEA NOT NULL,
    "lease_expires_at" TIMESTAMPTZ(3),
    "last_heartbeat" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "error_message" TEXT,
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "workflow_runs_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "node_executions" (
    "id" UUID NOT NULL,
    "workflow_run_id" UUID NOT NULL,
    "node_id" TEXT NOT NULL,
    "node_type" TEXT NOT NULL,
    "sequence" INTEGER NOT NULL,
    "state" "JobState" NOT NULL DEFAULT 'running',
    "input_payload" JSONB,
    "output_payload" JSONB,
    "error_message" TEXT,
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "node_executions_pkey" PRIMARY KEY ("id")
);

-- CreateTable
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

    CONSTRAINT "flight_recorder_events_pkey" PRIMARY KEY ("job_id","version")
);

-- CreateTable
CREATE TABLE "event_log" (
    "singleton" BOOLEAN NOT NULL DEFAULT true,
    "epoch" UUID NOT NULL DEFAULT gen_random_uuid(),

    CONSTRAINT "event_log_pkey" PRIMARY KEY ("singleton")
);

-- CreateIndex
CREATE UNIQUE INDEX "ai_jobs_workflow_run_id_key" ON "ai_jobs"("workflow_run_id");

-- CreateIndex
CREATE INDEX "ai_jobs_workspace_id_created_at_job_id_idx" ON "ai_jobs"("workspace_id", "created_at" DESC, "job_id" DESC);

-- CreateIndex
CREATE INDEX "ai_jobs_workspace_id_state_job_kind_created_at_job_id_idx" ON "ai_jobs"("workspace_id", "state", "job_kind", "created_at" DESC, "job_id" DESC);

-- CreateIndex
CREATE INDEX "ai_jobs_workspace_id_protocol_id_created_at_job_id_idx" ON "ai_jobs"("workspace_id", "protocol_id", "created_at" DESC, "job_id" DESC);

-- CreateIndex
CREATE INDEX "ai_jobs_parent_job_id_created_at_job_id_idx" ON "ai_jobs"("parent_job_id", "created_at" DESC, "job_id" DESC);

-- CreateIndex
CREATE UNIQUE INDEX "ai_jobs_workspace_id_idempotency_key_key" ON "ai_jobs"("workspace_id", "idempotency_key");

-- CreateIndex
CREATE UNIQUE INDEX "workflow_runs_job_id_attempt_key" ON "workflow_runs"("job_id", "attempt");

-- CreateIndex
CREATE UNIQUE INDEX "node_executions_workflow_run_id_sequence_key" ON "node_executions"("workflow_run_id", "sequence");

-- CreateIndex
CREATE INDEX "flight_recorder_events_order_xid_job_id_version_idx" ON "flight_recorder_events"("order_xid", "job_id", "version");

-- CreateIndex
CREATE INDEX "flight_recorder_events_workspace_id_type_recorded_at_job_id_idx" ON "flight_recorder_events"("workspace_id", "type", "recorded_at", "job_id", "version");

-- CreateIndex
CREATE INDEX "flight_recorder_events_trace_id_recorded_at_job_id_version_idx" ON "flight_recorder_events"("trace_id", "recorded_at", "job_id", "version");

-- AddForeignKey
ALTER TABLE "ai_jobs" ADD CONSTRAINT "ai_jobs_workspace_id_fkey" FOREIGN KEY ("workspace_id") REFERENCES "workspaces"("workspace_id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "ai_jobs" ADD CONSTRAINT "ai_jobs_capability_profile_id_fkey" FOREIGN KEY ("capability_profile_id") REFERENCES "capability_profiles"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "ai_jobs" ADD CONSTRAINT "ai_jobs_parent_job_id_fkey" FOREIGN KEY ("parent_job_id") REFERENCES "ai_jobs"("job_id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "ai_jobs" ADD CONSTRAINT "ai_jobs_workflow_run_id_fkey" FOREIGN KEY ("workflow_run_id") REFERENCES "workflow_runs"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "workflow_runs" ADD CONSTRAINT "workflow_runs_job_id_fkey" FOREIGN KEY ("job_id") REFERENCES "ai_jobs"("job_id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "node_executions" ADD CONSTRAINT "node_executions_workflow_run_id_fkey" FOREIGN KEY ("workflow_run_id") REFERENCES "workflow_runs"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "flight_recorder_events" ADD CONSTRAINT "flight_recorder_events_job_id_fkey" FOREIGN KEY ("job_id") REFERENCES "ai_jobs"("job_id") ON DELETE RESTRICT ON UPDATE RESTRICT;

