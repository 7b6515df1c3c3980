import fc from "fast-check";
import type { Step as ReportedStep } from "../../src/runs/steps.ts";
import { mostly } from "./draw.ts";
import { redacted, SECRET } from "./payload.ts";
import { isOpen, type Node, type Run } from "./world.ts";

/** Section 6, "Nodes": the steps of a report, and what they make of the nodes of its run. */
export interface NodeStep {
  readonly node: string;
  readonly type: string;
  readonly outcome: "STARTED" | "SUCCEEDED" | "FAILED";
  readonly dependsOn: readonly string[];
  /** Whether a step that ended is reported once, with the time at which it started. */
  readonly isWhole?: boolean;
}

const ERROR_MESSAGE = `not with ${SECRET}`;

/** The nodes of a run after the steps of a report, and what its event says of the steps. */
interface Applied {
  readonly nodes: readonly Node[];
  /** The node of the last step, by its place. */
  readonly last: number;
  readonly hasSucceeded: boolean;
  readonly hasInference: boolean;
  readonly payload: readonly object[];
}

/** Applies steps one after another; null where one of them does not fit the run. Changes nothing. */
export function applySteps(run: Run, steps: readonly NodeStep[]): Applied | null {
  const nodes = run.nodes.map((node) => ({ ...node }));
  const touched: { readonly step: NodeStep; readonly at: number }[] = [];
  for (const step of steps) {
    const at = applyStep(run, nodes, step);
    if (at === null) return null;
    touched.push({ step, at });
  }
  return {
    nodes,
    last: touched.at(-1)?.at ?? -1,
    hasSucceeded: steps.some(({ outcome }) => outcome === "SUCCEEDED"),
    hasInference: touched.some(({ at }) => nodes[at]?.type === "llm_call"),
    payload: touched.map(({ step, at }) => ({
      node_id: step.node,
      node_type: nodes[at]?.type,
      sequence: at + 1,
      outcome: step.outcome.toLowerCase(),
      error_message: step.outcome === "FAILED" ? redacted(ERROR_MESSAGE) : null,
    })),
  };
}

/** @returns the place of the step's node; null where the step does not fit. */
function applyStep(
  { job }: Run,
  nodes: Node[],
  { node: id, type, outcome, dependsOn, isWhole }: NodeStep,
): number | null {
  if (outcome === "STARTED" || isWhole) {
    const ready = dependsOn.every((other) => {
      const own = nodes.findLast((node) => node.id === other);
      return own
        ? own.state === "COMPLETED"
        : job.runs.some((run) => run.nodes.some(({ id: name, state }) => name === other && state === "COMPLETED"));
    });
    if (!ready || nodes.some((node) => node.id === id && isOpen(node))) return null;
    nodes.push({ id, type, dependsOn, state: "RUNNING", input: { for: id }, output: null, hasError: false });
  }
  const at = nodes.findLastIndex((node) => node.id === id && isOpen(node));
  const open = nodes[at];
  if (outcome === "STARTED") return at;
  if (open?.type !== type || (!isWhole && dependsOn.length > 0)) return null;
  open.state = outcome === "SUCCEEDED" ? "COMPLETED" : "FAILED";
  open.output = { outcome };
  open.hasError = outcome === "FAILED";
  return at;
}

/** Stores what the steps of a report have made of its run's nodes. */
export function storeSteps(run: Run, { nodes }: Applied): void {
  run.nodes.splice(0, run.nodes.length, ...nodes);
}

/** The number of the step that a report's usage is of: of its only one; 0 for none. */
export const onlyStep = (steps: readonly NodeStep[], { last }: Applied): number => (steps.length === 1 ? last + 1 : 0);

/** What an event that is not of steps alone says of those of its report. */
export const stepsIn = ({ payload }: Applied): object => (payload.length === 0 ? {} : { steps: payload });

/** Always the same, so that a report that is sent again is the same report. */
const LONG_AGO = new Date("2026-01-01T00:00:00Z");

/** The step as it is sent. */
export function sent({ node: nodeId, type: nodeType, outcome, dependsOn, isWhole = false }: NodeStep): ReportedStep {
  const isStart = outcome === "STARTED";
  return {
    nodeId,
    nodeType,
    outcome,
    dependsOn,
    startedAt: isWhole ? LONG_AGO : null,
    inputPayload: isStart || isWhole ? { for: nodeId } : null,
    outputPayload: isStart ? null : { outcome },
    errorMessage: outcome === "FAILED" ? ERROR_MESSAGE : null,
  };
}

/** Steps that are reported once, mostly of nodes that are not open. */
export const wholeSteps: fc.Arbitrary<readonly NodeStep[]> = fc.array(
  fc.record({
    node: fc.constantFrom(...mostly(6, "fetch", "rank", "read")),
    type: fc.constantFrom("tool", "llm_call"),
    outcome: fc.constantFrom<NodeStep["outcome"][]>("SUCCEEDED", "SUCCEEDED", "FAILED"),
    dependsOn: fc.constantFrom(...mostly<string[]>(12, [], ["fetch"])),
    isWhole: fc.constant(true),
  }),
  { maxLength: 2 },
);

/** The steps that end all open nodes of a run. */
export function endings(run: Run | undefined): readonly NodeStep[] {
  return (run?.nodes ?? [])
    .filter(isOpen)
    .map(({ id, type }) => ({ node: id, type, outcome: "SUCCEEDED", dependsOn: [] }));
}
