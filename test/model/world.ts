import type {
  AccessMode,
  JobState,
  QuotaResource,
  RecorderActor,
  RecorderEventType,
  WaitsFor,
} from "../../src/db/generated/client/enums.ts";
import { METRIC_NAMES, type MetricName } from "../../src/db/job-columns.ts";
import type { JsonValue } from "../../src/db/rows.ts";
import type { AppError } from "../../src/errors.ts";
import type { ModelCall } from "../../src/jobs/usage/model-usage.ts";

/**
 * The reference model: a few workspaces in memory, as sections 3 to 6 of docs/ai-job-model.md describe them. It shares
 * no rule with the server, and has no ids, clocks, rows or transactions: everything is identified by a number.
 */

export interface World {
  /** In the order of their submits; a job's number is its index. */
  readonly jobs: Job[];
  /** The runs whose lease token was delivered, in that order; a claim's number is its index. */
  readonly claims: Run[];
  /** In the order in which they were set; a quota's number is its index. */
  readonly quotas: Quota[];
  /** The labels by which each workspace counts its usage, in the order of its list. */
  readonly usageLabels: Map<number, readonly DeclaredLabel[]>;
  /** What each capability profile grants. */
  readonly profiles: Map<string, readonly string[]>;
  /** The workspace that was served last by a claim in all of them; -1 before the first. */
  lastTurn: number;
}

export type Metrics = Record<MetricName, number>;

/** The input of a submit, as far as the model depends on it. */
export interface Submit {
  /** Its index in the order of the workspace ids. */
  readonly workspace: number;
  readonly kind: "DOC_SUMMARIZE" | "DOC_EDIT" | "TERMINAL_EXEC";
  readonly profile: string | null;
  readonly accessMode: AccessMode;
  /** The documents that the job may write. */
  readonly scope: readonly string[];
  readonly inputs: Content;
  /** The number of its parent; -1 for a job of another workspace. */
  readonly parent: number | null;
  readonly priority: number;
  readonly maxAttempts: number;
  readonly budget: number | null;
  /** The most that it may cost. */
  readonly costBudget: number | null;
  /** Whether it is due only after the sequence. */
  readonly later: boolean;
  readonly key: string | null;
  /** Its own labels; null for its parent's. */
  readonly labels: readonly Label[] | null;
  /** The principal that submits it. */
  readonly by: string;
}

export interface Label {
  readonly key: string;
  readonly value: string;
}

/** A label by which usage is counted. */
export interface DeclaredLabel {
  readonly key: string;
  /** How far each job had come when it was declared, by its number: its versions, and the calls that no version has. */
  readonly since: readonly { readonly versions: number; readonly beside: number }[];
}

/** A text for guards: none, a harmless one, or one that poisons. */
export type Content = "none" | "clean" | "hostile";

export interface Job {
  readonly number: number;
  readonly submit: Submit;
  readonly profile: string;
  readonly parent: Job | null;
  /** By key; its own, or its parent's. */
  readonly labels: readonly Label[];
  state: JobState;
  reason: string;
  hasError: boolean;
  /** `run_after`: not set, in the future, or in the past. */
  runAfter: "none" | "ahead" | "passed";
  /** The worker that the job is reserved for after a person sent it back, and whether that time is over. */
  preferred: { readonly worker: string; readonly isOver: boolean } | null;
  /** How many attempts are not charged: sent back, given back, or ended by a question. */
  unchargedAttempts: number;
  /** How often it was given back since a step last succeeded. */
  releases: number;
  /** What it waits for, apart from a time. */
  waitsFor: WaitsFor | null;
  /** What its latest run last said of how far it is. */
  progress: Progress | null;
  /** Whether that was less than a second ago, or a later attempt's claim, which cleared what was said before. */
  hasJustSaid: boolean;
  version: number;
  attempt: number;
  metrics: Metrics;
  cost: number;
  outputs: JsonValue;
  issues: readonly string[];
  readonly runs: Run[];
  readonly events: Event[];
}

/** How far a run is. */
export interface Progress {
  readonly fraction: number | null;
  readonly message: string | null;
}

export interface Quota {
  readonly workspace: number;
  /** The profile whose jobs it counts; null for all jobs. */
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
  /** Why it ended; null until then. */
  endReason: string | null;
  outputs: JsonValue;
  /** What it asked a person; null if nothing. */
  question: Question | null;
  /** The progress that came too soon after the last to be a version. */
  waiting: Progress | null;
  /** Whether its lease has expired, whether or not recovery has noticed. */
  leaseIsOver: boolean;
  hasError: boolean;
  readonly nodes: Node[];
  /** The calls of models that were counted for it, in the order in which they were reported. */
  readonly calls: CountedCall[];
  /** The texts of its partial output. */
  readonly output: string[];
  /** The accepted reports with an id, by that id. */
  readonly reports: Map<string, StoredReport>;
}

