-- Job trees: how a child begins. Errors as in the third ring: AJ003 not how a job begins, AJ007 a fixed column.

CREATE INDEX ai_jobs_tree ON ai_jobs (root_job_id) WHERE root_job_id IS NOT NULL;

-- How many descendants a root has, nobody else adding one before this transaction ends. The count is a query of its own
-- after the lock, and so sees what was committed while this one waited.
CREATE FUNCTION lock_and_count_descendants(root uuid) RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('descendants of job ' || root, 0));
  RETURN (SELECT count(*) FROM ai_jobs WHERE root_job_id = root);
END $$;

-- What can interleave:
-- - A parent that is about to end or to be poisoned. FOR SHARE waits for whoever changes it, and then sees what it has
--   become; whoever wants to change it afterwards waits for this transaction, and can then find the child.
-- - Another child of the same tree, perhaps of another parent, which the count must not miss: hence the lock on the
--   root's id. It is taken after the parent's row, and whoever has it waits for no row: children hold rows FOR SHARE
--   only, which they can do together. So two children never wait for each other, and since whoever poisons or cancels
--   a tree waits for rows alone, there is no circle with them either.
-- - A writer of plain SQL in REPEATABLE READ or SERIALIZABLE, whose snapshot may be older than the lock and count too
--   few: refused.
CREATE FUNCTION ai_jobs_begin_in_tree() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE parent record;
BEGIN
  IF NEW.parent_job_id IS NULL THEN
    RAISE EXCEPTION 'job %: without a parent it has no root', NEW.job_id USING ERRCODE = 'AJ003';
  END IF;
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'job %: a child is inserted in READ COMMITTED', NEW.job_id USING ERRCODE = 'AJ003';
  END IF;
  SELECT workspace_id, trace_id, state, coalesce(root_job_id, job_id) AS root INTO parent
    FROM ai_jobs WHERE job_id = NEW.parent_job_id FOR SHARE;
  IF NOT FOUND OR parent.workspace_id <> NEW.workspace_id THEN
    RAISE EXCEPTION 'job %: its workspace has no job % for a parent', NEW.job_id, NEW.parent_job_id
      USING ERRCODE = 'AJ003';
  END IF;
  IF parent.state IN ('completed', 'completed_with_issues', 'failed', 'cancelled', 'poisoned') THEN
    RAISE EXCEPTION 'job %: its parent % is %, and gets no more children', NEW.job_id, NEW.parent_job_id, parent.state
      USING ERRCODE = 'AJ003';
  END IF;
  IF NEW.root_job_id IS DISTINCT FROM parent.root OR NEW.trace_id <> parent.trace_id THEN
    RAISE EXCEPTION 'job %: its root is % and its trace %, as its parent''s', NEW.job_id, parent.root, parent.trace_id
      USING ERRCODE = 'AJ003';
  END IF;
  IF lock_and_count_descendants(parent.root) >= 1000 THEN
    RAISE EXCEPTION 'job %: job % has 1,000 descendants already', NEW.job_id, parent.root USING ERRCODE = 'AJ003';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER ai_jobs_begin_in_tree BEFORE INSERT ON ai_jobs FOR EACH ROW
  WHEN (NEW.parent_job_id IS NOT NULL OR NEW.root_job_id IS NOT NULL) EXECUTE FUNCTION ai_jobs_begin_in_tree();

CREATE FUNCTION ai_jobs_keep_root() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.root_job_id IS DISTINCT FROM OLD.root_job_id THEN
    RAISE EXCEPTION 'job %: its place in its tree cannot change', OLD.job_id USING ERRCODE = 'AJ007';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER ai_jobs_keep_root BEFORE UPDATE OF root_job_id ON ai_jobs
  FOR EACH ROW EXECUTE FUNCTION ai_jobs_keep_root();
