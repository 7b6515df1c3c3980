import type { JobKind } from "../db/generated/client/enums.ts";
import { InvalidInputError } from "../errors.ts";

/** What can be asked about usage, and what of it is refused (section 14). */

/** The intervals, in UTC: the length of each in hours, and the most of them that one read covers. */
export const USAGE_INTERVALS = {
  HOUR: { hours: 1, max: 744, description: "An hour; at most 744 of them at once, which is 31 days." },
  DAY: { hours: 24, max: 366, description: "A day of UTC; at most 366 of them at once." },
} as const;
export type UsageInterval = keyof typeof USAGE_INTERVALS;

/** What rows can be kept apart by: the columns of usage_intervals that do, and how they are selected. */
export const USAGE_GROUPS = {
  KIND: { columns: ["job_kind"], select: 'upper(job_kind::text) AS "jobKind"', description: "The kind of the jobs." },
  STATE: {
    columns: ["state_code"],
    select: 'state_code AS "stateCode"',
    description:
      "The state in which jobs ended. A row then has what these jobs have used since they were submitted or last retried, " +
      "whenever that was; what they use after they ended counts in the interval in which it is reported.",
  },
  MODEL: {
    columns: ["provider", "model"],
    select: "provider, model",
    description:
      "The provider and the model: calls of models alone. Of the metrics a row has inputTokens, outputTokens and totalTokens, " +
      "and a job is counted in the row of each model that it had called when it ended.",
  },
  LABEL: {
    columns: ["label_value"],
    select: "label_value AS label",
    description: "The value of the label `labelKey`: jobs that have it alone.",
  },
  PROTOCOL: {
    columns: ["protocol_id"],
    select: 'protocol_id AS "protocolId"',
    description: "The protocol of the jobs.",
  },
} as const satisfies Record<
  string,
  { readonly columns: readonly string[]; readonly select: string; readonly description: string }
>;
export type UsageGroup = keyof typeof USAGE_GROUPS;

/** The most groups of a read. */
export const MAX_GROUPS = 2;

export interface UsageQuery {
  /** The start of the first interval. */
  readonly from: Date;
  /** The end of the last one. */
  readonly to: Date;
  readonly interval: UsageInterval;
  readonly groupBy: readonly UsageGroup[];
  /** A key that the workspace has declared; for LABEL, and only for it. */
  readonly labelKey?: string | null | undefined;
  /** Only jobs of these kinds; left out, of all. */
  readonly kinds?: readonly JobKind[] | null | undefined;
  /** Only jobs of this protocol. */
  readonly protocolId?: string | null | undefined;
  /** Whether percentiles are asked for, which is most of the work; left out, they are. Without, they are null. */
  readonly withTimes?: boolean;
}

/** @returns why a question is refused; null where it is not. Whether the label is declared, the database knows. */
export function usageFault(query: UsageQuery): InvalidInputError | null {
  return timeFault(query) ?? groupFault(query);
}

const HOUR_MS = 3_600_000;

function timeFault({ from, to, interval }: UsageQuery): InvalidInputError | null {
  const { hours, max } = USAGE_INTERVALS[interval];
  const length = hours * HOUR_MS;
  const word = interval.toLowerCase();
  // Before the time that is asked for, and after it: all of it is in the answer.
  const starts = { from: Math.floor(from.getTime() / length) * length, to: Math.ceil(to.getTime() / length) * length };
  for (const [name, given] of [["from", from] as const, ["to", to] as const]) {
    if (starts[name] === given.getTime()) continue;
    return new InvalidInputError(
      [name],
      `\`${name}\` must be the start of ${interval === "HOUR" ? "an" : "a"} ${word} in UTC, such as ${new Date(starts[name]).toISOString()}.`,
    );
  }
  if (from >= to)
    return new InvalidInputError(["to"], "`to` must be after `from`: it is the end of the last interval.");
  if (to.getTime() - from.getTime() <= max * length) return null;
  const latest = new Date(from.getTime() + max * length).toISOString();
  return new InvalidInputError(
    ["to"],
    `At most ${max} ${word}s at once: send ${latest} or earlier, or longer intervals.`,
  );
}

function groupFault({ groupBy, labelKey }: UsageQuery): InvalidInputError | null {
  if (groupBy.length > MAX_GROUPS || new Set(groupBy).size < groupBy.length)
    return new InvalidInputError(["groupBy"], `At most ${MAX_GROUPS} groups, each once.`);
  const isByLabel = groupBy.includes("LABEL");
  const isGiven = typeof labelKey === "string";
  if (isByLabel === isGiven) return null;
  const message = isByLabel
    ? "LABEL needs `labelKey`, a key that the workspace declared by setUsageLabels."
    : "`labelKey` is for `groupBy: [LABEL]`. Leave it out, or group by LABEL.";
  return new InvalidInputError(["labelKey"], message);
}
