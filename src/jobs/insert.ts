import { randomUUID } from "node:crypto";
import { type AiJob, Prisma } from "../db/generated/client/client.ts";
import { JOB_FIELDS, type JobField } from "../db/job-columns.ts";
import type { Label } from "../db/job-labels.ts";
import { PREPARE_MARKER } from "../db/prepared.ts";
import { selectList, snakeCase, toRecord, toRecordset } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { makeWorkspace } from "../identity/workspaces.ts";
import { EVENT_INSERT_COLUMNS } from "../log/columns.ts";
import { type EventDraft, eventOf } from "../log/event.ts";
import { canonicalText } from "../log/hash.ts";

/** Writes the first version of a job, and its labels. */

/**
 * The columns whose values only the database knows, with their SQL expressions: the position in the log and the time, and
 * therefore the hash, which covers both.
 */
const DATABASE_EXPRESSIONS = {
  orderXid: "log_position.order_xid",
  chainHash: "log_position.hash",
  createdAt: "log_position.now",
  updatedAt: "log_position.now",
} as const satisfies Partial<Record<JobField, string>>;

/** A new job without the columns whose values only the database knows. */
export type NewJob = Omit<AiJob, keyof typeof DATABASE_EXPRESSIONS>;

const COLUMNS = Prisma.raw(JOB_FIELDS.map(snakeCase).join(", "));
const VALUES = Prisma.raw(JOB_FIELDS.map(valueOf).join(", "));

/** The columns that are read back. All others are stored as sent: none uses a default, and no trigger changes one. */
const RETURNED = JOB_FIELDS.filter(isSetByDatabase);
const RETURNED_LIST = selectList(RETURNED);
const RETURNED_COLUMNS = Prisma.raw(RETURNED.map(snakeCase).join(", "));

const EVENT_NAMES = EVENT_INSERT_COLUMNS.map(({ column }) => column);
const EVENT_COLUMNS = Prisma.raw(EVENT_NAMES.join(", "));
const EVENT_COLUMNS_OF_E = Prisma.raw(EVENT_NAMES.map((name) => `e.${name}`).join(", "));

function valueOf(field: JobField): string {
  return isSetByDatabase(field) ? DATABASE_EXPRESSIONS[field] : `job.${snakeCase(field)}`;
}

function isSetByDatabase(field: JobField): field is keyof typeof DATABASE_EXPRESSIONS {
  return Object.hasOwn(DATABASE_EXPRESSIONS, field);
}

/** Stands in for the position and the time of the event until the statement sets them. */
const PLACEHOLDER_POSITION = { orderXid: 0n, recordedAt: new Date(0) };

/**
 * Inserts a job as `queued`, version 1, with its event, and inserts its workspace if this is the first job of it, where a
 * workspace need not have been made. It is one statement, so it needs no transaction around it.
 *
 * The event's hash covers the transaction id and the database's time, which are known only there. So the hashed text is sent
 * with a placeholder for each of the two, and the statement replaces them and computes the hash. The placeholders are random
 * UUIDs: a fixed text could also occur in what a client submitted, and would be replaced there, too.
 * @param labels the job's labels, as many as its `labelCount` says. The statement of a job without any is the same as ever.
 * @returns the job as stored; undefined where the workspace already has a job with this idempotency key. Nothing was written
 *   then.
 */
export async function insertJob(
  db: Transaction,
  job: NewJob,
  labels: readonly Label[],
  draft: EventDraft,
  workspacesMustExist = false,
): Promise<AiJob | undefined> {
  const event = eventOf(job, undefined, draft, PLACEHOLDER_POSITION);
  const placeholders = { orderXid: randomUUID(), recordedAt: randomUUID() };
  const text = canonicalText(event, placeholders.orderXid, placeholders.recordedAt);
  const [row] = await db.$queryRaw<Pick<AiJob, keyof typeof DATABASE_EXPRESSIONS>[]>`
    ${PREPARE_MARKER} WITH clock AS MATERIALIZED (
      SELECT current_order_xid() AS order_xid, date_trunc('milliseconds', clock_timestamp()) AS now
    ), log_position AS MATERIALIZED (
      SELECT order_xid, now, encode(sha256(convert_to(
        replace(replace(${text}, ${placeholders.orderXid}, order_xid::text),
          ${placeholders.recordedAt}, to_char(now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')),
        'UTF8')), 'hex') AS hash
      FROM clock
    ), ${workspacesMustExist ? Prisma.empty : Prisma.sql`workspace AS (${makeWorkspace(job.workspaceId)}),`} submitted AS (
      INSERT INTO ai_jobs (${COLUMNS}) SELECT ${VALUES}
      FROM log_position, json_populate_recordset(NULL::ai_jobs, ${toRecordset([job])}) AS job
      ON CONFLICT (workspace_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
      RETURNING ${RETURNED_COLUMNS}
    ), recorded AS (
      INSERT INTO flight_recorder_events (${EVENT_COLUMNS}) SELECT ${EVENT_COLUMNS_OF_E} FROM submitted, jsonb_populate_record(NULL::flight_recorder_events, ${JSON.stringify(toRecord(event))}::jsonb
        || jsonb_build_object('order_xid', order_xid, 'recorded_at', created_at, 'hash', chain_hash)) AS e
    )${labels.length === 0 ? Prisma.empty : labelsCte(job, labels)}
    SELECT ${RETURNED_LIST} FROM submitted`;
  return row && { ...job, ...row };
}

function labelsCte({ workspaceId, jobId }: NewJob, labels: readonly Label[]): Prisma.Sql {
  return Prisma.sql`, labelled AS (
    INSERT INTO job_labels (workspace_id, job_id, key, value, created_at)
    SELECT ${workspaceId}::uuid, ${jobId}::uuid, key, value, created_at FROM submitted,
      json_to_recordset(${JSON.stringify(labels)}::json) AS label (key text, value text)
  )`;
}
