import { uuidv7 } from "uuidv7";
import type { BulkAction } from "../../db/generated/client/client.ts";
import { type BulkActionKind, JobState } from "../../db/generated/client/enums.ts";
import { within } from "../../db/scope.ts";
import { type CommandContext, inSingleStatement } from "../../db/transaction.ts";
import { InvalidInputError, NotFoundError, TryAgainError } from "../../errors.ts";
import type { Actor } from "../../log/event.ts";
import { redactText } from "../../log/redact.ts";
import { conditionsOf, type JobFilter } from "../filter.ts";
import type { JobSelection } from "../list.ts";
import { CHANGES } from "./batch.ts";
import { insertAction } from "./items.ts";
import { processShare } from "./shares.ts";

/**
 * Bulk actions: one change of many jobs (section 6). First the action is stored with the matching jobs as its items, then the
 * items are processed in batches, each in a transaction of its own. The request that stored the action processes the first share of
 * them; maintenance of any server processes the rest, also after a crash, because the pending items are stored.
 */

/** The largest number of jobs of one action. */
export const MAX_ITEMS = 100_000;

/** The input of a bulk cancellation. */
export interface CancelAiJobs {
  readonly filter: JobFilter;
  readonly reason: string;
  /** The largest number of jobs to cancel: 1 to MAX_ITEMS. */
  readonly limit: number;
}

/**
 * Cancels the oldest jobs that match (section 6). If the filter has no states, only jobs that can be cancelled are selected. If
 * it has states, jobs in these states are selected, and one that cannot be cancelled becomes an item with an error.
 * @returns the stored action. It is unfinished if it has more items than a request processes, or if the database was too busy for
 *   them; maintenance then continues it. Or InvalidInputError if the filter has no condition or an empty list, NotFoundError if
 *   there is no such workspace: nothing was changed.
 * @throws TryAgainError when the action could not be stored: nothing was kept.
 */
export function cancelAiJobs(
  context: CommandContext,
  workspaceId: string,
  by: Actor,
  { filter, reason, limit }: CancelAiJobs,
): Promise<BulkAction | BulkActionError> {
  return runBulkAction(context, workspaceId, by, { kind: "CANCEL", filter, limit, reason: redactText(reason) });
}

/** The input of a bulk retry. */
export type RetryAiJobs = Omit<CancelAiJobs, "reason">;

/** Queues again the oldest matching jobs that are failed or stalled. Selection, result and errors are as for `cancelAiJobs`. */
export function retryAiJobs(
  context: CommandContext,
  workspaceId: string,
  by: Actor,
  { filter, limit }: RetryAiJobs,
): Promise<BulkAction | BulkActionError> {
  return runBulkAction(context, workspaceId, by, { kind: "RETRY", filter, limit, reason: null });
}

/** Why a bulk action is not stored. */
type BulkActionError = NotFoundError | InvalidInputError;

interface BulkActionRequest {
  readonly kind: BulkActionKind;
  readonly filter: JobFilter;
  readonly limit: number;
  readonly reason: string | null;
}

/**
 * Stores an action and processes its items. Once the action is stored, TryAgainError is not passed on: it would tell the client
 * to send the request again, which would store a second action, while maintenance finishes the first one anyway.
 */
async function runBulkAction(
  context: CommandContext,
  workspaceId: string,
  { actor, actorId }: Actor,
  request: BulkActionRequest,
): Promise<BulkAction | BulkActionError> {
  const { kind, filter } = request;
  const refusal = checkFilter(filter);
  if (refusal) return refusal;
  const id = uuidv7();
  const action = { ...request, id, workspaceId, actor, actorId };
  const selection = narrowToChangeable(kind, filter);
  const isStored = await inSingleStatement(context, [workspaceId], (db) =>
    insertAction(db, action, selection, context.workspacesMustExist),
  );
  if (!isStored) return new NotFoundError("workspace");
  try {
    await processShare(context, id);
  } catch (error) {
    if (!(error instanceof TryAgainError)) throw error;
  }
  return within([workspaceId], () => context.prisma.bulkAction.findUniqueOrThrow({ where: { id } }));
}

/**
 * Refuses a filter without any condition, which would select every job of the workspace, and a filter with an empty list,
 * which would select none. Both are probably mistakes.
 * @returns why the filter is refused; null where it is accepted.
 */
function checkFilter(filter: JobFilter): InvalidInputError | null {
  const conditions = conditionsOf(filter);
  const hasEmptyList = conditions.some(({ isEmpty }) => isEmpty);
  if (conditions.length > 0 && !hasEmptyList) return null;
  const message = hasEmptyList
    ? "An empty list matches no job. Leave it out, or fill it."
    : "The filter needs at least one condition.";
  return new InvalidInputError(["input", "filter"], `${message} Nothing was changed.`);
}

/**
 * If the caller names states, jobs in exactly these states are selected, and those that cannot be changed are reported as items
 * with an error. If not, only jobs that can be changed are selected, since the others would only use up the limit.
 */
function narrowToChangeable(kind: BulkActionKind, filter: JobFilter): JobSelection {
  if (filter.states) return filter;
  return { ...filter, states: Object.values(JobState).filter(CHANGES[kind].canChange), withinBudget: kind === "RETRY" };
}
