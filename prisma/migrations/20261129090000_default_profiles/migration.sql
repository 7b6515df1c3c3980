-- Each kind of job has exactly one default profile: the one that a submit gets which names none (section 8).

-- What a submit reads by: there are never more rows in it than kinds, however many profiles there are.
CREATE INDEX capability_profiles_default ON capability_profiles (id) WHERE job_kinds <> '{}';

-- Refuses, with AJ008, two profiles that claim one kind, and a kind that none claims. At commit, so that one transaction
-- can move a kind from one profile to another. It needs no lock: whoever moves a kind writes the row that has claimed it
-- until then, and so of two that move the same kind the later one waits, and sees what the earlier one has committed.
CREATE FUNCTION capability_profiles_one_default() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE kind "JobKind"; claims bigint;
BEGIN
  SELECT k, count(p.id) INTO kind, claims
    FROM unnest(enum_range(NULL::"JobKind")) AS k LEFT JOIN capability_profiles p ON k = ANY(p.job_kinds)
    GROUP BY k HAVING count(p.id) <> 1 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'job kind %: % capability profiles claim it, and exactly one has to', kind, claims
      USING ERRCODE = 'AJ008';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER capability_profiles_default_added AFTER INSERT ON capability_profiles
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.job_kinds <> '{}')
  EXECUTE FUNCTION capability_profiles_one_default();
CREATE CONSTRAINT TRIGGER capability_profiles_default_changed AFTER UPDATE OF job_kinds ON capability_profiles
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.job_kinds IS DISTINCT FROM OLD.job_kinds)
  EXECUTE FUNCTION capability_profiles_one_default();
CREATE CONSTRAINT TRIGGER capability_profiles_default_removed AFTER DELETE ON capability_profiles
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.job_kinds <> '{}')
  EXECUTE FUNCTION capability_profiles_one_default();
