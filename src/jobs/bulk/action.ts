import { setImmediate as turn } from "node:timers/promises";
import { uuidv7 } from "uuidv7";
import type { BulkAction } from "../../db/generated/client/client.ts";
import { type BulkActionKind, JobState } from "../../db/generated/client/enums.ts";
import { type CommandContext, inSingleStatement } from "../../db/transaction.ts";
import { InvalidInputError, TryAgainError } from "../../errors.ts";
import type { Actor } from "../../log/event.ts";
import { redactText } from "../../log/redact.ts";
import { conditionsOf, type JobFilter } from "../filter.ts";
import type { JobSelection } from "../list.ts";
import { CHANGES, processItems } from "./batch.ts";
import { finishAction, idleActions, insertAction, pendingItems } from "./items.ts";

/**
 * One change of many jobs. First the action is stored with its jobs as its items, and then the items are done, a batch
 * in each transaction: a crash in between leaves items that are pending, and any server goes on with them.
 */

/** Jobs that one action may be about. */
export const MAX_ITEMS = 1000;
/** Items that one transaction does: it holds their jobs' rows while it does. */
const BATCH_SIZE = 100;
/** Actions that one sweep goes on with. */
const MAX_RESUMED = 100;

export interface CancelAiJobs {
  readonly filter: JobFilter;
  readonly reason: string;
  /** 1 to MAX_ITEMS. */
  readonly limit: number;
}

/**
 * Cancels the oldest jobs that match. Without states in the filter, those that can be cancelled; with states, those in
 * these states, and a job that cannot be cancelled is an item with its error.
 * @returns the action, unfinished where the database had no time for all of it: the server then goes on with it by
 *   itself. Or why the filter names no jobs; nothing was changed.
 * @throws TryAgainError where the action could not be stored: nothing was kept.
 */
export function cancelAiJobs(
  context: CommandContext,
  workspaceId: string,
  by: Actor,
  { filter, reason, limit }: CancelAiJobs,
): Promise<BulkAction | InvalidInputError> {
  return runBulkAction(context, workspaceId, by, { kind: "CANCEL", filter, limit, reason: redactText(reason) });
}

/** Queues the oldest jobs that match again, as `cancelAiJobs` cancels them; the same is returned and thrown. */
export function retryAiJobs(
  context: CommandContext,
  workspaceId: string,
  by: Actor,
  { filter, limit }: Omit<CancelAiJobs, "reason">,
): Promise<BulkAction | InvalidInputError> {
  return runBulkAction(context, workspaceId, by, { kind: "RETRY", filter, limit, reason: null });
}

interface BulkActionRequest {
  readonly kind: BulkActionKind;
  readonly filter: JobFilter;
  readonly limit: number;
  readonly reason: string | null;
}

/** Stores an action and does it to its end. What is stored is not to be sent again, so a failure after that is none. */
async function runBulkAction(
  context: CommandContext,
  workspaceId: string,
  { actor, actorId }: Actor,
  request: BulkActionRequest,
): Promise<BulkAction | InvalidInputError> {
  const { kind, filter } = request;
  const refusal = refuseFilter(filter);
  if (refusal) return refusal;
  const id = uuidv7();
  const action = { ...request, id, workspaceId, actor, actorId };
  await inSingleStatement(context, (db) => insertAction(db, action, narrowToChangeable(kind, filter)));
  try {
    await processRemaining(context, id);
  } catch (error) {
    if (!(error instanceof TryAgainError)) throw error;
  }
  return context.prisma.bulkAction.findUniqueOrThrow({ where: { id } });
}

/**
 * Why a bulk action does not take this filter; null where it does. One that gives no condition would change every job
 * of the workspace, and an empty list none: neither is likely to be meant.
 */
function refuseFilter(filter: JobFilter): InvalidInputError | null {
  const conditions = conditionsOf(filter);
  const hasEmptyList = conditions.some(({ isEmpty }) => isEmpty);
  if (conditions.length > 0 && !hasEmptyList) return null;
  const message = hasEmptyList ? "An empty list names no jobs: leave it out, or fill it." : "Name at least one thing.";
  return new InvalidInputError(["input", "filter"], `${message} Nothing was changed.`);
}

/**
 * Whoever names states means these, and hears of each job why it cannot be changed. Whoever names none means the jobs
 * that can be changed: others would only use up the limit.
 */
function narrowToChangeable(kind: BulkActionKind, filter: JobFilter): JobSelection {
  if (filter.states) return filter;
  return { ...filter, states: Object.values(JobState).filter(CHANGES[kind].canChange), withinBudget: kind === "RETRY" };
}

/**
 * Does what is left of an action. Several may do so at once: each item is done once.
 * @returns whether the action has been finished; not where the signal ended it between two batches.
 */
async function processRemaining(context: CommandContext, actionId: string, signal?: AbortSignal): Promise<boolean> {
  const { prisma } = context;
  const action = await prisma.bulkAction.findUniqueOrThrow({ where: { id: actionId } });
  while (!signal?.aborted) {
    const items = await pendingItems(prisma, actionId, BATCH_SIZE);
    if (items.length === 0) {
      await inSingleStatement(context, (db) => finishAction(db, actionId));
      return true;
    }
    await processItems(context, action, items);
    // The embedded database works in this thread: others get their turn between two batches.
    await turn();
  }
  return false;
}

/**
 * Goes on with actions that were left half way: by a crash, or by a database that had no time. Safe with several
 * servers, and beside whoever began the action.
 * @param idleSeconds how long nothing must have been heard of an action, so that nobody is likely at work on it.
 * @param signal ends it after the batch that is under way.
 * @returns how many actions were finished.
 * @throws AggregateError of what went wrong, when every action has had its turn.
 */
export async function resumeBulkActions(
  context: CommandContext,
  idleSeconds: number,
  signal?: AbortSignal,
): Promise<number> {
  const failures: unknown[] = [];
  let finished = 0;
  const actionIds = await idleActions(context.prisma, idleSeconds, MAX_RESUMED);
  for (const actionId of actionIds) {
    try {
      if (await processRemaining(context, actionId, signal)) finished += 1;
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, `Bulk actions still unfinished: ${failures.length}.`);
  return finished;
}
