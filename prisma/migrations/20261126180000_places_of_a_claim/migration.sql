-- A place is a workspace, a kind, and a capability profile: what a claim passes over because a quota of a profile is used
-- up is passed over as a whole, however many of its jobs are queued.

DROP INDEX ai_jobs_ready;
CREATE INDEX ai_jobs_ready ON ai_jobs (workspace_id, job_kind, capability_profile_id, priority DESC, created_at, job_id)
  WHERE state = 'queued' AND run_after IS NULL;

DROP INDEX ai_jobs_scheduled;
CREATE INDEX ai_jobs_scheduled
  ON ai_jobs (workspace_id, job_kind, capability_profile_id, priority DESC, created_at, job_id, run_after)
  WHERE state = 'queued' AND run_after IS NOT NULL;

DROP INDEX ai_jobs_next_due;
CREATE INDEX ai_jobs_next_due ON ai_jobs (workspace_id, job_kind, capability_profile_id, run_after)
  WHERE state = 'queued' AND run_after IS NOT NULL;

DROP INDEX ai_jobs_kept;
CREATE INDEX ai_jobs_kept ON ai_jobs (workspace_id, job_kind, capability_profile_id)
  WHERE state = 'queued' AND preferred_until IS NOT NULL;
