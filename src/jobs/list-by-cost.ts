import { InvalidInputError } from "../errors.ts";
import { USAGE_INTERVALS } from "../totals/usage-query.ts";
import type { JobFilter } from "./filter.ts";

/**
 * Jobs by what they cost. No index has the cost: each report of usage changes it, and each version of a job would have to keep it up to
 * date. All jobs that match are read and sorted for each page, so a list in this order needs bounds of when they were submitted.
 */

const { hours, max } = USAGE_INTERVALS.HOUR;
/** The most days between the bounds: as many as usage can be asked for by the hour. */
export const MAX_COST_DAYS = (hours * max) / 24;

/** @returns why jobs with this filter are not listed by their cost; null where they are. */
export function costFault({ createdAfter, createdBefore }: JobFilter): InvalidInputError | null {
  if (!createdAfter || !createdBefore)
    return new InvalidInputError(
      ["filter", createdAfter ? "createdBefore" : "createdAfter"],
      `COST needs \`createdAfter\` and \`createdBefore\` in the filter, at most ${MAX_COST_DAYS} days apart.`,
    );
  const latest = new Date(createdAfter.getTime() + MAX_COST_DAYS * 86_400_000);
  if (createdBefore <= latest) return null;
  return new InvalidInputError(
    ["filter", "createdBefore"],
    `At most ${MAX_COST_DAYS} days at once by COST: send ${latest.toISOString()} or earlier.`,
  );
}
