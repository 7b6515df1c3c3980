-- Totals, usage by the minute, and quotas: what Prisma cannot say of them, and the place where the fold begins.

-- ---------------------------------------------------------------- indexes

CREATE UNIQUE INDEX quotas_one_of_each ON quotas (workspace_id, capability_profile_id, resource, window_seconds)
  NULLS NOT DISTINCT;

CREATE INDEX usage_minutes_minute_idx ON usage_minutes (minute);

-- ---------------------------------------------------------------- values

ALTER TABLE quotas
  ADD CONSTRAINT quotas_max CHECK (max BETWEEN 0 AND 9007199254740991),
  ADD CONSTRAINT quotas_only_active_jobs_has_no_window CHECK ((window_seconds IS NULL) = (resource = 'active_jobs')),
  -- 60 s to 31 days.
  ADD CONSTRAINT quotas_window CHECK (window_seconds BETWEEN 60 AND 2678400);

ALTER TABLE job_totals ADD CONSTRAINT job_totals_not_negative CHECK (
  jobs >= 0 AND least(duration_ms, total_tokens, input_tokens, output_tokens, tokens_planner, tokens_executor,
                      entities_read, entities_written, validators_run_count) >= 0);

ALTER TABLE usage_minutes
  ADD CONSTRAINT usage_minutes_not_negative CHECK (tokens >= 0 AND jobs >= 0),
  ADD CONSTRAINT usage_minutes_whole_minute CHECK (
    minute = date_bin('1 minute', minute, '2000-01-01 00:00:00+00'::timestamptz));

-- ---------------------------------------------------------------- what was counted stays what it was counted as

CREATE FUNCTION ai_jobs_keep_profiles() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.capability_profile_id <> OLD.capability_profile_id OR NEW.profile_id <> OLD.profile_id THEN
    RAISE EXCEPTION 'job %: what it was submitted as cannot change', OLD.job_id USING ERRCODE = 'AJ007';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER ai_jobs_keep_profiles BEFORE UPDATE OF capability_profile_id, profile_id ON ai_jobs
  FOR EACH ROW EXECUTE FUNCTION ai_jobs_keep_profiles();

-- ---------------------------------------------------------------- how far the fold has come

-- From the start of the log: in a database that has one already, reads are exact, and slow until the fold has caught up.
-- A job's change is told by its event and the one before it, so whatever deletes old events must keep the newest one of
-- every job, and everything after this position.
INSERT INTO totals_position (job_id) VALUES ('00000000-0000-0000-0000-000000000000');

ALTER TABLE totals_position ADD CONSTRAINT totals_position_one_row CHECK (singleton);

CREATE TRIGGER totals_position_kept BEFORE DELETE ON totals_position FOR EACH ROW EXECUTE FUNCTION kept_for_good();
CREATE TRIGGER totals_position_not_truncated BEFORE TRUNCATE ON totals_position EXECUTE FUNCTION kept_for_good();

-- The events of some workspaces that come after the position. STABLE: it sees what the statement that calls it sees.
-- The planner cannot know how few they are, nor that the position is near the log's end: without the setting and the
-- OFFSET it reads the whole log, or all of a workspace's, for them.
CREATE FUNCTION events_not_folded(of_workspaces uuid[]) RETURNS SETOF flight_recorder_events
LANGUAGE sql STABLE ROWS 1000 SET enable_seqscan = off AS $$
  SELECT * FROM (
    SELECT * FROM flight_recorder_events
    WHERE (order_xid, job_id, version) > (SELECT order_xid, job_id, version FROM totals_position WHERE singleton)
    OFFSET 0
  ) AS event
  WHERE workspace_id = ANY (of_workspaces)
$$;
