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
CREATE INDEX "ai_jobs_workspace_id_state_code_job_kind_code_created_at_jo_idx" ON "ai_jobs"("workspace_id", "state_code", "job_kind_code", "created_at" DESC, "job_id" DESC);

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
CREATE INDEX ai_jobs_ready ON ai_jobs (workspace_id, job_kind_code, capability_profile_id, priority DESC, created_at, job_id)
  WHERE state = 'queued' AND run_after IS NULL AND waits_for IS NULL;
CREATE INDEX ai_jobs_scheduled
  ON ai_jobs (workspace_id, job_kind_code, capability_profile_id, priority DESC, created_at, job_id, run_after)
  WHERE state = 'queued' AND run_after IS NOT NULL;

-- Claims: whether any scheduled job of a partition is due.
CREATE INDEX ai_jobs_next_due ON ai_jobs (workspace_id, job_kind_code, capability_profile_id, run_after)
  WHERE state = 'queued' AND run_after IS NOT NULL;

-- The jobs that wait for their children: few, and looked at again and again (src/runs/children.ts).
CREATE INDEX ai_jobs_waiting_for_children ON ai_jobs (job_id) WHERE waits_for = 'children';

-- Whether a job has a child that has not ended.
CREATE INDEX ai_jobs_children_at_work ON ai_jobs (parent_job_id) WHERE parent_job_id IS NOT NULL AND ended_at IS NULL;

-- The jobs whose wait for an answer has a time limit, in the order of these.
CREATE INDEX ai_jobs_wait_limits ON ai_jobs (waits_until, job_id) WHERE waits_until IS NOT NULL;

-- Waiting claims: the jobs that are reserved for a worker, which a person has sent back or answered. There are few, and waiting claims
-- look for them again and again.
CREATE INDEX ai_jobs_reserved ON ai_jobs (workspace_id, job_kind_code, capability_profile_id)
  WHERE state = 'queued' AND preferred_until IS NOT NULL;

-- ---------------------------------------------------------------- job_labels
-- The primary key (job_id, key) refuses a second label of a job with the same key, and finds a job's labels, by key.

-- aiJobs by label: the workspace's jobs with one, newest first.
CREATE INDEX "job_labels_workspace_id_key_value_created_at_job_id_idx" ON "job_labels"("workspace_id", "key", "value", "created_at" DESC, "job_id" DESC);

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

-- workerDirectives: a worker's runs that ended otherwise than by a completion, by when they did. A claim, a heartbeat and a
-- completion write no entry.
CREATE INDEX workflow_runs_stopped ON workflow_runs (principal_id, worker_id, finished_at)
  WHERE state IN ('failed', 'cancelled', 'poisoned', 'stalled');

-- The runs with a progress that waits to become a version, in the order in which it may: few, and looked at again and again
-- (src/runs/record-progress.ts). Who reports none, or one that is a version at once, writes no entry.
CREATE INDEX workflow_runs_next_progress ON workflow_runs (next_progress_at, id) WHERE next_progress_at IS NOT NULL;

-- ---------------------------------------------------------------- output_chunks

-- Maintenance: the runs that have output, each once, so that finding those that ended long ago reads one entry a run.
CREATE UNIQUE INDEX output_chunks_runs ON output_chunks (workflow_run_id) WHERE sequence = 1;

-- ---------------------------------------------------------------- node_executions

-- Refuses two nodes of a run with the same sequence number. Also finds a run's nodes, in their order.
CREATE UNIQUE INDEX "node_executions_workflow_run_id_sequence_key" ON "node_executions"("workflow_run_id", "sequence");

-- Refuses a second open node of the same step: it would be unknown which of the two an outcome is about. Also finds the open
-- node of a step, and a run's open nodes when the run finishes.
CREATE UNIQUE INDEX node_executions_one_open ON node_executions (workflow_run_id, node_id) WHERE finished_at IS NULL;

-- ---------------------------------------------------------------- user_input_requests

-- Refuses a second question of a run: asking ends it. Also finds the question that a job waits with, by its latest run.
CREATE UNIQUE INDEX "user_input_requests_workflow_run_id_workspace_id_key" ON "user_input_requests"("workflow_run_id", "workspace_id");

-- The questions of a job, oldest first: a claim brings the answers.
CREATE INDEX "user_input_requests_job_id_request_id_idx" ON "user_input_requests"("job_id", "request_id");

-- ---------------------------------------------------------------- flight_recorder_events
-- The primary key (job_id, version) refuses a second event of one version, and gives a job's events in their order.

