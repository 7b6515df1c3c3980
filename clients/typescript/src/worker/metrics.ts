import type { MetricsDelta, ModelUsageInput } from "../api/generated.ts";

/** What a step counts beside its calls of models. Whole numbers from 0. */
export interface StepMetrics {
  /** How many entities it has read, such as documents, rows or messages. */
  readonly entitiesRead?: number;
  /** How many it has written; the job's access mode must allow it. */
  readonly entitiesWritten?: number;
  /** How many validators it has run; the server's guards are counted by the server. */
  readonly validatorsRunCount?: number;
}

export const TOKEN_ROLES = ["planner", "executor"] as const;
/** For whom a step's calls of models are made: for who plans the work, or for who does it. */
export type TokenRole = (typeof TOKEN_ROLES)[number];

/** What one thing adds to the metrics of its run: a call of a model, or what a step has counted. */
export interface Amount extends StepMetrics {
  readonly usage?: ModelUsageInput;
  readonly tokensPlanner?: number;
  readonly tokensExecutor?: number;
}

/** The metrics of a report. The tokens in all are no part of it: the server adds them up from the usage. */
export type ReportedMetrics = Required<Omit<MetricsDelta, "inputTokens" | "outputTokens">>;

/**
 * @param role left out, its tokens are part of the total alone.
 * @returns a call of a model, all of whose tokens are those of its role, too.
 */
export function amountOfCall(usage: ModelUsageInput, role?: TokenRole): Amount {
  if (role === undefined) return { usage };
  const { inputTokens = 0, cachedInputTokens = 0, outputTokens = 0, reasoningTokens = 0 } = usage;
  const tokens = inputTokens + cachedInputTokens + outputTokens + reasoningTokens;
  return role === "planner" ? { usage, tokensPlanner: tokens } : { usage, tokensExecutor: tokens };
}

/**
 * @returns what a step has counted.
 * @throws RangeError for what is no whole number from 0: the server would refuse the step for it, much later.
 */
export function amountOf({ entitiesRead = 0, entitiesWritten = 0, validatorsRunCount = 0 }: StepMetrics): Amount {
  const amount = { entitiesRead, entitiesWritten, validatorsRunCount };
  for (const [name, value] of Object.entries(amount)) {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name} must be a whole number from 0.`);
  }
  return amount;
}

/** Whether an amount adds nothing. */
export function isZero({ usage, ...counts }: Amount): boolean {
  return usage === undefined && Object.values(counts).every((count) => count === 0);
}

/** @returns the calls of models among some amounts. */
export function callsOf(amounts: readonly Amount[]): ModelUsageInput[] {
  return amounts.flatMap(({ usage }) => usage ?? []);
}

/**
 * @param durationMs how long the work took, in milliseconds.
 * @returns all of some amounts, as a report brings them.
 */
export function sumOf(amounts: readonly Amount[], durationMs: number): ReportedMetrics {
  const sum = (name: Exclude<keyof Amount, "usage">) =>
    amounts.reduce((total, { [name]: value = 0 }) => total + value, 0);
  return {
    durationMs,
    usage: callsOf(amounts),
    tokensPlanner: sum("tokensPlanner"),
    tokensExecutor: sum("tokensExecutor"),
    entitiesRead: sum("entitiesRead"),
    entitiesWritten: sum("entitiesWritten"),
    validatorsRunCount: sum("validatorsRunCount"),
  };
}
