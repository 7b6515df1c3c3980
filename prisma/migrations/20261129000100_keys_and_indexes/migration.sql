-- Keys and indexes, by table. The comment of a unique index says what it refuses (SQLSTATE 23505) and why; that of any other
-- index, which query uses it. Every version of a job writes an entry into each index that contains the job, so an index for
-- queries about few jobs contains only those (WHERE ...).

-- ---------------------------------------------------------------- ai_jobs

-- What the foreign keys of runs, events, children and items of bulk actions refer to: a job together with its workspace.
-- It refuses only what the primary key refuses, too.
CREATE UNIQUE INDEX "ai_jobs_job_id_workspace_id_key" ON "ai_jobs"("job_id", "workspace_id");

-- Refuses two jobs with the same latest run: a run is an attempt at one job.
CREATE UNIQUE INDEX "ai_jobs_workflow_run_id_workspace_id_key" ON "ai_jobs"("workflow_run_id", "workspace_id");

-- Refuses a second job with the same idempotency key. A submit inserts with ON CONFLICT on this index: of two submits with the
-- same key at the same time, one finds the other's job (section 6).
CREATE UNIQUE INDEX ai_jobs_one_per_key ON ai_jobs (workspace_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- aiJobs without a filter: a workspace's jobs, newest first.
CREATE INDEX "ai_jobs_workspace_id_created_at_job_id_idx" ON "ai_jobs"("workspace_id", "created_at" DESC, "job_id" DESC);

-- aiJobs by state or kind: one scan for each pair of a state and a kind, merged. Also counts a workspace's active jobs, for
-- its quotas.
CREATE INDEX "ai_jobs_workspace_id_state_job_kind_created_at_job_id_idx" ON "ai_jobs"("workspace_id", "state", "job_kind", "created_at" DESC, "job_id" DESC);

-- aiJobs by protocol.
CREATE INDEX "ai_jobs_workspace_id_protocol_id_created_at_job_id_idx" ON "ai_jobs"("workspace_id", "protocol_id", "created_at" DESC, "job_id" DESC);

-- aiJobs by parent, and the walk down a tree that is cancelled or poisoned.
CREATE INDEX ai_jobs_children ON ai_jobs (parent_job_id, created_at DESC, job_id DESC) WHERE parent_job_id IS NOT NULL;

-- lock_and_count_descendants: how many jobs a tree has.
CREATE INDEX ai_jobs_tree ON ai_jobs (root_job_id) WHERE root_job_id IS NOT NULL;

-- Claims. The queue is divided into partitions, each a workspace, a kind and a capability profile. A claim skips from
-- partition to partition, and inside one reads jobs by priority, then age. It skips a partition whose quota is used up as a
-- whole, however many jobs it has. Scheduled jobs (with a `run_after`) have a separate index, so that a claim does not read
-- them while it looks for ready ones.
CREATE INDEX ai_jobs_ready ON ai_jobs (workspace_id, job_kind, capability_profile_id, priority DESC, created_at, job_id)
  WHERE state = 'queued' AND run_after IS NULL;
CREATE INDEX ai_jobs_scheduled
  ON ai_jobs (workspace_id, job_kind, capability_profile_id, priority DESC, created_at, job_id, run_after)
  WHERE state = 'queued' AND run_after IS NOT NULL;

-- Claims: whether any scheduled job of a partition is due.
CREATE INDEX ai_jobs_next_due ON ai_jobs (workspace_id, job_kind, capability_profile_id, run_after)
  WHERE state = 'queued' AND run_after IS NOT NULL;

-- Waiting claims: the jobs that are reserved for a worker because a reviewer sent them back. There are few, and waiting claims
-- look for them again and again.
CREATE INDEX ai_jobs_reserved ON ai_jobs (workspace_id, job_kind, capability_profile_id)
  WHERE state = 'queued' AND preferred_until IS NOT NULL;

-- ---------------------------------------------------------------- workflow_runs

-- What the foreign keys of nodes, reports and a job's latest run refer to: a run together with its workspace.
-- Also lists a workspace's runs, newest first.
CREATE UNIQUE INDEX "workflow_runs_workspace_id_id_key" ON "workflow_runs"("workspace_id", "id");

-- Refuses two runs of a job with the same attempt number. Also finds a job's runs, in their order.
CREATE UNIQUE INDEX "workflow_runs_job_id_attempt_key" ON "workflow_runs"("job_id", "attempt");

-- Refuses a second active run of a job: two workers would both work on it.
CREATE UNIQUE INDEX workflow_runs_one_active ON workflow_runs (job_id)
  WHERE state IN ('running', 'awaiting_validation', 'awaiting_user');

-- Recovery: the runs whose lease has expired, in the order in which the leases expired.
CREATE INDEX workflow_runs_leased ON workflow_runs (lease_expires_at) WHERE state = 'running';

-- ---------------------------------------------------------------- node_executions

-- Refuses two nodes of a run with the same sequence number. Also finds a run's nodes, in their order.
CREATE UNIQUE INDEX "node_executions_workflow_run_id_sequence_key" ON "node_executions"("workflow_run_id", "sequence");

-- Refuses a second open node of the same step: it would be unknown which of the two an outcome is about. Also finds the open
-- node of a step, and a run's open nodes when the run finishes.
CREATE UNIQUE INDEX node_executions_one_open ON node_executions (workflow_run_id, node_id) WHERE finished_at IS NULL;

-- ---------------------------------------------------------------- flight_recorder_events
-- The primary key (job_id, version) refuses a second event of one version, and gives a job's events in their order.

-- The feed and the aggregation of totals: the log in its order (section 4), from a position on.
CREATE INDEX "flight_recorder_events_order_xid_job_id_version_idx" ON "flight_recorder_events"("order_xid", "job_id", "version");

-- flightRecorderEvents: a workspace's events, newest first; one scan for each type, merged.
CREATE INDEX "flight_recorder_events_workspace_id_type_recorded_at_job_id_idx" ON "flight_recorder_events"("workspace_id", "type", "recorded_at", "job_id", "version");

-- flightRecorderEvents by trace.
CREATE INDEX "flight_recorder_events_trace_id_recorded_at_job_id_version_idx" ON "flight_recorder_events"("trace_id", "recorded_at", "job_id", "version");

-- ---------------------------------------------------------------- quotas, totals

-- Refuses two quotas of a workspace for the same profile, resource and window: it would be undefined which one applies. A
-- missing profile or window (NULL) counts as a value: NULLS NOT DISTINCT, which Prisma cannot express. Also finds a
-- workspace's quotas.
CREATE UNIQUE INDEX quotas_one_of_each ON quotas (workspace_id, capability_profile_id, resource, window_seconds)
  NULLS NOT DISTINCT;

-- The aggregation of totals, which deletes minutes that are older than every window of a quota.
CREATE INDEX "usage_minutes_minute_idx" ON "usage_minutes"("minute");

-- ---------------------------------------------------------------- bulk_actions, bulk_action_items

-- What the foreign key of items refers to: an action together with its workspace. Also lists a workspace's actions.
CREATE UNIQUE INDEX "bulk_actions_workspace_id_id_key" ON "bulk_actions"("workspace_id", "id");

-- Maintenance: the unfinished actions, to continue them.
CREATE INDEX bulk_actions_unfinished ON bulk_actions (created_at) WHERE finished_at IS NULL;

-- Refuses two items of an action for the same job: the action would change the job twice.
CREATE UNIQUE INDEX "bulk_action_items_bulk_action_id_job_id_key" ON "bulk_action_items"("bulk_action_id", "job_id");

-- ---------------------------------------------------------------- capability_profiles

-- A submit without a profile: the default profile of its kind. The index never has more rows than there are kinds, however
-- many profiles there are.
CREATE INDEX capability_profiles_default ON capability_profiles (id) WHERE job_kinds <> '{}';
