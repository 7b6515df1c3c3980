-- Browsers get sessions in exchange for a credential (section 11). schema.prisma explains each column.
CREATE TABLE "sessions" (
    "secret_hash" BYTEA NOT NULL,
    "workspace_id" UUID,
    "principal" TEXT NOT NULL,
    "roles" "Role"[] NOT NULL,
    "api_key_id" UUID,
    "credential_hash" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "sessions_pkey" PRIMARY KEY ("secret_hash")
);
-- Maintenance: the sessions that have ended, to delete them.
CREATE INDEX "sessions_expires_at_idx" ON "sessions"("expires_at");
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_workspace_id_fkey"
  FOREIGN KEY ("workspace_id") REFERENCES "workspaces"("workspace_id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_api_key_id_fkey"
  FOREIGN KEY ("api_key_id") REFERENCES "api_keys"("api_key_id") ON DELETE RESTRICT ON UPDATE RESTRICT;

ALTER TABLE sessions
  ADD CONSTRAINT sessions_hashes CHECK (octet_length(secret_hash) = 32 AND octet_length(credential_hash) = 32),
  -- The operator is of the whole deployment, a JWT's subject of one workspace; a key is what its own row says.
  ADD CONSTRAINT sessions_principal CHECK (
    char_length(principal) <= 300 AND CASE
      WHEN api_key_id IS NOT NULL THEN principal = 'key:' || api_key_id
      WHEN workspace_id IS NULL THEN principal = 'operator'
      ELSE principal LIKE 'jwt:_%'
    END),
  ADD CONSTRAINT sessions_roles CHECK (cardinality(roles) BETWEEN 1 AND 6 AND array_position(roles, NULL) IS NULL),
  ADD CONSTRAINT sessions_lifetime CHECK (expires_at > created_at AND expires_at <= created_at + interval '12 hours');

-- A session is made and deleted: one that changed could be given more rights, or a longer life.
CREATE TRIGGER sessions_no_update BEFORE UPDATE ON sessions FOR EACH ROW
  EXECUTE FUNCTION refuse('AJ007', 'a session does not change');
-- A key's session is in the workspace of the key.
CREATE FUNCTION sessions_check_workspace() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NEW.workspace_id IS DISTINCT FROM (SELECT workspace_id FROM api_keys WHERE api_key_id = NEW.api_key_id) THEN
    RAISE EXCEPTION 'the session of key % is in another workspace', NEW.api_key_id USING ERRCODE = 'AJ006';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER sessions_check_workspace BEFORE INSERT ON sessions FOR EACH ROW
  WHEN (NEW.api_key_id IS NOT NULL) EXECUTE FUNCTION sessions_check_workspace();

-- Row-level security, as for the other tables.
CREATE POLICY sessions_of_scope ON sessions USING (workspace_id = ANY ((SELECT visible_workspaces())::uuid[]) OR (SELECT sees_all_workspaces()));
CREATE POLICY sessions_of_owner ON sessions TO CURRENT_USER USING (true);
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
