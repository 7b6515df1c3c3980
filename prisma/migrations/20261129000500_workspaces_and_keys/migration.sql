-- Workspaces get names, and principals API keys (section 11). schema.prisma explains each column.

ALTER TABLE "workspaces" ADD COLUMN "name" TEXT, ADD COLUMN "retention_days" INTEGER;
ALTER TABLE workspaces
  ADD CONSTRAINT workspaces_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
  ADD CONSTRAINT workspaces_retention_days_range CHECK (retention_days BETWEEN 1 AND 36500);

CREATE TYPE "Role" AS ENUM ('viewer', 'submitter', 'worker', 'reviewer', 'security', 'admin');

CREATE TABLE "api_keys" (
    "api_key_id" UUID NOT NULL,
    "workspace_id" UUID,
    "name" TEXT NOT NULL,
    "secret_hash" BYTEA NOT NULL,
    "prefix" TEXT NOT NULL,
    "last_four" TEXT NOT NULL,
    "roles" "Role"[] NOT NULL,
    "job_kinds" "JobKind"[],
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "created_by" TEXT NOT NULL,
    "created_by_key_id" UUID,
    "expires_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),
    "last_used_at" TIMESTAMPTZ(3),
    "previous_secret_hash" BYTEA,
    "overlap_until" TIMESTAMPTZ(3),

    CONSTRAINT "api_keys_pkey" PRIMARY KEY ("api_key_id")
);
CREATE UNIQUE INDEX "api_keys_secret_hash_key" ON "api_keys"("secret_hash");
CREATE UNIQUE INDEX "api_keys_previous_secret_hash_key" ON "api_keys"("previous_secret_hash");
CREATE INDEX "api_keys_of_workspace" ON "api_keys"("workspace_id", "api_key_id" DESC);
CREATE INDEX "api_keys_made_by" ON "api_keys"("created_by_key_id");
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_workspace_id_fkey"
  FOREIGN KEY ("workspace_id") REFERENCES "workspaces"("workspace_id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_created_by_key_id_fkey"
  FOREIGN KEY ("created_by_key_id") REFERENCES "api_keys"("api_key_id") ON DELETE RESTRICT ON UPDATE RESTRICT;

ALTER TABLE api_keys
  ADD CONSTRAINT api_keys_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
  ADD CONSTRAINT api_keys_secret CHECK (
    octet_length(secret_hash) = 32 AND octet_length(previous_secret_hash) IS NOT DISTINCT FROM
      CASE WHEN overlap_until IS NULL THEN NULL ELSE 32 END
    AND char_length(prefix) = 8 AND char_length(last_four) = 4),
  ADD CONSTRAINT api_keys_roles CHECK (cardinality(roles) BETWEEN 1 AND 6 AND array_position(roles, NULL) IS NULL),
  ADD CONSTRAINT api_keys_job_kinds CHECK (cardinality(job_kinds) > 0 AND array_position(job_kinds, NULL) IS NULL),
  ADD CONSTRAINT api_keys_created_by CHECK (char_length(created_by) BETWEEN 1 AND 300);

-- What a key is, may do and was made by never changes: a key that should do something else is another key. A revocation stands.
CREATE TRIGGER api_keys_immutable_columns BEFORE UPDATE OF api_key_id, workspace_id, roles, job_kinds, created_at, created_by, created_by_key_id, expires_at
  ON api_keys FOR EACH ROW WHEN (
    (OLD.api_key_id, OLD.workspace_id, OLD.roles, OLD.job_kinds, OLD.created_at, OLD.created_by, OLD.created_by_key_id, OLD.expires_at)
      IS DISTINCT FROM
    (NEW.api_key_id, NEW.workspace_id, NEW.roles, NEW.job_kinds, NEW.created_at, NEW.created_by, NEW.created_by_key_id, NEW.expires_at))
  EXECUTE FUNCTION refuse_immutable_change();
CREATE TRIGGER api_keys_stay_revoked BEFORE UPDATE ON api_keys FOR EACH ROW
  WHEN (OLD.revoked_at IS NOT NULL AND (NEW.revoked_at, NEW.secret_hash) IS DISTINCT FROM (OLD.revoked_at, OLD.secret_hash))
  EXECUTE FUNCTION refuse('AJ004', 'a revoked key stays revoked');
CREATE TRIGGER api_keys_no_delete BEFORE DELETE ON api_keys FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ005', 'keys are revoked, and not deleted');
CREATE TRIGGER api_keys_no_truncate BEFORE TRUNCATE ON api_keys FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('AJ005', 'keys are revoked, and not deleted');
