import { randomUUID } from "node:crypto";
import { type AiJob, Prisma } from "../db/generated/client/client.ts";
import { JOB_FIELDS, type JobField } from "../db/job-columns.ts";
import { FORCED_GENERIC_PLAN } from "../db/prepared.ts";
import { selectList, snakeCase, toRecord, toRecordset } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { type EventDraft, eventOf } from "../log/event.ts";
import { canonicalText } from "../log/hash.ts";

/** How a job's first version is written. */

/** What only the database knows of a new job, by its expressions: its place in the log, its time, and so its hash. */
const DATABASE_EXPRESSIONS = {
  orderXid: "place.order_xid",
  chainHash: "place.hash",
  createdAt: "place.now",
  updatedAt: "place.now",
} as const satisfies Partial<Record<JobField, string>>;

/** A new job, but for what only the database knows. */
export type NewJob = Omit<AiJob, keyof typeof DATABASE_EXPRESSIONS>;

const COLUMNS = Prisma.raw(JOB_FIELDS.map(snakeCase).join(", "));
const VALUES = Prisma.raw(JOB_FIELDS.map(valueOf).join(", "));

/** What is read back. All else is stored as it was sent: no column is left to a default, and no trigger changes one. */
const RETURNED = JOB_FIELDS.filter(isSetByDatabase);
const RETURNED_LIST = selectList(RETURNED);
const RETURNED_COLUMNS = Prisma.raw(RETURNED.map(snakeCase).join(", "));

function valueOf(field: JobField): string {
  return isSetByDatabase(field) ? DATABASE_EXPRESSIONS[field] : `job.${snakeCase(field)}`;
}

function isSetByDatabase(field: JobField): field is keyof typeof DATABASE_EXPRESSIONS {
  return Object.hasOwn(DATABASE_EXPRESSIONS, field);
}

/** Only the database knows a new job's place in the log and its time: the statement puts them into the event. */
const PLACEHOLDER_POSITION = { orderXid: 0n, recordedAt: new Date(0) };

/**
 * Inserts a job as `queued`, version 1, with its event, and the workspace where it is the first of one.
 *
 * One statement does it all, so that it needs no transaction around it. The hash covers the transaction's id and the
 * database's clock: its text goes there with a mark for each of the two, which nobody outside can know beforehand.
 * @returns undefined where the workspace has a job with this idempotency key already; nothing was written then.
 */
export async function insertJob(db: Transaction, job: NewJob, draft: EventDraft): Promise<AiJob | undefined> {
  const event = eventOf(job, undefined, draft, PLACEHOLDER_POSITION);
  const placeholders = { orderXid: randomUUID(), recordedAt: randomUUID() };
  const text = canonicalText(event, placeholders.orderXid, placeholders.recordedAt);
  const [row] = await db.$queryRaw<Pick<AiJob, keyof typeof DATABASE_EXPRESSIONS>[]>`
    ${FORCED_GENERIC_PLAN} WITH here AS MATERIALIZED (
      SELECT current_order_xid() AS order_xid, date_trunc('milliseconds', clock_timestamp()) AS now
    ), place AS MATERIALIZED (
      SELECT order_xid, now, encode(sha256(convert_to(
        replace(replace(${text}, ${placeholders.orderXid}, order_xid::text),
          ${placeholders.recordedAt}, to_char(now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')),
        'UTF8')), 'hex') AS hash
      FROM here
    ), workspace AS (
      INSERT INTO workspaces (workspace_id) VALUES (${job.workspaceId}::uuid) ON CONFLICT DO NOTHING
    ), submitted AS (
      INSERT INTO ai_jobs (${COLUMNS}) SELECT ${VALUES}
      FROM place, json_populate_recordset(NULL::ai_jobs, ${toRecordset([job])}) AS job
      ON CONFLICT (workspace_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
      RETURNING ${RETURNED_COLUMNS}
    ), recorded AS (
      INSERT INTO flight_recorder_events
      SELECT e.* FROM submitted, jsonb_populate_record(NULL::flight_recorder_events, ${JSON.stringify(toRecord(event))}::jsonb
        || jsonb_build_object('order_xid', order_xid, 'recorded_at', created_at, 'hash', chain_hash)) AS e
    )
    SELECT ${RETURNED_LIST} FROM submitted`;
  return row && { ...job, ...row };
}
