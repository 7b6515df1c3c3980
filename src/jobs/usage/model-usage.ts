/** What calls of models have used (section 14): tokens in disjoint buckets, and money. */

/** The numbers of a model call. A token is in one of the four buckets alone. */
export const USAGE_NUMBERS = [
  "inputTokens",
  "cachedInputTokens",
  "outputTokens",
  "reasoningTokens",
  "costMicros",
] as const;
export type UsageNumber = (typeof USAGE_NUMBERS)[number];

/** One call of a model, as a worker reports it: integers from 0 to 2^53 - 1; the cost in millionths of COST_CURRENCY. */
export interface ModelCall extends Readonly<Record<UsageNumber, number>> {
  readonly provider: string;
  readonly model: string;
}

/** What the calls of one model have used together. */
export interface ModelUsage extends Readonly<Record<UsageNumber, bigint>> {
  readonly provider: string;
  readonly model: string;
  readonly calls: number;
}

/** The most calls of one report. */
export const MAX_CALLS = 16;

/** The tokens of calls, as metrics count them: what a model was sent, cached or not, and what it generated, its reasoning included. */
export function tokensOf(calls: readonly ModelCall[]): { readonly inputTokens: number; readonly outputTokens: number } {
  return {
    inputTokens: sum(calls, (call) => call.inputTokens + call.cachedInputTokens),
    outputTokens: sum(calls, (call) => call.outputTokens + call.reasoningTokens),
  };
}

/** @returns what calls have cost. Not rounded, and so possibly more than a job's cost may be. */
export function costOf(calls: readonly ModelCall[]): bigint {
  return calls.reduce((cost, { costMicros }) => cost + BigInt(costMicros), 0n);
}

/**
 * Sums beyond 2^53 are rounded, and stay beyond it: what is so large is refused, whatever it is exactly.
 */
function sum(calls: readonly ModelCall[], valueOf: (call: ModelCall) => number): number {
  return calls.reduce((total, call) => total + valueOf(call), 0);
}

/** @returns the usage of each model among these calls, in the order of the first call of each. */
export function byModel(calls: readonly ModelCall[]): readonly ModelUsage[] {
  const usages = new Map<string, ModelUsage>();
  for (const call of calls) {
    const key = JSON.stringify([call.provider, call.model]);
    usages.set(key, add(usages.get(key), call));
  }
  return [...usages.values()];
}

function add(before: ModelUsage | undefined, { provider, model, ...numbers }: ModelCall): ModelUsage {
  const total = (name: UsageNumber) => (before?.[name] ?? 0n) + BigInt(numbers[name]);
  return {
    provider,
    model,
    calls: (before?.calls ?? 0) + 1,
    inputTokens: total("inputTokens"),
    cachedInputTokens: total("cachedInputTokens"),
    outputTokens: total("outputTokens"),
    reasoningTokens: total("reasoningTokens"),
    costMicros: total("costMicros"),
  };
}
