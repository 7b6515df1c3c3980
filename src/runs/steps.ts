import { uuidv7 } from "uuidv7";
import type { NodeExecution } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { type JsonValue, toDbEnum } from "../db/rows.ts";
import { InvalidInputError } from "../errors.ts";
import type { StepPayload } from "../log/event.ts";
import { redactText } from "../log/redact.ts";
import { quote } from "../quote.ts";

/** What the steps of a report make of their run's nodes (section 6, "Nodes") [HSK-WF-001]. Reads and writes nothing; see nodes.ts. */

/** What a worker reports about a step: that it started, or how it ended. */
export type StepOutcome = "STARTED" | "SUCCEEDED" | "FAILED";

/** A step as a worker reports it. */
export interface Step {
  /** The step's name, which each node (execution) of the step has. */
  readonly nodeId: string;
  readonly nodeType: string;
  readonly outcome: StepOutcome;
  /** For a step that is reported once, when it ended: when it started. Null or left out for all others. */
  readonly startedAt?: Date | null;
  /** For a step that starts, or is reported once: the names (`nodeId`) of the steps that must have succeeded before it. */
  readonly dependsOn?: readonly string[];
  readonly inputPayload: JsonValue;
  readonly outputPayload: JsonValue;
  readonly errorMessage: string | null;
}

/** The most steps of one report. */
export const MAX_STEPS_PER_REPORT = 100;

/** The most nodes of one run. Without a limit, reading a run's nodes, which is not paged, would be unbounded. */
const MAX_NODES_PER_RUN = 1000;

/** The nodes of a run that a report is decided by, as they were read under the job's lock. */
export interface KnownNodes {
  /** The open nodes of the run that the report's steps name. */
  readonly open: readonly NodeExecution[];
  /** Whether the run has other open nodes. */
  readonly hasOtherOpen: boolean;
  /** The number of the run's last node; 0 where it has none. */
  readonly lastSequence: number;
  /**
   * By step name (`nodeId`), for the names in `dependsOn`: the state of the step's latest node in this run; where it has none, COMPLETED if
   * the step succeeded in an earlier run of the job, whose result this run has (section 13). Nothing for a step that was never started.
   */
  readonly states: ReadonlyMap<string, JobState>;
}

/** What is to be written of a report's steps. */
export interface StepPlan {
  /** The node of each step, in their order, as it is after it. */
  readonly nodes: readonly NodeExecution[];
  /** New nodes, some of which have ended. */
  readonly opened: readonly NodeExecution[];
  /** Nodes that were stored before, and end. */
  readonly ended: readonly NodeExecution[];
  /** Whether a node of the run is open after all steps. */
  readonly hasOpenNodes: boolean;
  /** Whether a step has succeeded: the job has got on, and may be given back a hundred times more. */
  readonly hasSucceeded: boolean;
  /** What the event of the report says of the steps. */
  readonly payload: readonly StepPayload[];
}

/**
 * Decides what the steps of a report make of their run's nodes, one after another: each step sees what the ones before it did.
 * @param run the run of the report.
 * @param now the database's clock.
 * @param path where the steps are in the caller's input; for the path of an error.
 * @returns what is to be written, or why a step does not fit the run; then nothing of the report may be written.
 */
export function planSteps(
  run: Pick<NodeExecution, "workspaceId" | "startedAt"> & { readonly id: string },
  steps: readonly Step[],
  known: KnownNodes,
  now: Date,
  path: readonly string[],
): StepPlan | InvalidInputError {
  const nodes = new RunNodes(run, known, now);
  for (const [index, step] of steps.entries()) {
    const fault = nodes.apply(step);
    if (fault) return new InvalidInputError([...path, String(index), fault.field], fault.message);
  }
  return nodes.plan();
}

/** The node that a report's usage is of: that of its only step. Of several steps nobody knows which used what. */
export function onlyNodeOf({ nodes: [node, ...others] }: StepPlan): string | null {
  return node && others.length === 0 ? node.id : null;
}

/** @returns the ids of the nodes that plans end and that were stored before. */
export function endedIn(plans: readonly StepPlan[]): readonly string[] {
  return plans.flatMap(({ ended }) => ended.map(({ id }) => id));
}

/** What an event that is not of steps alone says of those of its report: nothing where it has none. */
export function stepsPayload({ payload }: StepPlan): { readonly steps?: readonly StepPayload[] } {
  return payload.length === 0 ? {} : { steps: payload };
}

/** Why a step does not fit its run, and which of its fields says so. */
interface StepFault {
  readonly field: keyof Step;
  readonly message: string;
}

type RunOfSteps = Parameters<typeof planSteps>[0];

/** The nodes of a run while the steps of a report are applied to them. */
class RunNodes {
  readonly #run: RunOfSteps;
  readonly #known: KnownNodes;
  readonly #now: Date;
  readonly #open: Map<string, NodeExecution>;
  readonly #states: Map<string, JobState>;
  /** The nodes that the report opens or ends, by id, in the order in which it first names them. */
  readonly #changed = new Map<string, NodeExecution>();
  /** The steps so far, each with its node as it is after it. */
  readonly #applied: { readonly step: Step; readonly node: NodeExecution }[] = [];
  #lastSequence: number;

