import { z } from "zod";
import { MAX_ITEMS } from "../../jobs/bulk/action.ts";

/** What `cancelAiJobs` and `retryAiJobs` have in common. */

/** The argument `limit` of both. */
export const limit = {
  required: true,
  defaultValue: 100,
  validate: z.int().min(1).max(MAX_ITEMS),
  description: `The largest number of jobs, 1 to ${MAX_ITEMS}. If more match, the oldest are taken.`,
} as const;

/** The part of the `filter` argument's description that is the same for both. */
export const FILTER_RULE = "Selects the jobs. At least one condition is required, and no list may be empty.";

/** The part of the mutation's description that is the same for both. */
export const BULK_BEHAVIOUR =
  "Each job has its own result. The action is stored: if the server crashes or the database times out half way, it is " +
  "continued later, and its finishedAt is null until then. TRY_AGAIN means that nothing of it was stored (section 6).";

/**
 * What the mutation costs. The type `BulkAction` counts its items as if there were `MAX_ITEMS` of them, because it does
 * not know the limit; here that is corrected to the limit that was asked for. Otherwise an action of ten jobs would be
 * refused as if it had a thousand.
 */
export function complexityOf({ input }: { readonly input: { readonly limit: number } }) {
  return { field: 1, multiplier: input.limit / MAX_ITEMS };
}
