import { z } from "zod";
import { MAX_ITEMS, SHARE } from "../../jobs/bulk/action.ts";

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
  `Each job has its own result. The action is stored, and up to ${SHARE} of its jobs are done before the answer; what is left, also ` +
  "after a crash or a timeout of the database, is done by any server, and finishedAt is null until then: read the action again by " +
  "its id. TRY_AGAIN means that nothing of it was stored (section 6).";
