import fc from "fast-check";
import { advanceWorkflow } from "../../../src/workflow/advance.ts";
import { HOSTILE } from "../../support/jobs.ts";
import { metrics, type Real } from "../real.ts";
import {
  type Answer,
  admit,
  countGuards,
  type Delta,
  grow,
  guardsOver,
  INVALID_INPUT,
  isRun,
  type Proof,
  poison,
} from "../rules.ts";
import { byHolder, delta, mostly, mutation, pick, pickFrom } from "../step.ts";
import { agent, type Content, change, isOpen, type Node, type Run, type World } from "../world.ts";

interface Advance extends Proof {
  readonly node: string;
  readonly type: string;
  readonly outcome: "STARTED" | "SUCCEEDED" | "FAILED";
  readonly snippet: Content;
  readonly delta: Delta;
}

/** Section 6, "Report", of a step: the lease, then the guards, and only then is anything kept. */
export const advance = mutation<Advance>("advance", { expected, actual });

function expected(world: World, input: Advance): Answer {
  const run = admit(world, input, "RUNNING");
  if (!isRun(run)) return run;
  const { job } = run;
  const guardsRun = guardsOver(input.snippet);
  if (input.snippet === "hostile") {
    poison(job, "prompt_injection", guardsRun);
    return { poisoned: job.number, version: job.version };
  }
  const grown = grow(job.metrics, input.delta);
  const node = grown && keepStep(run, input);
  if (!node) return INVALID_INPUT;
  const type = node.type === "llm_call" ? "LLM_INFERENCE" : "NODE_CHANGED";
  change(job, type, agent(run), { metrics: countGuards(grown, guardsRun) });
  return { node: node.id, state: node.state, version: job.version };
}

/** Opens a node, or ends the open one of this id and type; null where that cannot be. */
function keepStep({ nodes }: Run, { node: id, type, outcome }: Advance): Node | null {
  const open = nodes.find((node) => node.id === id && isOpen(node));
  if (outcome === "STARTED") {
    if (open) return null;
    const node: Node = { id, type, state: "RUNNING", input: { for: id }, output: null, hasError: false };
    nodes.push(node);
    return node;
  }
  if (open?.type !== type) return null;
  open.state = outcome === "SUCCEEDED" ? "COMPLETED" : "FAILED";
  open.output = { outcome };
  open.hasError = outcome === "FAILED";
  return open;
}

async function actual(real: Real, input: Advance): Promise<object> {
  const { node: nodeId, type: nodeType, outcome, snippet } = input;
  const starts = outcome === "STARTED";
  const content = snippet === "hostile" ? HOSTILE : "The quarterly report.";
  const result = await advanceWorkflow(real.engine, {
    ...real.proof(input),
    step: {
      nodeId,
      nodeType,
      outcome,
      inputPayload: starts ? { for: nodeId } : null,
      outputPayload: starts ? null : { outcome },
      errorMessage: outcome === "FAILED" ? "no" : null,
    },
    retrievedSnippets: snippet === "none" ? [] : [{ sourceId: "doc-1", content }],
    metrics: metrics(input.delta),
  });
  return real.answer(result, (advanced) => {
    const { version } = advanced.job;
    if (!("node" in advanced)) return { poisoned: real.numberOf(advanced.job), version };
    return { node: advanced.node.nodeId, state: advanced.node.state, version };
  });
}

const step = fc.record({
  ends: pick,
  /** Of a node that ends: what fits one that is open; the type, or both, may be as they are drawn instead. */
  fits: fc.constantFrom(...mostly(5, "node and type", "node", "nothing")),
  node: fc.constantFrom("read", "write", "check"),
  type: fc.constantFrom("tool", "llm_call"),
  outcome: fc.constantFrom<Advance["outcome"][]>("STARTED", "SUCCEEDED", "SUCCEEDED", "FAILED"),
  snippet: fc.constantFrom(...mostly<Content>(12, "none", "clean", "clean", "clean", "hostile")),
  delta,
});

export const advances = byHolder(step, (proof, { ends, fits, ...drawn }, run) => {
  if (fits === "nothing" || drawn.outcome === "STARTED") return advance({ ...proof, ...drawn });
  const nodes = run?.nodes ?? [];
  const number = pickFrom(nodes, ends, isOpen);
  if (number === null) return advance({ ...proof, ...drawn, outcome: "STARTED" });
  const ended = nodes[number];
  if (!ended) return advance({ ...proof, ...drawn });
  return advance({ ...proof, ...drawn, node: ended.id, type: fits === "node" ? drawn.type : ended.type });
});
