-- ---------------------------------------------------------------- what a claim reads
-- One walk for each workspace and kind, by priority, then age. Jobs that wait for a moment stand apart: they are not in
-- the way of those that are due, and whether their moment has come is told from the index alone.

DROP INDEX ai_jobs_due;

CREATE INDEX ai_jobs_ready ON ai_jobs (workspace_id, job_kind, priority DESC, created_at, job_id)
  WHERE state = 'queued' AND run_after IS NULL;

CREATE INDEX ai_jobs_scheduled ON ai_jobs (workspace_id, job_kind, priority DESC, created_at, job_id, run_after)
  WHERE state = 'queued' AND run_after IS NOT NULL;

-- Whether any of them is due, and when the next one will be.
CREATE INDEX ai_jobs_next_due ON ai_jobs (workspace_id, job_kind, run_after)
  WHERE state = 'queued' AND run_after IS NOT NULL;

-- ---------------------------------------------------------------- fewer entries for each version
-- Every version of a job writes an entry into each index that holds it. Most jobs have no parent and no key: the two
-- indexes that are about those hold only jobs that have.

DROP INDEX ai_jobs_parent_job_id_created_at_job_id_idx;
CREATE INDEX ai_jobs_children ON ai_jobs (parent_job_id, created_at DESC, job_id DESC) WHERE parent_job_id IS NOT NULL;

DROP INDEX ai_jobs_workspace_id_idempotency_key_key;
CREATE UNIQUE INDEX ai_jobs_one_per_key ON ai_jobs (workspace_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- ---------------------------------------------------------------- values

ALTER TABLE ai_jobs
  ADD CONSTRAINT ai_jobs_revisions CHECK (revisions >= 0),
  ADD CONSTRAINT ai_jobs_preference_has_an_end CHECK ((preferred_worker_id IS NULL) = (preferred_until IS NULL));

ALTER TABLE worker_reports
  ADD CONSTRAINT worker_reports_hash_is_sha256 CHECK (octet_length(report_hash) = 32),
  ADD CONSTRAINT worker_reports_policy_violation_has_both CHECK ((policy_violation_code IS NULL) = (policy_violation_detail IS NULL));

-- ---------------------------------------------------------------- reports are kept, and none is added to a poisoned job

CREATE FUNCTION worker_reports_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE job_state "JobState";
BEGIN
  SELECT j.state INTO job_state FROM workflow_runs r JOIN ai_jobs j USING (job_id)
    WHERE r.id = NEW.workflow_run_id FOR SHARE OF j;
  IF job_state = 'poisoned' THEN
    RAISE EXCEPTION 'report %: its job is poisoned', NEW.report_id USING ERRCODE = 'AJ004';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER worker_reports_guard BEFORE INSERT ON worker_reports
  FOR EACH ROW EXECUTE FUNCTION worker_reports_guard();
CREATE TRIGGER worker_reports_kept BEFORE UPDATE OR DELETE ON worker_reports
  FOR EACH ROW EXECUTE FUNCTION kept_for_good();
CREATE TRIGGER worker_reports_not_truncated BEFORE TRUNCATE ON worker_reports EXECUTE FUNCTION kept_for_good();
