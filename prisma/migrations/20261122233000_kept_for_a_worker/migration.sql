-- Jobs that were sent back to the worker that had them: few, and asked for by each look for those who wait.

CREATE INDEX ai_jobs_kept ON ai_jobs (workspace_id, job_kind)
  WHERE state = 'queued' AND preferred_until IS NOT NULL;
