import { type ScopedId, scopedIdTable } from "../../db/batched-read.ts";
import type { BulkAction, BulkActionItem } from "../../db/generated/client/client.ts";
import type { Transaction } from "../../db/transaction.ts";
import { type JobFilter, toStoredFilter } from "../filter.ts";
import { type JobSelection, selectOldestJobs } from "../list.ts";

/** What is kept of bulk actions: the action, its items in their order, and what came of each. All of it by SQL. */

/** An action as a person asked for it. */
export type NewBulkAction = Omit<BulkAction, "filter" | "createdAt" | "finishedAt"> & {
  readonly filter: JobFilter;
  /** Jobs that it is about, at most. */
  readonly limit: number;
};

/**
 * Stores an action with the jobs that match, oldest first, as its items, in one statement. Nothing is locked: whoever
 * does an item judges its job again.
 * @param selection the filter, narrowed to what the action can change.
 */
export async function insertAction(db: Transaction, action: NewBulkAction, selection: JobSelection): Promise<void> {
  const { id, workspaceId, kind, filter, limit, reason, actor, actorId } = action;
  await db.$executeRaw`
    WITH workspace AS (
      INSERT INTO workspaces (workspace_id) VALUES (${workspaceId}::uuid) ON CONFLICT DO NOTHING
    ), action AS (
      INSERT INTO bulk_actions (id, workspace_id, kind, filter, reason, actor, actor_id, created_at)
      VALUES (${id}::uuid, ${workspaceId}::uuid, lower(${kind})::"BulkActionKind", ${JSON.stringify(toStoredFilter(filter))}::jsonb,
        ${reason}, lower(${actor})::"RecorderActor", ${actorId}, clock_timestamp())
    )
    INSERT INTO bulk_action_items (workspace_id, bulk_action_id, position, job_id)
    SELECT ${workspaceId}::uuid, ${id}::uuid, row_number() OVER (ORDER BY created_at, job_id), job_id
    FROM (${selectOldestJobs(workspaceId, selection, limit)}) AS matching`;
}

/** A job of an action, and where it stands in it. */
export type Item = Pick<BulkActionItem, "position" | "jobId">;

/** The next items that nobody has done, without a lock: each is to be looked at again under its job's. */
export function pendingItems(db: Transaction, actionId: string, limit: number): Promise<Item[]> {
  return db.$queryRaw<Item[]>`
    SELECT position, job_id AS "jobId" FROM bulk_action_items
    WHERE bulk_action_id = ${actionId}::uuid AND finished_at IS NULL ORDER BY position LIMIT ${limit}`;
}

/** Those of these items that are still to be done, now that this transaction holds their jobs. */
export function lockPending(tx: Transaction, actionId: string, items: readonly Item[]): Promise<Item[]> {
  const positions = items.map(({ position }) => position);
  return tx.$queryRaw<Item[]>`
    SELECT position, job_id AS "jobId" FROM bulk_action_items
    WHERE bulk_action_id = ${actionId}::uuid AND position = ANY(${positions}::int[]) AND finished_at IS NULL
    ORDER BY position FOR UPDATE`;
}

export interface Outcome {
  readonly position: number;
  /** Why its job was left as it is; null where it was changed. */
  readonly error: object | null;
}

/** Writes what came of items that this transaction holds. */
export async function writeOutcomes(tx: Transaction, actionId: string, outcomes: readonly Outcome[]): Promise<void> {
  if (outcomes.length === 0) return;
  await tx.$executeRaw`
    UPDATE bulk_action_items i SET finished_at = clock_timestamp(), error = o.error
    FROM json_to_recordset(${JSON.stringify(outcomes)}::json) AS o(position int, error jsonb)
    WHERE i.bulk_action_id = ${actionId}::uuid AND i.position = o.position`;
}

/** Notes that every item has been done, unless somebody has. */
export async function finishAction(db: Transaction, actionId: string): Promise<void> {
  await db.$executeRaw`
    UPDATE bulk_actions SET finished_at = clock_timestamp() WHERE id = ${actionId}::uuid AND finished_at IS NULL`;
}

/** Unfinished actions of which nothing was heard for so many seconds, oldest first. */
export async function idleActions(db: Transaction, idleSeconds: number, limit: number): Promise<readonly string[]> {
  const rows = await db.$queryRaw<{ id: string }[]>`
    SELECT id FROM bulk_actions a
    WHERE finished_at IS NULL AND clock_timestamp() - make_interval(secs => ${idleSeconds}) >= greatest(created_at,
      (SELECT max(i.finished_at) FROM bulk_action_items i WHERE i.bulk_action_id = a.id))
    ORDER BY created_at, id LIMIT ${limit}`;
  return rows.map(({ id }) => id);
}

/** How many items an action has, and what came of them. */
export interface ItemCounts {
  readonly total: number;
  readonly succeeded: number;
  readonly failed: number;
}

/** The counts of an action that has items. */
export type ActionCounts = ItemCounts & Pick<BulkActionItem, "bulkActionId" | "workspaceId">;

/** The counts of several actions; no row for an action without items. */
export function countItems(db: Transaction, actions: readonly ScopedId[]): Promise<ActionCounts[]> {
  return db.$queryRaw<ActionCounts[]>`
    SELECT bulk_action_id AS "bulkActionId", workspace_id AS "workspaceId", count(*)::int AS total, count(error)::int AS failed,
      count(*) FILTER (WHERE finished_at IS NOT NULL AND error IS NULL)::int AS succeeded
    FROM ${scopedIdTable(actions)}
    JOIN bulk_action_items ON bulk_action_id = asked_id AND workspace_id = asked_workspace_id
    GROUP BY bulk_action_id, workspace_id`;
}

/** The items of several actions, those of an action in their order; an action has at most 1,000. */
export function listItemsOf(db: Transaction, actions: readonly ScopedId[]): Promise<BulkActionItem[]> {
  return db.bulkActionItem.findMany({
    where: {
      bulkActionId: { in: actions.map(({ id }) => id) },
      workspaceId: { in: actions.map((action) => action.workspaceId) },
    },
    orderBy: [{ bulkActionId: "asc" }, { position: "asc" }],
  });
}
