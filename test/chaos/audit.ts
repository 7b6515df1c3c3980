import type pg from "pg";
import type { Entry } from "./journal.ts";

/**
 * The data that the checks compare the server's tables with, in the schema `chaos`: every lease as it was at any time,
 * which the server does not keep, and the workers' journals.
 */

/**
 * Creates the schema, and triggers that record every change of a lease and the lease under which a report was accepted.
 * Their functions run as the owner of the schema, in which the server's role may do nothing.
 */
export async function installAudit(admin: pg.Client): Promise<void> {
  await admin.query(`
    CREATE SCHEMA chaos;
    CREATE TABLE chaos.leases (
      id bigserial PRIMARY KEY, workflow_run_id uuid NOT NULL, lease_expires_at timestamptz(3),
      by_transaction xid8 NOT NULL DEFAULT pg_current_xact_id());
    CREATE INDEX ON chaos.leases (workflow_run_id, id);
    CREATE FUNCTION chaos.record_lease() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      INSERT INTO chaos.leases (workflow_run_id, lease_expires_at) VALUES (NEW.id, NEW.lease_expires_at);
      RETURN NULL;
    END $$;
    CREATE TRIGGER zz_chaos AFTER INSERT OR UPDATE ON workflow_runs
      FOR EACH ROW EXECUTE FUNCTION chaos.record_lease();

    -- The lease as it was before the report's own transaction changed it. The job's lock is held, so nobody else can.
    CREATE TABLE chaos.accepted (
      workflow_run_id uuid, report_id uuid, recorded_at timestamptz(3), lease_expires_at timestamptz(3));
    CREATE FUNCTION chaos.record_accepted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      INSERT INTO chaos.accepted VALUES (NEW.workflow_run_id, NEW.report_id, NEW.recorded_at, (
        SELECT lease_expires_at FROM chaos.leases
        WHERE workflow_run_id = NEW.workflow_run_id AND by_transaction <> pg_current_xact_id()
        ORDER BY id DESC LIMIT 1));
      RETURN NULL;
    END $$;
    CREATE TRIGGER zz_chaos AFTER INSERT ON worker_reports FOR EACH ROW EXECUTE FUNCTION chaos.record_accepted();`);
}

/** Loads the journals into tables: claims, planned reports, sent reports, and answers. */
export async function loadJournals(
  admin: pg.Client,
  entries: readonly Entry[],
  cancelled: readonly string[],
): Promise<void> {
  await admin.query(`
    CREATE TABLE chaos.journal (entry jsonb NOT NULL);
    CREATE VIEW chaos.claims AS
      SELECT (entry->>'workflowRunId')::uuid AS workflow_run_id, (entry->>'jobId')::uuid AS job_id,
        (entry->>'leaseExpiresAt')::timestamptz AS lease_expires_at
      FROM chaos.journal WHERE entry->>'type' = 'claimed'`);
  await admin.query("INSERT INTO chaos.journal SELECT * FROM jsonb_array_elements($1::jsonb)", [
    JSON.stringify(entries),
  ]);
  await admin.query("CREATE TABLE chaos.cancelled (job_id uuid)");
  await admin.query("INSERT INTO chaos.cancelled SELECT unnest($1::uuid[])", [cancelled]);
  await admin.query(`
    CREATE TABLE chaos.reports AS
      SELECT (entry->'input'->>'reportId')::uuid AS report_id, (entry->'input'->>'workflowRunId')::uuid AS workflow_run_id,
        entry->>'kind' AS kind, entry->>'kind' <> 'heartbeat' AS is_guarded,
        entry->'input'->'metrics' AS metrics
      FROM chaos.journal WHERE entry->>'type' = 'planned';
    CREATE UNIQUE INDEX ON chaos.reports (report_id);
    CREATE TABLE chaos.answers AS
      SELECT (entry->>'reportId')::uuid AS report_id, entry->>'code' AS code,
        (entry->>'leaseExpiresAt')::timestamptz AS lease_expires_at
      FROM chaos.journal WHERE entry->>'type' = 'answered';
    CREATE TABLE chaos.sent AS
      SELECT id::uuid AS report_id, count(*)::int AS times
      FROM chaos.journal, jsonb_array_elements_text(entry->'reportIds') AS id WHERE entry->>'type' = 'sent' GROUP BY id;
    ANALYZE`);
}
