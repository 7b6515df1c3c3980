import fc from "fast-check";
import { advanceWorkflow } from "../../../src/runs/advance.ts";
import { aSnippet } from "../../support/engine.ts";
import { HOSTILE } from "../../support/jobs.ts";
import { delta, mostly, pick, pickFrom, progress, reportId, reportStep } from "../draw.ts";
import { failByPolicy, mayWrite, poison } from "../endings.ts";
import { applySteps, type NodeStep, onlyStep, sent, stepsIn, storeSteps, wholeSteps } from "../nodes.ts";
import { injectionIn } from "../payload.ts";
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

interface Advance extends Report, NodeStep {
  /** Further steps of the report, after the first one. */
  readonly more?: readonly NodeStep[];
  readonly snippet: Content;
  readonly progress: Progress | null;
  readonly delta: Delta;
}

const stepsOf = ({ node, type, outcome, dependsOn, isWhole, more = [] }: Advance): readonly NodeStep[] => [
  { node, type, outcome, dependsOn, ...(isWhole === undefined ? {} : { isWhole }) },
  ...more,
];

/**
 * Section 6, "Reports": steps, which have a name at least. First the lease is checked, then guards run, and only then is anything
 * stored.
 */
export const advance = report<Advance>("advance", { expected, actual });

function expected(world: World, input: Advance): Answer {
  const judged = admit(world, "advance", input, "RUNNING", false);
  if (isRefusal(judged)) return judged;
  const { run, job, earlier: kept } = judged;
  if (kept) return answer(run, kept.node);
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
  const applied = grown && applySteps(run, stepsOf(input));
  if (!applied) return INVALID_INPUT;
  storeSteps(run, applied);
  const after = countGuards(grown, guardsOver("clean"));
  const type = applied.hasInference ? "LLM_INFERENCE" : "NODE_CHANGED";
  const releases = applied.hasSucceeded ? 0 : job.releases;
  const cost = use(run, input.delta, onlyStep(stepsOf(input), applied));
  const said = takeProgress(run, input.progress);
  change(job, type, agent(run), { metrics: after, releases, ...said }, { ...stepsIn(applied), ...cost });
  if (isOverBudget(job, after)) return failRun(run, input, failByPolicy.budget(run, after));
  remember(run, "advance", input, null, applied.last);
  return answer(run, applied.last);
}

/** The answer to steps that are kept, and to the same ones once more: the node of the last one and the job, as they are now. */
function answer(run: Run, at: number | null): Answer {
  const node = at === null ? undefined : run.nodes[at];
  return { node: node?.id, state: node?.state, version: run.job.version };
}

function failRun(run: Run, input: Advance, violation: Refusal): Refusal {
  remember(run, "advance", input, violation);
  return violation;
}

async function actual(real: Real, input: Advance): Promise<object> {
  const { snippet } = input;
  const content = snippet === "hostile" ? HOSTILE : "The quarterly report.";
  const result = await advanceWorkflow(real.engine, {
    ...real.proof(input),
    steps: stepsOf(input).map(sent),
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
  more: fc.oneof({ arbitrary: fc.constant([]), weight: 3 }, wholeSteps),
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
