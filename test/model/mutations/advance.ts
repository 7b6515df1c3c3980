import fc from "fast-check";
import { advanceWorkflow } from "../../../src/runs/advance.ts";
import { aSnippet } from "../../support/engine.ts";
import { HOSTILE } from "../../support/jobs.ts";
import { delta, mostly, pick, pickFrom, progress, reportId, reportStep } from "../draw.ts";
import { failByPolicy, mayWrite, poison } from "../endings.ts";
import { injectionIn, redacted, SECRET } from "../payload.ts";
import { isHostile, takeProgress } from "../progress.ts";
import { metrics, type Real } from "../real.ts";
import { admit, type Report, remember } from "../reports.ts";
import {
  type Answer,
  countGuards,
  type Delta,
  grow,
  guardsOver,
  INVALID_INPUT,
  isOverBudget,
  isRefusal,
  type Refusal,
  use,
} from "../rules.ts";
import { report } from "../step.ts";
import { agent, type Content, change, isOpen, type Node, type Progress, type Run, type World } from "../world.ts";

interface Advance extends Report {
  readonly node: string;
  readonly type: string;
  readonly outcome: "STARTED" | "SUCCEEDED" | "FAILED";
  readonly dependsOn: readonly string[];
  readonly snippet: Content;
  readonly progress: Progress | null;
  readonly delta: Delta;
}

const ERROR_MESSAGE = `not with ${SECRET}`;

/**
 * Section 6, "Reports": a step, which has a name at least. First the lease is checked, then guards run, and only then is anything
 * stored.
 */
export const advance = report<Advance>("advance", { expected, actual });

function expected(world: World, input: Advance): Answer {
  const judged = admit(world, "advance", input, "RUNNING", false);
  if (isRefusal(judged)) return judged;
  const { run, job, earlier: kept } = judged;
  if (kept?.node) return { node: kept.node.id, state: kept.node.state, version: job.version };
  // Guards look at the progress before the snippets.
  if (isHostile(input.progress)) {
    poison(world, job, injectionIn(null, "progress.message"), guardsOver("hostile"));
    return { poisoned: job.number, version: job.version };
  }
  if (input.snippet === "hostile") {
    poison(world, job, injectionIn("doc-1", "retrievedSnippets"), guardsOver("hostile"));
    return { poisoned: job.number, version: job.version };
  }
  if (!mayWrite(job, input.delta.entitiesWritten ?? 0)) return failRun(run, input, failByPolicy.accessMode(run));
  const grown = grow(job.metrics, input.delta);
  const node = grown && applyStep(run, input);
  if (!node) return INVALID_INPUT;
  const after = countGuards(grown, guardsOver("clean"));
  const type = node.type === "llm_call" ? "LLM_INFERENCE" : "NODE_CHANGED";
  const releases = input.outcome === "SUCCEEDED" ? 0 : job.releases;
  const cost = use(run, input.delta, run.nodes.indexOf(node) + 1);
  const said = takeProgress(run, input.progress);
  change(job, type, agent(run), { metrics: after, releases, ...said }, { ...nodePayload(run, node, input), ...cost });
  if (isOverBudget(job, after)) return failRun(run, input, failByPolicy.budget(run, after));
  remember(run, "advance", input, null, node);
  return { node: node.id, state: node.state, version: job.version };
}

function nodePayload({ nodes }: Run, node: Node, { outcome }: Advance) {
  return {
    node_id: node.id,
    node_type: node.type,
    sequence: nodes.indexOf(node) + 1,
    outcome: outcome.toLowerCase(),
    error_message: outcome === "FAILED" ? redacted(ERROR_MESSAGE) : null,
  };
}

function failRun(run: Run, input: Advance, violation: Refusal): Refusal {
  remember(run, "advance", input, violation);
  return violation;
}

