import type { JobState } from "../../src/db/generated/client/enums.ts";
import type { AppError } from "../../src/errors.ts";
import type { ModelCall } from "../../src/jobs/usage/model-usage.ts";
import { guards } from "../../src/security/guards/guards.ts";
import {
  type Changes,
  type Content,
  change,
  type Job,
  MAX,
  type Metrics,
  type Run,
  SYSTEM_ACTOR,
  type World,
} from "./world.ts";

/** The answers of mutations, and the rules of sections 3, 7 and 8 that several of them share. */

/** A refusal with its code and directive, or the result. */
export type Answer = Refusal | Done;
export interface Refusal {
  readonly code: AppError["code"];
  readonly [detail: string]: unknown;
}
interface Done {
  readonly code?: never;
  readonly [detail: string]: unknown;
}

export const NOT_FOUND: Refusal = { code: "NOT_FOUND" };
export const INVALID_INPUT: Refusal = { code: "INVALID_INPUT" };

export function illegal(job: Job, to: JobState, directive?: string): Refusal {
  return { code: "ILLEGAL_TRANSITION", from: job.state, to, directive };
}

/** The job with this number, or a refusal if it does not exist or is poisoned. */
export function findNamedJob(world: World, number: number): Job | Refusal {
  const job = world.jobs[number];
  if (!job) return NOT_FOUND;
  return job.state === "POISONED" ? jobPoisoned(job) : job;
}

export function jobPoisoned(job: Job, directive?: string): Refusal {
  return { code: "JOB_POISONED", directive, job: job.number };
}

export const isRefusal = (value: object): value is Refusal => "code" in value;

/** The metrics that a report adds, and the calls of models that its tokens are those of. The server computes the total. */
export type Delta = Partial<Omit<Metrics, "totalTokens">> & { readonly usage?: readonly ModelCall[] };

/** Section 3, "Metrics": the metrics after a report; null if the delta is invalid and refused as a whole. */
export function grow(before: Metrics, delta: Delta): Metrics | null {
  const { usage = [], ...counters } = delta;
  const { inputTokens = 0, outputTokens = 0 } = counters;
  const [input, output] = [sum(usage, inputOf), sum(usage, outputOf)];
  // Section 14: where there are calls, the tokens are theirs.
  if (usage.length > 0 && (inputTokens !== input || outputTokens !== output)) return null;
  const after = { ...before };
  for (const [name, more] of Object.entries(counters)) if (isMetric(name, after)) after[name] += more;
  after.totalTokens = after.inputTokens + after.outputTokens;
  const isInRange = Object.values(after).every((value) => value <= MAX);
  return isInRange && after.tokensPlanner + after.tokensExecutor <= after.totalTokens ? after : null;
}

function isMetric(name: string, metrics: Metrics): name is keyof Metrics {
  return name in metrics;
}

const sum = (calls: readonly ModelCall[], valueOf: (call: ModelCall) => number): number =>
  calls.reduce((total, call) => total + valueOf(call), 0);
const inputOf = (call: ModelCall) => call.inputTokens + call.cachedInputTokens;
const outputOf = (call: ModelCall) => call.outputTokens + call.reasoningTokens;
export const tokensOfCall = (call: ModelCall): number => inputOf(call) + outputOf(call);

/** The delta of calls alone. */
export function deltaOf(usage: readonly ModelCall[]): Delta {
  return { inputTokens: sum(usage, inputOf), outputTokens: sum(usage, outputOf), usage };
}

/**
 * Section 14: the calls of a report are counted for its run, and for its job, unless that is poisoned.
 * @param step the number of the step that was reported; 0 for none.
 * @returns what the event of the version says of them.
 */
export function use(run: Run, { usage = [] }: Delta, step = 0): { readonly cost_micros?: number } {
  const isBeside = run.job.state === "POISONED";
  for (const call of usage) run.calls.push({ call, step, isBeside, version: isBeside ? null : run.job.version + 1 });
  const cost = sum(usage, ({ costMicros }) => costMicros);
  if (!isBeside) run.job.cost += cost;
  return cost === 0 ? {} : { cost_micros: cost };
}

/** Whether a job has passed one of its budgets: with these metrics, and what it has cost so far. */
export function isOverBudget({ submit: { budget, costBudget }, cost }: Job, { totalTokens }: Metrics): boolean {
  return (budget !== null && totalTokens > budget) || (costBudget !== null && cost > costBudget);
}

/** How many guards run over a text: all, or up to the one that finds a violation. The injection guard is the first. */
export function guardsOver(content: Content): number {
  if (content === "none") return 0;
  return content === "hostile" ? 1 : guards.length;
}

/** Adds the guards that the server ran to the validators; the count stops at the largest value. */
export function countGuards(metrics: Metrics, count: number): Metrics {
  return { ...metrics, validatorsRunCount: Math.min(metrics.validatorsRunCount + count, MAX) };
}

/** Section 8: the capability that a kind needs, and its default profile. */
export function requirementOf(kind: Job["submit"]["kind"]) {
  return kind === "TERMINAL_EXEC"
    ? { capability: "term.exec", profile: "terminal" }
    : { capability: "doc.summarize", profile: "default" };
}

/** The capability that a job's profile lacks now; null if the profile suffices. */
export function missingCapability(world: World, job: Job): string | null {
  const { capability } = requirementOf(job.submit.kind);
  return world.profiles.get(job.profile)?.includes(capability) ? null : capability;
}

/** A denial fails the job and is recorded (section 8). */
export function deny(
  job: Job,
  capability: string,
  checkedAt: "submit" | "claim" | "completion",
  more: Changes = {},
): Refusal {
  const set = { ...more, state: "FAILED", reason: `capability_denied: ${capability}`, outputs: null } as const;
  const payload = { outcome: "denied", capability, capability_profile_id: job.profile, checked_at: checkedAt };
  change(job, "CAPABILITY_ACTION", SYSTEM_ACTOR, set, payload, capability);
  return { code: "CAPABILITY_DENIED", missingCapability: capability, job: job.number };
}
