import type pg from "pg";
import type { Entry } from "./entries.ts";
import type { Decision } from "./people.ts";

/**
 * The data that the checks compare the server's tables with, in the schema `chaos`: every lease as it was at any time,
 * which the server does not keep, the workers' journals, and what people and the system outside have to say.
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
      workflow_run_id uuid, report_id uuid, is_usage boolean, recorded_at timestamptz(3), lease_expires_at timestamptz(3));
    CREATE FUNCTION chaos.record_accepted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      INSERT INTO chaos.accepted VALUES (NEW.workflow_run_id, NEW.report_id, NEW.is_usage, NEW.recorded_at, (
        SELECT lease_expires_at FROM chaos.leases
        WHERE workflow_run_id = NEW.workflow_run_id AND by_transaction <> pg_current_xact_id()
        ORDER BY id DESC LIMIT 1));
      RETURN NULL;
    END $$;
    CREATE TRIGGER zz_chaos AFTER INSERT ON worker_reports FOR EACH ROW EXECUTE FUNCTION chaos.record_accepted();`);
}

/** What others than the server know at the end. */
interface Known {
  /** Of all journals. */
  readonly entries: readonly Entry[];
  /** The jobs whose cancellation was confirmed. */
  readonly cancelled: readonly string[];
  readonly decisions: readonly Decision[];
  /** What was done outside: the receipts by key. */
  readonly done: ReadonlyMap<string, string>;
}

/**
 * Loads them into tables. Reports and usage by itself may have the same id: `is_usage` tells them apart, here as in the server's
 * `worker_reports`.
 */
export async function loadRecords(admin: pg.Client, { entries, cancelled, decisions, done }: Known): Promise<void> {
  await admin.query("CREATE TABLE chaos.journal (entry jsonb NOT NULL)");
  await admin.query("INSERT INTO chaos.journal SELECT * FROM jsonb_array_elements($1::jsonb)", [
    JSON.stringify(entries),
  ]);
  await admin.query("CREATE TABLE chaos.cancelled (job_id uuid)");
  await admin.query("INSERT INTO chaos.cancelled SELECT unnest($1::uuid[])", [cancelled]);
  await admin.query("CREATE TABLE chaos.done (key text PRIMARY KEY, receipt text NOT NULL)");
  await admin.query("INSERT INTO chaos.done SELECT * FROM unnest($1::text[], $2::text[])", [
    [...done.keys()],
    [...done.values()],
  ]);
  await admin.query(`CREATE TABLE chaos.decisions
    ("jobId" uuid, "requestId" uuid, answer text, "isConfirmed" boolean)`);
  await admin.query("INSERT INTO chaos.decisions SELECT * FROM jsonb_populate_recordset(NULL::chaos.decisions, $1)", [
    JSON.stringify(decisions),
  ]);
  await admin.query(`
    CREATE FUNCTION chaos.wall(at jsonb) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
      $$ SELECT to_timestamp((at->>'wallMs')::float / 1000) $$;
    CREATE TABLE chaos.claims AS
      SELECT (entry->>'workflowRunId')::uuid AS workflow_run_id, (entry->>'jobId')::uuid AS job_id,
        (entry->>'leaseExpiresAt')::timestamptz AS lease_expires_at, chaos.wall(entry->'sentAt') AS sent_at, entry AS brought
      FROM chaos.journal WHERE entry->>'type' = 'claimed';
    CREATE TABLE chaos.renewals AS
      SELECT (planned.entry->'input'->>'workflowRunId')::uuid AS workflow_run_id,
        (planned.entry->'input'->>'leaseSeconds')::int AS seconds, chaos.wall(answered.entry->'sentAt') AS sent_at
      FROM chaos.journal planned JOIN chaos.journal answered ON answered.entry->>'reportId' = planned.entry->'input'->>'reportId'
      WHERE planned.entry->>'type' = 'planned' AND planned.entry->>'kind' = 'renewal'
        AND answered.entry->>'type' = 'answered' AND answered.entry->>'code' IS NULL;
    DELETE FROM chaos.journal WHERE entry->>'kind' = 'renewal';
    CREATE TABLE chaos.reports AS
      SELECT (entry->'input'->>'reportId')::uuid AS report_id, (entry->'input'->>'workflowRunId')::uuid AS workflow_run_id,
        entry->>'kind' = 'usage' AS is_usage, entry->>'kind' AS kind, entry->>'kind' NOT IN ('heartbeat', 'usage') AS is_guarded,
        entry->'input' AS input, coalesce(entry->'input'->'metrics', '{}') AS metrics,
        coalesce(entry->'input'->'usage', entry->'input'->'metrics'->'usage', '[]') AS calls
      FROM chaos.journal WHERE entry->>'type' = 'planned';
    CREATE UNIQUE INDEX ON chaos.reports (report_id, is_usage);
    CREATE TABLE chaos.answers AS
      SELECT (entry->>'reportId')::uuid AS report_id, entry->>'kind' = 'usage' AS is_usage, entry->>'code' AS code,
        (entry->>'leaseExpiresAt')::timestamptz AS lease_expires_at, chaos.wall(entry->'sentAt') AS sent_at
      FROM chaos.journal WHERE entry->>'type' = 'answered';
    CREATE TABLE chaos.sent AS
      SELECT id::uuid AS report_id, entry->>'kind' = 'usage' AS is_usage, count(*)::int AS times
      FROM chaos.journal, jsonb_array_elements_text(entry->'reportIds') AS id WHERE entry->>'type' = 'sent' GROUP BY 1, 2;
    -- What a worker did under a lease. Of one that goes by no clock, nothing is promised.
    CREATE TABLE chaos.acts AS
      SELECT (entry->>'workflowRunId')::uuid AS workflow_run_id, entry->>'type' AS type, chaos.wall(entry->'at') AS at,
        (entry->>'reportId')::uuid AS report_id
      FROM chaos.journal WHERE entry->>'type' IN ('begun', 'counted', 'stopped') AND NOT EXISTS (
        SELECT FROM chaos.journal careless
        WHERE careless.entry->>'type' = 'careless' AND careless.entry->'workflowRunId' = journal.entry->'workflowRunId');
    CREATE TABLE chaos.ended AS
      SELECT (entry->>'workflowRunId')::uuid AS workflow_run_id, entry->>'ending' AS ending
      FROM chaos.journal WHERE entry->>'type' = 'ended';
    CREATE TABLE chaos.effects AS
      SELECT entry->>'key' AS key, entry->>'receipt' AS receipt FROM chaos.journal WHERE entry->>'type' = 'effect';
    ANALYZE`);
}
