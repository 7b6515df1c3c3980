-- Columns and tables of the workflow engine: generated from schema.prisma.

CREATE TYPE "QuotaResource" AS ENUM ('tokens', 'jobs', 'active_jobs');

CREATE TYPE "BulkActionKind" AS ENUM ('cancel', 'retry');

ALTER TABLE "ai_jobs" ADD COLUMN     "preferred_until" TIMESTAMPTZ(3),
ADD COLUMN     "preferred_worker_id" TEXT,
ADD COLUMN     "revisions" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "root_job_id" UUID;

ALTER TABLE "node_executions" ADD COLUMN     "depends_on" TEXT[] DEFAULT ARRAY[]::TEXT[];

CREATE TABLE "worker_reports" (
    "workflow_run_id" UUID NOT NULL,
    "report_id" UUID NOT NULL,
    "report_hash" BYTEA NOT NULL,
    "node_execution_id" UUID,
    "policy_violation_code" TEXT,
    "policy_violation_detail" TEXT,
    "recorded_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "worker_reports_pkey" PRIMARY KEY ("workflow_run_id","report_id")
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
    "jobs" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "usage_minutes_pkey" PRIMARY KEY ("workspace_id","minute","capability_profile_id")
);

CREATE TABLE "totals_position" (
    "singleton" BOOLEAN NOT NULL DEFAULT true,
    "order_xid" BIGINT NOT NULL DEFAULT 0,
    "job_id" UUID NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 0,

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
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "bulk_actions_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "bulk_action_items" (
    "bulk_action_id" UUID NOT NULL,
    "position" INTEGER NOT NULL,
    "job_id" UUID NOT NULL,
    "finished_at" TIMESTAMPTZ(3),
    "error" JSONB,

    CONSTRAINT "bulk_action_items_pkey" PRIMARY KEY ("bulk_action_id","position")
);

ALTER TABLE "worker_reports" ADD CONSTRAINT "worker_reports_workflow_run_id_fkey" FOREIGN KEY ("workflow_run_id") REFERENCES "workflow_runs"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

ALTER TABLE "quotas" ADD CONSTRAINT "quotas_workspace_id_fkey" FOREIGN KEY ("workspace_id") REFERENCES "workspaces"("workspace_id") ON DELETE RESTRICT ON UPDATE RESTRICT;

ALTER TABLE "quotas" ADD CONSTRAINT "quotas_capability_profile_id_fkey" FOREIGN KEY ("capability_profile_id") REFERENCES "capability_profiles"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

ALTER TABLE "bulk_actions" ADD CONSTRAINT "bulk_actions_workspace_id_fkey" FOREIGN KEY ("workspace_id") REFERENCES "workspaces"("workspace_id") ON DELETE RESTRICT ON UPDATE RESTRICT;

ALTER TABLE "bulk_action_items" ADD CONSTRAINT "bulk_action_items_bulk_action_id_fkey" FOREIGN KEY ("bulk_action_id") REFERENCES "bulk_actions"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

ALTER TABLE "bulk_action_items" ADD CONSTRAINT "bulk_action_items_job_id_fkey" FOREIGN KEY ("job_id") REFERENCES "ai_jobs"("job_id") ON DELETE RESTRICT ON UPDATE RESTRICT;