  constructor(run: RunOfSteps, known: KnownNodes, now: Date) {
    this.#run = run;
    this.#known = known;
    this.#now = now;
    this.#open = new Map(known.open.map((node) => [node.nodeId, node]));
    this.#states = new Map(known.states);
    this.#lastSequence = known.lastSequence;
  }

  /** Applies one step. @returns why it does not fit; null where it does. */
  apply(step: Step): StepFault | null {
    const isWhole = step.startedAt != null;
    const starts = step.outcome === "STARTED" || isWhole;
    const fault = starts ? this.#checkStart(step) : this.#checkEnd(step);
    if (fault) return fault;
    const open = starts ? this.#started(step) : this.#openNode(step.nodeId);
    const node = step.outcome === "STARTED" ? open : this.#ended(open, step);
    this.#set(node);
    this.#applied.push({ step, node });
    return null;
  }

  #started(step: Step): NodeExecution {
    const { nodeId, nodeType, dependsOn = [], inputPayload } = step;
    return {
      id: uuidv7(),
      workspaceId: this.#run.workspaceId,
      workflowRunId: this.#run.id,
      nodeId,
      nodeType,
      sequence: ++this.#lastSequence,
      dependsOn: [...dependsOn],
      state: "RUNNING",
      inputPayload,
      outputPayload: null,
      errorMessage: null,
      startedAt: this.#startOf(step),
      finishedAt: null,
    };
  }

  #checkStart({ nodeId, dependsOn = [] }: Step): StepFault | null {
    const missing = dependsOn.find((name) => this.#states.get(name) !== "COMPLETED");
    if (missing !== undefined) {
      const state = this.#states.get(missing);
      const problem = state === undefined ? "was never started" : state === "RUNNING" ? "has not finished" : "failed";
      return { field: "dependsOn", message: `The step ${quote(missing)}, on which this one depends, ${problem}.` };
    }
    if (this.#open.has(nodeId)) {
      return { field: "nodeId", message: `The step ${quote(nodeId)} is running already. Report its outcome first.` };
    }
    if (this.#lastSequence < MAX_NODES_PER_RUN) return null;
    const message = `A run has at most ${MAX_NODES_PER_RUN} node executions. Split the work into several jobs.`;
    return { field: "nodeId", message };
  }

  #checkEnd({ nodeId, nodeType, dependsOn = [] }: Step): StepFault | null {
    if (dependsOn.length > 0)
      return { field: "dependsOn", message: "Only a step that starts, or has startedAt, may have dependsOn." };
    const node = this.#open.get(nodeId);
    if (!node) {
      const message = `The step ${quote(nodeId)} is not running. Report the outcome STARTED first, or give its startedAt.`;
      return { field: "nodeId", message };
    }
    if (node.nodeType === nodeType) return null;
    const message = `The step ${quote(nodeId)} was started with the type ${quote(node.nodeType)}.`;
    return { field: "nodeType", message };
  }

  #ended(open: NodeExecution, { outcome, outputPayload, errorMessage }: Step): NodeExecution {
    return {
      ...open,
      state: outcome === "SUCCEEDED" ? "COMPLETED" : "FAILED",
      outputPayload,
      errorMessage: errorMessage === null ? null : redactText(errorMessage),
      finishedAt: this.#now,
    };
  }

  /** When a step started. A worker's clock may be wrong: a time that is not within its run so far is moved there. */
  #startOf({ startedAt }: Step): Date {
    if (startedAt == null || startedAt > this.#now) return this.#now;
    return startedAt < this.#run.startedAt ? this.#run.startedAt : startedAt;
  }

  #set(node: NodeExecution): void {
    this.#changed.set(node.id, node);
    this.#states.set(node.nodeId, node.state);
    if (node.finishedAt === null) this.#open.set(node.nodeId, node);
    else this.#open.delete(node.nodeId);
  }

  #openNode(nodeId: string): NodeExecution {
    const node = this.#open.get(nodeId);
    if (!node) throw new Error("A step that ends was found to be open.");
    return node;
  }

  plan(): StepPlan {
    const stored = new Set(this.#known.open.map(({ id }) => id));
    const changed = [...this.#changed.values()];
    return {
      nodes: this.#applied.map(({ node }) => node),
      opened: changed.filter(({ id }) => !stored.has(id)),
      ended: changed.filter(({ id }) => stored.has(id)),
      hasOpenNodes: this.#known.hasOtherOpen || this.#open.size > 0,
      hasSucceeded: this.#applied.some(({ step }) => step.outcome === "SUCCEEDED"),
      payload: this.#applied.map(({ step, node }) => ({
        node_id: node.nodeId,
        node_type: node.nodeType,
        sequence: node.sequence,
        outcome: toDbEnum(step.outcome),
        error_message: step.errorMessage,
      })),
    };
  }
}