-- The feed and the aggregation of totals: the log in its order (section 4), from a position on.
CREATE INDEX "flight_recorder_events_order_xid_job_id_version_idx" ON "flight_recorder_events"("order_xid", "job_id", "version");

-- flightRecorderEvents: a workspace's events, newest first; one scan for each type, merged.
CREATE INDEX "flight_recorder_events_workspace_id_type_code_recorded_at_j_idx" ON "flight_recorder_events"("workspace_id", "type_code", "recorded_at", "job_id", "version");

-- flightRecorderEvents by trace.
CREATE INDEX "flight_recorder_events_trace_id_recorded_at_job_id_version_idx" ON "flight_recorder_events"("trace_id", "recorded_at", "job_id", "version");

-- workerDirectives: the event by which a run was taken from its worker (src/log/stop.ts). Few events are one.
CREATE INDEX flight_recorder_stops ON flight_recorder_events (workflow_run_id)
  WHERE previous_state = 'running' AND state <> 'running' AND actor <> 'agent';

-- aiJobs by submittedBy, newest first: a job's first event says who submitted it and when, as the job does. ai_jobs has no such
-- index, since each version of a job would have to keep it up to date.
CREATE INDEX flight_recorder_events_submitted ON flight_recorder_events (workspace_id, principal_id, recorded_at DESC, job_id DESC)
  WHERE version = 1;

-- ---------------------------------------------------------------- usage_entries

-- The usage of a job, and the entries of one version, whose sums the database compares with it.
CREATE INDEX "usage_entries_job_id_version_idx" ON "usage_entries"("job_id", "version");

-- The usage of a run and of its steps.
CREATE INDEX "usage_entries_workflow_run_id_idx" ON "usage_entries"("workflow_run_id");

-- The aggregation of totals: the ledger in its order, from a position on.
CREATE INDEX "usage_entries_order_xid_id_idx" ON "usage_entries"("order_xid", "id");

-- Refuses what a report brought for a model a second time, where no version of the job says that it was counted.
CREATE UNIQUE INDEX usage_entries_once_beside ON usage_entries (workflow_run_id, report_id, provider, model)
  WHERE version IS NULL;

-- ---------------------------------------------------------------- quotas, totals

-- Refuses two quotas of a workspace for the same profile, resource and window: it would be undefined which one applies. A
-- missing profile or window (NULL) counts as a value: NULLS NOT DISTINCT, which Prisma cannot express. Also finds a
-- workspace's quotas.
CREATE UNIQUE INDEX quotas_one_of_each ON quotas (workspace_id, capability_profile_id, resource, window_seconds)
  NULLS NOT DISTINCT;

-- The aggregation of totals, which deletes minutes that are older than every window of a quota.
CREATE INDEX "usage_minutes_minute_idx" ON "usage_minutes"("minute");

CREATE UNIQUE INDEX "usage_labels_workspace_id_key_key" ON "usage_labels"("workspace_id", "key");

CREATE UNIQUE INDEX "usage_labels_workspace_id_position_key" ON "usage_labels"("workspace_id", "position");

-- ---------------------------------------------------------------- bulk_actions, bulk_action_items

-- What the foreign key of items refers to: an action together with its workspace. Also lists a workspace's actions.
CREATE UNIQUE INDEX "bulk_actions_workspace_id_id_key" ON "bulk_actions"("workspace_id", "id");

-- Maintenance: the unfinished actions, to continue them.
CREATE INDEX bulk_actions_unfinished ON bulk_actions (created_at) WHERE finished_at IS NULL;

-- Refuses two items of an action for the same job: the action would change the job twice.
CREATE UNIQUE INDEX "bulk_action_items_bulk_action_id_job_id_key" ON "bulk_action_items"("bulk_action_id", "job_id");

-- What is still to be done of an action: the next batch is found at once, however much has been done.
CREATE INDEX bulk_action_items_pending ON bulk_action_items (bulk_action_id, position) WHERE finished_at IS NULL;

-- What an action could not change: a few among many, if any.
CREATE INDEX bulk_action_items_failed ON bulk_action_items (bulk_action_id, position) WHERE error IS NOT NULL;

-- ---------------------------------------------------------------- capability_profiles

-- A submit without a profile: the default profile of its kind. The index never has more rows than there are kinds, however
-- many profiles there are.
CREATE INDEX capability_profiles_default ON capability_profiles (id) WHERE job_kinds <> '{}';
