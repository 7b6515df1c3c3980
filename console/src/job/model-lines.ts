import type { JobModelUsageQuery } from "../api/generated.ts";
import { OTHERS, splitLines } from "../ui/chart-lines.ts";
import { modelName } from "../ui/model-name.ts";
import type { Measure } from "../usage/query.ts";

/** What each model of a job had used up to each time, for a chart. */

export type UsedJob = NonNullable<JobModelUsageQuery["aiJob"]>;
type Run = UsedJob["workflowRuns"]["nodes"][number];
type ModelUsage = UsedJob["modelUsage"][number];

export interface ModelLines {
  /** In seconds since 1970, ascending. */
  readonly times: readonly number[];
  readonly lines: readonly { readonly name: string; readonly values: readonly number[] }[];
}

/** What was used of a model at a time, in micros or tokens, which add up exactly. */
interface Use {
  readonly at: number;
  readonly model: string;
  readonly amount: number;
}

const MICROS = 1_000_000;

/**
 * @param now the last time, in milliseconds since 1970.
 * @returns the lines, that of the model first which has used most. Each ends with what the job has: what is of none of the runs that were read
 *   stands at the beginning.
 */
export function modelLines(
  { modelUsage, workflowRuns: { nodes: runs } }: UsedJob,
  show: Measure,
  now: number,
): ModelLines {
  const beganAt = Math.min(now, ...runs.map(({ startedAt }) => Date.parse(startedAt)));
  const ofRuns = runs.flatMap((run) => run.modelUsage);
  const uses = [...usesIn(leftOf(modelUsage, ofRuns, show), beganAt), ...runs.flatMap((run) => usesOf(run, show))];
  const times = [...new Set([beganAt, ...uses.map(({ at }) => at), now])].toSorted((one, other) => one - other);

  const models = [...sums(modelUsage, show)].toSorted(([, one], [, other]) => other - one).map(([model]) => model);
  const { shown, others } = splitLines(models);
  const names = others.length > 0 ? [...shown, OTHERS] : shown;
  const amounts = new Map(names.map((name) => [name, new Map<number, number>()]));
  for (const { at, model, amount } of uses) {
    const line = amounts.get(model) ?? amounts.get(OTHERS);
    line?.set(at, (line.get(at) ?? 0) + amount);
  }
  const unit = show === "cost" ? MICROS : 1;
  const lines = [...amounts].map(([name, added]) => {
    let sum = 0;
    const values = times.map((time) => {
      sum += added.get(time) ?? 0;
      return sum / unit;
    });
    return { name, values };
  });
  return { times: times.map((time) => time / 1000), lines };
}

/** Of a report of several steps nobody knows which used what: that stands where the run ended, or was heard of last. */
function usesOf({ modelUsage, steps, finishedAt, lastHeartbeat }: Run, show: Measure): readonly Use[] {
  const ofSteps = steps.flatMap((step) => step.modelUsage);
  return [
    ...steps.flatMap((step) => usesIn(sums(step.modelUsage, show), Date.parse(step.finishedAt ?? step.startedAt))),
    ...usesIn(leftOf(modelUsage, ofSteps, show), Date.parse(finishedAt ?? lastHeartbeat)),
  ];
}

function usesIn(amounts: ReadonlyMap<string, number>, at: number): readonly Use[] {
  return [...amounts].filter(([, amount]) => amount > 0).map(([model, amount]) => ({ at, model, amount }));
}

/** @returns what all have used without that of some. */
function leftOf(all: readonly ModelUsage[], some: readonly ModelUsage[], show: Measure): ReadonlyMap<string, number> {
  const known = sums(some, show);
  return new Map([...sums(all, show)].map(([model, amount]) => [model, amount - (known.get(model) ?? 0)]));
}

function sums(usage: readonly ModelUsage[], show: Measure): ReadonlyMap<string, number> {
  const amounts = new Map<string, number>();
  for (const each of usage) {
    const name = modelName(each.provider, each.model);
    amounts.set(name, (amounts.get(name) ?? 0) + (show === "cost" ? each.costMicros : tokensOf(each)));
  }
  return amounts;
}

/** @returns all tokens of calls of a model: those from a cache and those to reason are no part of those in and out (section 14). */
export function tokensOf({ inputTokens, cachedInputTokens, outputTokens, reasoningTokens }: ModelUsage): number {
  return inputTokens + cachedInputTokens + outputTokens + reasoningTokens;
}
