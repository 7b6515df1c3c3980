import type { JobState } from "../../src/db/generated/client/enums.ts";
import type { AppError } from "../../src/errors.ts";
import { guards } from "../../src/security/guards/guards.ts";
import { type Content, change, ENGINE, type Job, MAX, type Metrics, type World } from "./world.ts";

/** What the mutations answer, and the rules of sections 3, 7 and 8 that several of them share. */

/** A refusal by its code and directive, or what was done. */
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

/** The job that a person names, where it is neither missing nor poisoned. */
export function named(world: World, number: number): Job | Refusal {
  const job = world.jobs[number];
  if (!job) return NOT_FOUND;
  return job.state === "POISONED" ? poisonedBefore(job) : job;
}

export function poisonedBefore(job: Job): Refusal {
  return { code: "JOB_POISONED", directive: "STOP_POISONED", job: job.number };
}

export const isRefusal = (value: object): value is Refusal => "code" in value;

/** What a report adds; the total is the server's. */
export type Delta = Partial<Omit<Metrics, "totalTokens">>;

/** Section 3, "JobMetrics": they grow together, or the delta is refused as a whole. */
export function grow(before: Metrics, delta: Delta): Metrics | null {
  const after = { ...before };
  for (const [name, more] of Object.entries(delta)) if (isMetric(name, after)) after[name] += more;
  after.totalTokens = after.inputTokens + after.outputTokens;
  const fits = Object.values(after).every((value) => value <= MAX);
  return fits && after.tokensPlanner + after.tokensExecutor <= after.totalTokens ? after : null;
}

function isMetric(name: string, metrics: Metrics): name is keyof Metrics {
  return name in metrics;
}

export function isOverBudget({ submit: { budget } }: Job, { totalTokens }: Metrics): boolean {
  return budget !== null && totalTokens > budget;
}

/** How many guards run over some text: all of them, or up to the one that raises. The injection guard is the first. */
export function guardsOver(content: Content): number {
  if (content === "none") return 0;
  return content === "hostile" ? 1 : guards.length;
}

/** The guards that the server ran are counted, too; a count that is full stays full. */
export function countGuards(metrics: Metrics, count: number): Metrics {
  return { ...metrics, validatorsRunCount: Math.min(metrics.validatorsRunCount + count, MAX) };
}

/** Section 8: what a kind needs, and the profile that it gets by itself. */
export function needOf(kind: Job["submit"]["kind"]) {
  return kind === "TERMINAL_EXEC"
    ? { capability: "term.exec", profile: "terminal" }
    : { capability: "doc.summarize", profile: "default" };
}

/** The capability that a job's profile lacks at this moment; null where it has what it needs. */
export function lacks(world: World, job: Job): string | null {
  const { capability } = needOf(job.submit.kind);
  return world.profiles.get(job.profile)?.includes(capability) ? null : capability;
}

/** A denial fails the job, and is on record (section 8); it says all there is to say in the reason. */
export function deny(job: Job, capability: string, checkedAt: "submit" | "claim" | "completion"): Refusal {
  const set = { state: "FAILED", reason: `capability_denied: ${capability}`, outputs: null } as const;
  const payload = { outcome: "denied", capability, capability_profile_id: job.profile, checked_at: checkedAt };
  change(job, "CAPABILITY_ACTION", ENGINE, set, payload, capability);
  return { code: "CAPABILITY_DENIED", missingCapability: capability, job: job.number };
}