/** Starts a node, or ends the open one with this id and type; null if that is not possible. */
function applyStep({ nodes, job }: Run, { node: id, type, outcome, dependsOn }: Advance): Node | null {
  const open = nodes.find((node) => node.id === id && isOpen(node));
  if (outcome === "STARTED") {
    const ready = dependsOn.every((other) => {
      const own = nodes.findLast((node) => node.id === other);
      return own
        ? own.state === "COMPLETED"
        : job.runs.some((run) => run.nodes.some(({ id: name, state }) => name === other && state === "COMPLETED"));
    });
    if (open || !ready) return null;
    const node: Node = { id, type, dependsOn, state: "RUNNING", input: { for: id }, output: null, hasError: false };
    nodes.push(node);
    return node;
  }
  if (open?.type !== type || dependsOn.length > 0) return null;
  open.state = outcome === "SUCCEEDED" ? "COMPLETED" : "FAILED";
  open.output = { outcome };
  open.hasError = outcome === "FAILED";
  return open;
}

async function actual(real: Real, input: Advance): Promise<object> {
  const { node: nodeId, type: nodeType, outcome, dependsOn, snippet } = input;
  const isStart = outcome === "STARTED";
  const content = snippet === "hostile" ? HOSTILE : "The quarterly report.";
  const result = await advanceWorkflow(real.engine, {
    ...real.proof(input),
    step: {
      nodeId,
      nodeType,
      outcome,
      dependsOn,
      inputPayload: isStart ? { for: nodeId } : null,
      outputPayload: isStart ? null : { outcome },
      errorMessage: outcome === "FAILED" ? ERROR_MESSAGE : null,
    },
    retrievedSnippets: snippet === "none" ? [] : [aSnippet(content)],
    ...(input.progress === null ? {} : { progress: input.progress }),
    metrics: metrics(input.delta),
  });
  return real.answer(result, (advanced) => {
    const { version } = advanced.job;
    if (!("node" in advanced)) return { poisoned: real.numberOf(advanced.job), version };
    return { node: advanced.node.nodeId, state: advanced.node.state, version };
  });
}

const NODES = ["read", "write", "check"];

/** This node, if it can be started, or another one that can. */
function notOpen(nodes: readonly Node[], id: string): string {
  return [id, ...NODES].find((each) => !nodes.some((node) => node.id === each && isOpen(node))) ?? id;
}

function nodesInState(sought: Node["state"], nodes: readonly Node[]): readonly string[] {
  return [...new Set(nodes.filter(({ state }) => state === sought).map(({ id }) => id))];
}

const step = fc.record({
  ends: pick,
  /** For a step that ends: which of node and type are those of an open node. The rest is random, and mostly refused. */
  fits: fc.constantFrom(...mostly(5, "node and type", "node", "nothing")),
  reportId,
  node: fc.constantFrom(...NODES),
  type: fc.constantFrom("tool", "llm_call"),
  outcome: fc.constantFrom<Advance["outcome"][]>("STARTED", "SUCCEEDED", "FAILED"),
  dependsOn: fc.constantFrom(
    ...mostly<string[] | Node["state"]>(4, [], ["read"], "COMPLETED", "FAILED", "FAILED", "FAILED"),
  ),
  snippet: fc.constantFrom(...mostly<Content>(12, "none", "clean", "clean", "clean", "hostile")),
  progress,
  delta,
});

export const advances = reportStep(step, (proof, { ends, fits, dependsOn: picked, ...more }, run) => {
  const nodes = run?.nodes ?? [];
  const dependsOn = typeof picked === "string" ? nodesInState(picked, nodes) : picked;
  const drawn = { ...more, dependsOn };
  if (fits === "nothing") return advance({ ...proof, ...drawn });
  if (drawn.outcome === "STARTED") return advance({ ...proof, ...drawn, node: notOpen(nodes, drawn.node) });
  const number = pickFrom(nodes, ends, isOpen);
  if (number === null) return advance({ ...proof, ...drawn, outcome: "STARTED" });
  const ended = nodes[number];
  if (!ended) return advance({ ...proof, ...drawn });
  const type = fits === "node" ? drawn.type : ended.type;
  return advance({ ...proof, ...drawn, dependsOn: [], node: ended.id, type });
});
