import { type ScopedId, scopedIdTable } from "../../db/batched-read.ts";
import { type BulkAction, type BulkActionItem, Prisma } from "../../db/generated/client/client.ts";
import { type Slice, sliceClauses } from "../../db/slice.ts";
import type { Transaction } from "../../db/transaction.ts";
import { makeWorkspace } from "../../identity/workspaces.ts";
import { type JobFilter, toStoredFilter } from "../filter.ts";
import { type JobSelection, selectOldestJobs } from "../list.ts";

/** The SQL of bulk actions: storing an action with its items, processing the items, and reading them. */

/** An action that is to be stored. */
export type NewBulkAction = Pick<BulkAction, "id" | "workspaceId" | "kind" | "reason" | "actor" | "actorId"> & {
  readonly filter: JobFilter;
  /** The largest number of jobs that become items. */
  readonly limit: number;
};

/**
 * Stores an action with the oldest matching jobs as its items, in one statement. It locks no job: each is checked again when
 * its item is processed.
 * @param selection the filter of the action, limited to jobs that it can change.
 * @returns whether it is stored: not in a workspace that is not there, where one must have been made.
 */
export async function insertAction(
  db: Transaction,
  action: NewBulkAction,
  selection: JobSelection,
  workspacesMustExist = false,
): Promise<boolean> {
  const { id, workspaceId, kind, filter, limit, reason, actor, actorId } = action;
  const ofWorkspace = workspacesMustExist
    ? Prisma.sql`FROM workspaces WHERE workspace_id = ${workspaceId}::uuid`
    : Prisma.empty;
  const stored = await db.$queryRaw<unknown[]>`
    WITH ${workspacesMustExist ? Prisma.empty : Prisma.sql`workspace AS (${makeWorkspace(workspaceId)}),`} action AS (
      INSERT INTO bulk_actions (id, workspace_id, kind, filter, reason, actor, actor_id, created_at)
      SELECT ${id}::uuid, ${workspaceId}::uuid, lower(${kind})::"BulkActionKind", ${JSON.stringify(toStoredFilter(filter))}::jsonb,
        ${reason}, lower(${actor})::"RecorderActor", ${actorId}, clock_timestamp() ${ofWorkspace}
      RETURNING id
    ), items AS (
      INSERT INTO bulk_action_items (workspace_id, bulk_action_id, position, job_id)
      SELECT ${workspaceId}::uuid, ${id}::uuid, row_number() OVER (ORDER BY created_at, job_id), job_id
      FROM (${selectOldestJobs(workspaceId, selection, limit)}) AS matching
    )
    SELECT id FROM action`;
  return stored.length > 0;
}

/** A job of an action, with its position among the items, from 1. */
export type Item = Pick<BulkActionItem, "position" | "jobId">;

/** @returns the next unprocessed items, by position. Nothing is locked: each must be checked again under its job's lock. */
export function pendingItems(db: Transaction, actionId: string, limit: number): Promise<Item[]> {
  return db.$queryRaw<Item[]>`
    SELECT position, job_id AS "jobId" FROM bulk_action_items
    WHERE bulk_action_id = ${actionId}::uuid AND finished_at IS NULL ORDER BY position LIMIT ${limit}`;
}

/** Locks an action until the transaction ends, without waiting. @returns false if another transaction has locked it. */
export async function tryLock(tx: Transaction, actionId: string): Promise<boolean> {
  const [row] = await tx.$queryRaw<{ isLocked: boolean }[]>`
    SELECT pg_try_advisory_xact_lock(hashtextextended(${actionId}, 0)) AS "isLocked"`;
  return row?.isLocked ?? false;
}

/** @returns those of these items that are still unprocessed, locked. The transaction must have locked their jobs before. */
export function lockPending(tx: Transaction, actionId: string, items: readonly Item[]): Promise<Item[]> {
  const positions = items.map(({ position }) => position);
  return tx.$queryRaw<Item[]>`
    SELECT position, job_id AS "jobId" FROM bulk_action_items
    WHERE bulk_action_id = ${actionId}::uuid AND position = ANY(${positions}::int[]) AND finished_at IS NULL
    ORDER BY position FOR UPDATE`;
}

/** The outcome of a processed item. */
export interface Outcome {
  readonly position: number;
  /** Why its job was not changed, as `toStored` returns it; null where it was changed. */
  readonly error: object | null;
}

/** Stores the outcomes of items that this transaction has locked, and marks the items as processed. */
export async function writeOutcomes(tx: Transaction, actionId: string, outcomes: readonly Outcome[]): Promise<void> {
  if (outcomes.length === 0) return;
  await tx.$executeRaw`
    UPDATE bulk_action_items i SET finished_at = clock_timestamp(), error = o.error
    FROM json_to_recordset(${JSON.stringify(outcomes)}::json) AS o(position int, error jsonb)
    WHERE i.bulk_action_id = ${actionId}::uuid AND i.position = o.position`;
}

/** Marks an action as finished; one that is already finished keeps its time. */
export async function finishAction(db: Transaction, actionId: string): Promise<void> {
  await db.$executeRaw`
    UPDATE bulk_actions SET finished_at = clock_timestamp() WHERE id = ${actionId}::uuid AND finished_at IS NULL`;
}

/** @returns the ids of unfinished actions of which no item was processed for `idleSeconds`, oldest first. */
export async function idleActions(db: Transaction, idleSeconds: number, limit: number): Promise<readonly string[]> {
  const rows = await db.$queryRaw<{ id: string }[]>`
    SELECT id FROM bulk_actions
    WHERE finished_at IS NULL
      AND coalesce(progressed_at, created_at) <= clock_timestamp() - make_interval(secs => ${idleSeconds})
    ORDER BY created_at, id LIMIT ${limit}`;
  return rows.map(({ id }) => id);
}

/**
 * Lists a workspace's actions, newest first: their ids are UUIDv7.
 * @returns the actions of the slice; oldest first where the slice counts from the end.
 */
export function listActions(
  db: Transaction,
  workspaceId: string,
  { limit, after, before, fromEnd }: Slice<string>,
): Promise<BulkAction[]> {
  return db.bulkAction.findMany({
    where: {
      workspaceId,
      id: { ...(after === undefined ? {} : { lt: after }), ...(before === undefined ? {} : { gt: before }) },
    },
    orderBy: { id: fromEnd ? "asc" : "desc" },
    take: limit,
  });
}

const ITEM_COLUMNS = Prisma.sql`workspace_id AS "workspaceId", bulk_action_id AS "bulkActionId", position, job_id AS "jobId",
  finished_at AS "finishedAt", error`;

/** Which items of an action. */
export interface ItemSlice {
  readonly slice: Slice<number>;
  /** Only those whose jobs were left unchanged. */
  readonly onlyFailed: boolean;
}

/** @returns the items of several actions, those of one action by position. */
export function listItemsOf(
  db: Transaction,
  actions: readonly ScopedId[],
  { slice, onlyFailed }: ItemSlice,
): Promise<BulkActionItem[]> {
  return db.$queryRaw<BulkActionItem[]>`
    SELECT ${ITEM_COLUMNS} FROM ${scopedIdTable(actions)}, LATERAL (
      SELECT * FROM bulk_action_items WHERE bulk_action_id = requested_id AND workspace_id = requested_workspace_id
      ${onlyFailed ? Prisma.sql`AND error IS NOT NULL` : Prisma.empty}
      ${sliceClauses(Prisma.sql`position`, slice)}) AS item`;
}