/** A call of a model, as the ledger counts it. */
export interface CountedCall {
  readonly call: ModelCall;
  /** The number of its step among the run's; 0 where it was not the report of a step. */
  readonly step: number;
  /** The version of the job that counts it; null where the job was poisoned. */
  readonly version: number | null;
  /** Whether the job was poisoned, so that no version has it. */
  readonly isBeside: boolean;
}

/** An accepted report, or one that broke a rule. */
export interface StoredReport {
  /** Its content, as text. */
  readonly content: string;
  /** The answer, if it broke a rule and failed its run; otherwise null. */
  readonly violation: { readonly code: AppError["code"]; readonly [detail: string]: unknown } | null;
  /** The node of its last step, by its place among those of its run; null if none. */
  readonly node: number | null;
}

/** A question, with its answer, which is null until it has one. */
export interface Question {
  readonly options: readonly string[];
  readonly limit: "none" | "ahead" | "passed";
  readonly answer: JsonValue;
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
  /** With numbers instead of job ids; for values that the model cannot know, a matcher. */
  readonly payload: unknown;
  /** The attempt that the event belongs to; 0 for none. */
  readonly attempt: number;
}

export type Actor = Pick<Event, "actor" | "actorId">;
export const PERSON: Actor = { actor: "HUMAN", actorId: "anonymous" };
export const person = (name: string): Actor => ({ actor: "HUMAN", actorId: name });
export const SYSTEM_ACTOR: Actor = { actor: "SYSTEM", actorId: "workflow-engine" };
export const agent = (run: Run): Actor => ({ actor: "AGENT", actorId: run.worker });

export function newWorld(): World {
  const profiles = new Map([
    ["default", ["doc.read", "doc.summarize"]],
    ["terminal", ["term.exec"]],
  ]);
  return { jobs: [], claims: [], quotas: [], usageLabels: new Map(), profiles, lastTurn: -1 };
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
    | "unchargedAttempts"
    | "releases"
    | "waitsFor"
    | "progress"
    | "attempt"
    | "metrics"
    | "outputs"
    | "issues"
  >
>;

/**
 * Section 4: makes one more version of a job, and its event.
 * @param payload the payload of the event; for STATE_CHANGED, the reason is added.
 * @param attempt that of the run that the event is about.
 */
export function change(
  job: Job,
  type: RecorderEventType,
  by: Actor,
  set: Changes,
  payload: object = {},
  capability: string | null = null,
  attempt = job.runs.length,
): void {
  const previousState = job.version === 0 ? null : job.state;
  // A job that enters a state waits for nothing there, unless it is said.
  Object.assign(job, set.state === undefined ? {} : { waitsFor: null }, set);
  job.version += 1;
  const { state, metrics } = job;
  if (set.progress) job.hasJustSaid = true;
  const said = set.progress ? { ...payload, progress: set.progress } : payload;
  const fullPayload = type === "STATE_CHANGED" ? { reason: job.reason, ...said } : said;
  job.events.push({
    type,
    ...by,
    state,
    previousState,
    metrics,
    capability,
    payload: fullPayload,
    attempt,
  });
}

/**
 * Ends a run with its open nodes (section 3); or leaves it active without a lease, where its job awaits a decision.
 * @param why its endReason; left out: the word of the state.
 */
export function endRun(run: Run, state: JobState, hasError: boolean, why: string = state.toLowerCase()): void {
  run.state = state;
  run.waiting = null;
  run.endReason = isActive(run) ? null : why;
  if (state === "POISONED") run.outputs = null;
  run.hasError = hasError;
  if (isActive(run)) return;
  for (const node of run.nodes) if (isOpen(node)) node.state = state;
}

/** Whether a run is active: it is running, or its outputs await a verdict or a person. */
export const isActive = ({ state }: Run): boolean =>
  state === "RUNNING" || state === "AWAITING_VALIDATION" || state === "AWAITING_USER";
export const isOpen = (node: Node): boolean => node.state === "RUNNING";
export const latestRun = (job: Pick<Job, "runs">): Run | undefined => job.runs.at(-1);
/** Whether no attempt at the job is under way, and none comes by itself. */
export const hasEnded = ({ state }: Pick<Job, "state">): boolean =>
  ["COMPLETED", "COMPLETED_WITH_ISSUES", "CANCELLED", "FAILED", "POISONED"].includes(state);
export const holdsLease = (run: Run): boolean => run.state === "RUNNING" && !run.leaseIsOver;

/** The largest value of a counter or of a sum of counters. */
export const MAX = 2 ** 53 - 1;

/** The metrics of several jobs, added up. */
export function sumMetrics(jobs: readonly Job[]): Metrics {
  const sum = noMetrics();
  for (const { metrics } of jobs) for (const name of METRIC_NAMES) sum[name] = Math.min(sum[name] + metrics[name], MAX);
  return sum;
}
