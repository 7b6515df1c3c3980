import type { AppError } from "../../src/errors.ts";
import { guards } from "../../src/guards/guards.ts";
import type { JobState } from "../../src/storage/generated/client/enums.ts";
import {
  type Actor,
  type Changes,
  type Content,
  change,
  ENGINE,
  endRun,
  holdsLease,
  isOpen,
  type Job,
  latestRun,
  type Metrics,
  MOST,
  type Run,
  type World,
} from "./world.ts";

/** The rules that several mutations share, each as its section says it. */

/** What a mutation answers: a refusal by its code and directive, or what it did. */
export type Answer = { readonly code: AppError["code"]; readonly [detail: string]: unknown } | Done;
export interface Done {
  readonly code?: never;
  readonly [detail: string]: unknown;
}

const LEASE_LOST = { code: "LEASE_LOST", directive: "STOP_LEASE_LOST" } as const;
export const NOT_FOUND = { code: "NOT_FOUND" } as const;
export const INVALID_INPUT = { code: "INVALID_INPUT" } as const;
export const poisonedBefore = (job: Job) => ({
  code: "JOB_POISONED" as const,
  directive: "STOP_POISONED",
  job: job.number,
});
export function illegal(job: Job, to: JobState, directive?: string) {
  return { code: "ILLEGAL_TRANSITION" as const, from: job.state, to, directive };
}

/** A report names a run and proves its lease with a token: both by the number of a claim, -1 for one that nobody has. */
export interface Proof {
  readonly run: number;
  readonly token: number;
}

/** Section 6, "Report": checked in this order. */
export function admit(world: World, { run: number, token }: Proof, to: JobState): Run | Answer {
  const run = world.claims[number];
  if (!run || token !== number) return LEASE_LOST;
  const { job } = run;
  if (job.state === "POISONED") return poisonedBefore(job);
  if (["COMPLETED", "COMPLETED_WITH_ISSUES", "CANCELLED", "FAILED"].includes(job.state)) {
    return illegal(job, to, directiveFor(job.state));
  }
  return holdsLease(run) ? run : LEASE_LOST;
}

export const isRun = (admitted: Run | Answer): admitted is Run => "nodes" in admitted;

function directiveFor(state: JobState): string {
  if (state === "CANCELLED") return "STOP_CANCELLED";
  return state === "FAILED" ? "STOP_FAILED" : "STOP_LEASE_LOST";
}

/** What a report adds; the total is the server's. */
export type Delta = Partial<Omit<Metrics, "totalTokens">>;

/** Section 3, "JobMetrics": they grow together, or the delta is refused as a whole. */
export function grow(before: Metrics, delta: Delta): Metrics | null {
  const after = { ...before };
  for (const [name, more] of Object.entries(delta)) if (isMetric(name, after)) after[name] += more;
  after.totalTokens = after.inputTokens + after.outputTokens;
  const fits = Object.values(after).every((value) => value <= MOST);
  return fits && after.tokensPlanner + after.tokensExecutor <= after.totalTokens ? after : null;
}

function isMetric(name: string, metrics: Metrics): name is keyof Metrics {
  return name in metrics;
}

/** How many guards run over some text: all of them, or up to the one that raises. The injection guard is the first. */
export function guardsOver(content: Content): number {
  if (content === "none") return 0;
  return content === "hostile" ? 1 : guards.length;
}

/** The guards that the server ran are counted, too; a count that is full stays full. */
export function countGuards(metrics: Metrics, count: number): Metrics {
  return { ...metrics, validatorsRunCount: Math.min(metrics.validatorsRunCount + count, MOST) };
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

/** A denial fails the job, and is on record (section 8). */
export function deny(job: Job, capability: string): Answer {
  change(job, "CAPABILITY_ACTION", ENGINE, { state: "FAILED", reason: `capability_denied: ${capability}` }, capability);
  return { code: "CAPABILITY_DENIED", missingCapability: capability, job: job.number };
}

/** Section 6, "Recovery": queued again, later, while attempts are left; else failed. */
export function afterFailure(job: Job, retryable: boolean, reason: string): Changes {
  if (!retryable || job.attempt >= job.submit.maxAttempts) return { state: "FAILED", reason };
  return { state: "QUEUED", reason: "retry_scheduled", runAfter: "ahead" };
}

/** Section 5: the job, its active or stalled runs and its open nodes, in one version. */
export function poison(job: Job, violation: string, guardsRun: number): void {
  for (const run of job.runs) {
    if (["RUNNING", "AWAITING_VALIDATION", "AWAITING_USER", "STALLED"].includes(run.state)) {
      run.state = "POISONED";
      run.hasError = true;
    }
    for (const node of run.nodes) if (isOpen(node)) node.state = "POISONED";
  }
  const metrics = countGuards(job.metrics, guardsRun);
  const set = { state: "POISONED", reason: `poisoned: ${violation}`, hasError: true, outputs: null, metrics } as const;
  change(job, "SECURITY_VIOLATION", ENGINE, set);
}

/** Ends the run that a job is in, if it is in one, and changes the job, in one version. */
export function finish(
  job: Job,
  by: Actor,
  set: Changes & { readonly state: JobState },
  capability: string | null = null,
): void {
  const run = latestRun(job);
  if (run?.state === "RUNNING") endRun(run, set.state, !set.state.startsWith("COMPLETED"));
  change(job, "STATE_CHANGED", by, set, capability);
}
