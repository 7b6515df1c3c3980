import { z } from "zod";
import { MAX_ITEMS } from "../../jobs/bulk/action.ts";
import { SHARE } from "../../jobs/bulk/shares.ts";

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
  `Each job has its own result. The action is stored, and up to ${SHARE} of its jobs are processed before the answer. The servers process ` +
  "the rest afterwards, also if a crash or a timeout of the database interrupts them. Until then finishedAt is null: load the action " +
  "again by its id. TRY_AGAIN means that nothing of it was stored (section 6).";
