import type {
  AccessMode,
  JobState,
  QuotaResource,
  RecorderActor,
  RecorderEventType,
} from "../../src/db/generated/client/enums.ts";
import { METRIC_NAMES, type MetricName } from "../../src/db/job-columns.ts";
import type { JsonValue } from "../../src/db/rows.ts";
import type { AppError } from "../../src/errors.ts";

/**
 * The reference model: a few workspaces in plain memory, as sections 3 to 6 of the spec describe it. It shares no rule with
 * the product, and knows nothing of ids, clocks, rows or transactions: what is told apart by them there is told apart
 * by its number here.
 */

export interface World {
  /** In the order in which they were submitted; a job's number is its place here. */
  readonly jobs: Job[];
  /** Every run whose lease token was handed out, in that order; a claim's number is its place here. */
  readonly claims: Run[];
  /** In the order in which they were set; a quota's number is its place here. */
  readonly quotas: Quota[];
  /** What each capability profile grants. */
  readonly profiles: Map<string, readonly string[]>;
  /** The workspace that was served last by a claim in all of them; -1 before the first. */
  lastTurn: number;
}

export type Metrics = Record<MetricName, number>;

/** What a submit says, as far as it matters here. */
export interface Submit {
  /** By its place in the order of their ids. */
  readonly workspace: number;
  readonly kind: "DOC_SUMMARIZE" | "DOC_EDIT" | "TERMINAL_EXEC";
  readonly profile: string | null;
  readonly accessMode: AccessMode;
  /** Documents that it may write. */
  readonly scope: readonly string[];
  readonly inputs: Content;
  /** The number of its parent; -1 for a job of another workspace. */
  readonly parent: number | null;
  readonly priority: number;
  readonly maxAttempts: number;
  readonly budget: number | null;
  /** Not due before tomorrow. */
  readonly later: boolean;
  readonly key: string | null;
}

/** Text for guards: none at all, some that no guard minds, or some that poisons. */
export type Content = "none" | "clean" | "hostile";

export interface Job {
  readonly number: number;
  readonly submit: Submit;
  readonly profile: string;
  readonly parent: Job | null;
  state: JobState;
  reason: string;
  hasError: boolean;
  /** `run_after`: not set, not yet passed, or passed. */
  runAfter: "none" | "ahead" | "passed";
  /** Who is to take it first, after a person sent it back, and whether that time is over. */
  preferred: { readonly worker: string; readonly isOver: boolean } | null;
  /** How often a person sent it back. */
  revisions: number;
  version: number;
  attempt: number;
  metrics: Metrics;
  outputs: JsonValue;
  issues: readonly string[];
  readonly runs: Run[];
  readonly events: Event[];
}

export interface Quota {
  readonly workspace: number;
  /** Whose jobs it counts; all where null. */
  readonly profile: string | null;
  readonly resource: QuotaResource;
  max: number;
  isGone: boolean;
}

export interface Run {
  readonly job: Job;
  readonly attempt: number;
  readonly worker: string;
  state: JobState;
  /** The time of its lease is over, whether or not anybody has noticed. */
  leaseIsOver: boolean;
  hasError: boolean;
  readonly nodes: Node[];
  /** Reports that its worker gave an id, by that id. */
  readonly reports: Map<string, Kept>;
}

/** A report that counted once. */
export interface Kept {
  /** All that it said, as text. */
  readonly content: string;
  /** What it was answered where it broke a rule, and so failed its run. */
  readonly violation: { readonly code: AppError["code"]; readonly [detail: string]: unknown } | null;
  /** The node that it opened or ended. */
  readonly node: Node | null;
}

export interface Node {
  readonly id: string;
  readonly type: string;
  readonly dependsOn: readonly string[];
  state: JobState;
  input: JsonValue;
  output: JsonValue;
  hasError: boolean;
}

export interface Event {
  readonly type: RecorderEventType;
  readonly actor: RecorderActor;
  readonly actorId: string;
  readonly state: JobState;
  readonly previousState: JobState | null;
  readonly metrics: Metrics;
  readonly capability: string | null;
  /** With jobs by their numbers; what the model cannot know is there as its shape. */
  readonly payload: unknown;
  /** The attempt that it is about; 0 for none. */
  readonly attempt: number;
}

export type Actor = Pick<Event, "actor" | "actorId">;
export const PERSON: Actor = { actor: "HUMAN", actorId: "anonymous" };
export const ENGINE: Actor = { actor: "SYSTEM", actorId: "workflow-engine" };
export const agent = (run: Run): Actor => ({ actor: "AGENT", actorId: run.worker });

export function newWorld(): World {
  const profiles = new Map([
    ["default", ["doc.read", "doc.summarize"]],
    ["terminal", ["term.exec"]],
  ]);
  return { jobs: [], claims: [], quotas: [], profiles, lastTurn: -1 };
}

export function noMetrics(): Metrics {
  return {
    durationMs: 0,
    totalTokens: 0,
    inputTokens: 0,
    outputTokens: 0,
    tokensPlanner: 0,
    tokensExecutor: 0,
    entitiesRead: 0,
    entitiesWritten: 0,
    validatorsRunCount: 0,
  };
}

export type Changes = Partial<
  Pick<
    Job,
    | "state"
    | "reason"
    | "hasError"
    | "runAfter"
    | "preferred"
    | "revisions"
    | "attempt"
    | "metrics"
    | "outputs"
    | "issues"
  >
>;

/**
 * Section 4: one version more, and one event that tells of it.
 * @param payload what the event tells; why the state changed is told by every event of that type.
 */
export function change(
  job: Job,
  type: RecorderEventType,
  by: Actor,
  set: Changes,
  payload: object = {},
  capability: string | null = null,
): void {
  const previousState = job.version === 0 ? null : job.state;
  Object.assign(job, set);
  job.version += 1;
  const { state, metrics, runs } = job;
  const told = type === "STATE_CHANGED" ? { reason: job.reason, ...payload } : payload;
  job.events.push({ type, ...by, state, previousState, metrics, capability, payload: told, attempt: runs.length });
}

/** A run that has ended has no lease, and no node of it stays open (section 3). */
export function endRun(run: Run, state: JobState, hasError: boolean): void {
  run.state = state;
  run.hasError = hasError;
  for (const node of run.nodes) if (isOpen(node)) node.state = state;
}

/** Whether a run may still become something else: it runs, or its outputs wait for somebody. */
export const isActive = ({ state }: Run): boolean =>
  state === "RUNNING" || state === "AWAITING_VALIDATION" || state === "AWAITING_USER";
export const isOpen = (node: Node): boolean => node.state === "RUNNING";
export const latestRun = (job: Job): Run | undefined => job.runs.at(-1);
/** Whether nothing goes on with a job, nor will unless somebody retries it. */
export const hasEnded = ({ state }: Job): boolean =>
  ["COMPLETED", "COMPLETED_WITH_ISSUES", "CANCELLED", "FAILED", "POISONED"].includes(state);
export const holdsLease = (run: Run): boolean => run.state === "RUNNING" && !run.leaseIsOver;

/** The most that a counter, or a sum of counters, can be. */
export const MAX = 2 ** 53 - 1;

/** The sum over some jobs. */
export function total(jobs: readonly Job[]): Metrics {
  const sum = noMetrics();
  for (const { metrics } of jobs) for (const name of METRIC_NAMES) sum[name] = Math.min(sum[name] + metrics[name], MAX);
  return sum;
}
