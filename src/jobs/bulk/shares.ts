import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { allWorkspaces, within } from "../../db/scope.ts";
import { type CommandContext, inSingleStatement } from "../../db/transaction.ts";
import { processItems } from "./batch.ts";
import { finishAction, idleActions, pendingItems } from "./items.ts";

/** How bulk actions are processed: a share of their items at a time, first by the request that stored them, then by maintenance. */

/** Items that a request processes before it answers, and that maintenance processes of one action before it turns to the next. */
export const SHARE = 1000;
/** Items per transaction. The transaction locks their jobs' rows, so other changes of these jobs wait for it. */
const BATCH_SIZE = 100;
/** An action is found by its id, and tells its workspace, in which its jobs are then changed. */
const BULK = allWorkspaces("bulk");
/** The largest number of actions that maintenance takes up at once. */
const MAX_RESUMED = 100;

/** How an action stands after a share of it: finished, with items left, or in the hands of another server. */
type ShareResult = "FINISHED" | "ITEMS_LEFT" | "TAKEN";

/**
 * Processes the next items of an action, at most `SHARE`. Each item is processed once, even if several servers try at the same time.
 * @param signal stops the work between two batches.
 */
export async function processShare(
  context: CommandContext,
  actionId: string,
  signal?: AbortSignal,
): Promise<ShareResult> {
  const { prisma } = context;
  const action = await within(BULK, () => prisma.bulkAction.findUniqueOrThrow({ where: { id: actionId } }));
  const scope = [action.workspaceId];
  let done = 0;
  while (!signal?.aborted) {
    const items = await within(scope, () => pendingItems(prisma, actionId, BATCH_SIZE));
    if (items.length === 0) {
      await inSingleStatement(context, scope, (db) => finishAction(db, actionId));
      return "FINISHED";
    }
    if (done >= SHARE) break;
    if (!(await processItems(context, action, items))) return "TAKEN";
    done += items.length;
    // The embedded database runs in this thread. Without a pause, other requests would wait for the whole action.
    await yieldToEventLoop();
  }
  return "ITEMS_LEFT";
}

/**
 * Continues actions that are too large for their request, or that a crash or a busy database left unfinished: a share of each in
 * turn, so that a small one does not wait for a large one. An action that another server is processing is left to that server.
 * @param idleSeconds only actions of which no item was processed for so long are taken up, so that servers seldom repeat each
 *   other's work.
 * @param signal stops the work after the current batch.
 * @returns the number of actions that were finished.
 * @throws AggregateError with all errors, after each action has had its turn. The next call tries the failed ones again.
 */
export async function resumeBulkActions(
  context: CommandContext,
  idleSeconds: number,
  signal?: AbortSignal,
): Promise<number> {
  const failures: unknown[] = [];
  // Left out from then on: this call would only ask, again and again without a pause, whether the other server still has them.
  const taken = new Set<string>();
  let finished = 0;
  let unfinished: readonly string[] = [];
  while (failures.length === 0 && !signal?.aborted) {
    const idle = await within(BULK, () => idleActions(context.prisma, idleSeconds, MAX_RESUMED));
    const turn = new Set([...unfinished, ...idle.filter((id) => !taken.has(id))]);
    if (turn.size === 0) break;
    const left: string[] = [];
    for (const actionId of turn) {
      try {
        const result = await processShare(context, actionId, signal);
        if (result === "FINISHED") finished += 1;
        else if (result === "ITEMS_LEFT") left.push(actionId);
        else taken.add(actionId);
      } catch (error) {
        failures.push(error);
      }
    }
    unfinished = left;
  }
  if (failures.length > 0) throw new AggregateError(failures, `Bulk actions still unfinished: ${failures.length}.`);
  return finished;
}
