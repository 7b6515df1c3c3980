-- What a job was submitted with stays: above all its budget, which no writer can raise under the eyes of a report that
-- passes it. Errors as in the third ring: AJ003 not how a job begins, AJ007 a fixed column, or a counter that shrank.
-- Triggers of their own, with the columns that they are about: the server's own updates do not name the first ones, and
-- pay for the others with a comparison.

CREATE FUNCTION ai_jobs_keep_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'job %: what it was submitted as cannot change', OLD.job_id USING ERRCODE = 'AJ007';
END $$;

CREATE TRIGGER ai_jobs_keep_terms
  BEFORE UPDATE OF token_budget, max_attempts, priority, profile_id, capability_profile_id ON ai_jobs
  FOR EACH ROW
  WHEN ((NEW.token_budget, NEW.max_attempts, NEW.priority, NEW.profile_id, NEW.capability_profile_id)
    IS DISTINCT FROM (OLD.token_budget, OLD.max_attempts, OLD.priority, OLD.profile_id, OLD.capability_profile_id))
  EXECUTE FUNCTION ai_jobs_keep_terms();

-- Each attempt that is not charged is one that a person sent back: one at a time, and never more than there were.
CREATE FUNCTION ai_jobs_count_revisions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    RAISE EXCEPTION 'job %: nobody has sent it back yet', NEW.job_id USING ERRCODE = 'AJ003';
  END IF;
  RAISE EXCEPTION 'job %: revisions only grow, by one', OLD.job_id USING ERRCODE = 'AJ007';
END $$;

CREATE TRIGGER ai_jobs_begin_without_revisions BEFORE INSERT ON ai_jobs
  FOR EACH ROW WHEN (NEW.revisions > 0) EXECUTE FUNCTION ai_jobs_count_revisions();
CREATE TRIGGER ai_jobs_count_revisions BEFORE UPDATE OF revisions ON ai_jobs
  FOR EACH ROW WHEN (NEW.revisions NOT IN (OLD.revisions, OLD.revisions + 1))
  EXECUTE FUNCTION ai_jobs_count_revisions();

ALTER TABLE ai_jobs ADD CONSTRAINT ai_jobs_revisions_within_attempts CHECK (revisions <= attempt);

-- What a node depends on is told when it starts.
CREATE FUNCTION node_executions_keep_dependencies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'node %: what it depends on cannot change', OLD.id USING ERRCODE = 'AJ007';
END $$;

CREATE TRIGGER node_executions_keep_dependencies BEFORE UPDATE OF depends_on ON node_executions
  FOR EACH ROW WHEN (NEW.depends_on IS DISTINCT FROM OLD.depends_on)
  EXECUTE FUNCTION node_executions_keep_dependencies();
