-- ---------------------------------------------------------------- an action does nothing to a job twice

CREATE UNIQUE INDEX "bulk_action_items_bulk_action_id_job_id_key" ON "bulk_action_items"("bulk_action_id", "job_id");

-- What a server reads that looks for actions to go on with.
CREATE INDEX bulk_actions_unfinished ON bulk_actions (created_at) WHERE finished_at IS NULL;

-- ---------------------------------------------------------------- values

ALTER TABLE bulk_actions
  ADD CONSTRAINT bulk_actions_filter_names_something CHECK (jsonb_typeof(filter) = 'object' AND filter <> '{}'),
  ADD CONSTRAINT bulk_actions_reason_of_a_cancellation CHECK ((reason IS NOT NULL) = (kind = 'cancel'));

ALTER TABLE bulk_action_items
  ADD CONSTRAINT bulk_action_items_at_most_1000 CHECK (position BETWEEN 1 AND 1000),
  ADD CONSTRAINT bulk_action_items_error_when_finished CHECK (error IS NULL OR finished_at IS NOT NULL),
  ADD CONSTRAINT bulk_action_items_error_has_a_code CHECK (
    error IS NULL OR coalesce(jsonb_typeof(error -> 'code') = 'string', false));

-- ---------------------------------------------------------------- what was asked for stays, and what came of it

CREATE FUNCTION bulk_actions_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.finished_at IS NOT NULL THEN
      RAISE EXCEPTION 'bulk action %: it begins unfinished', NEW.id USING ERRCODE = 'AJ003';
    END IF;
    RETURN NEW;
  END IF;
  IF OLD.finished_at IS NOT NULL THEN
    RAISE EXCEPTION 'bulk action % has finished: it cannot change', OLD.id USING ERRCODE = 'AJ004';
  END IF;
  IF to_jsonb(NEW) - 'finished_at' <> to_jsonb(OLD) - 'finished_at' THEN
    RAISE EXCEPTION 'bulk action %: what was asked for cannot change', OLD.id USING ERRCODE = 'AJ007';
  END IF;
  IF NEW.finished_at IS NOT NULL
     AND EXISTS (SELECT FROM bulk_action_items WHERE bulk_action_id = NEW.id AND finished_at IS NULL) THEN
    RAISE EXCEPTION 'bulk action %: it finishes with its last item', OLD.id USING ERRCODE = 'AJ006';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER bulk_actions_guard BEFORE INSERT OR UPDATE ON bulk_actions
  FOR EACH ROW EXECUTE FUNCTION bulk_actions_guard();

CREATE FUNCTION bulk_action_items_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.finished_at IS NOT NULL THEN
    RAISE EXCEPTION 'item % of bulk action % has had its turn: what came of it cannot change', OLD.position,
      OLD.bulk_action_id USING ERRCODE = 'AJ004';
  END IF;
  IF (NEW.bulk_action_id, NEW.position, NEW.job_id) <> (OLD.bulk_action_id, OLD.position, OLD.job_id) THEN
    RAISE EXCEPTION 'item % of bulk action %: which job it is cannot change', OLD.position, OLD.bulk_action_id
      USING ERRCODE = 'AJ007';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER bulk_action_items_guard BEFORE UPDATE ON bulk_action_items
  FOR EACH ROW EXECUTE FUNCTION bulk_action_items_guard();

-- Once for all rows of a statement: an action is stored with up to 1,000 items at once.
CREATE FUNCTION bulk_action_items_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM added WHERE finished_at IS NOT NULL) THEN
    RAISE EXCEPTION 'an item of a bulk action begins before its turn' USING ERRCODE = 'AJ003';
  END IF;
  IF EXISTS (SELECT FROM added i JOIN bulk_actions a ON a.id = i.bulk_action_id WHERE a.finished_at IS NOT NULL) THEN
    RAISE EXCEPTION 'a bulk action that has finished gets no item' USING ERRCODE = 'AJ004';
  END IF;
  IF EXISTS (SELECT FROM added i JOIN bulk_actions a ON a.id = i.bulk_action_id JOIN ai_jobs j USING (job_id)
             WHERE j.workspace_id <> a.workspace_id) THEN
    RAISE EXCEPTION 'a bulk action is about jobs of its own workspace' USING ERRCODE = 'AJ003';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER bulk_action_items_begin AFTER INSERT ON bulk_action_items
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION bulk_action_items_begin();

CREATE TRIGGER bulk_actions_kept BEFORE DELETE ON bulk_actions FOR EACH ROW EXECUTE FUNCTION kept_for_good();
CREATE TRIGGER bulk_action_items_kept BEFORE DELETE ON bulk_action_items FOR EACH ROW EXECUTE FUNCTION kept_for_good();
CREATE TRIGGER bulk_actions_not_truncated BEFORE TRUNCATE ON bulk_actions EXECUTE FUNCTION kept_for_good();
CREATE TRIGGER bulk_action_items_not_truncated BEFORE TRUNCATE ON bulk_action_items EXECUTE FUNCTION kept_for_good();
