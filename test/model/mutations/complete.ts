import fc from "fast-check";
import { canonicalHash } from "../../../src/canonical-hash.ts";
import type { JobState } from "../../../src/db/generated/client/enums.ts";
import type { JsonValue } from "../../../src/db/rows.ts";
import { completeWorkflows } from "../../../src/runs/complete.ts";
import { aSnippet } from "../../support/engine.ts";
import { HOSTILE } from "../../support/jobs.ts";
import { delta, mostly, reportBatchStep, reportId } from "../draw.ts";
import { endActive, failByPolicy, mayWrite, poison } from "../endings.ts";
import { applySteps, endings, type NodeStep, onlyStep, sent, stepsIn, storeSteps, wholeSteps } from "../nodes.ts";
import { injectionIn } from "../payload.ts";
import { takeProgress } from "../progress.ts";
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
  jobPoisoned,
  missingCapability,
  type Refusal,
  requirementOf,
  use,
} from "../rules.ts";
import { report } from "../step.ts";
import { agent, type Content, change, isOpen, type Metrics, type Run, type World } from "../world.ts";

interface Completion extends Report {
  readonly outputs: JsonValue;
  /** The documents that the run wrote. */
  readonly written: readonly string[];
  readonly issues: readonly string[];
  readonly needsValidation: boolean;
  readonly steps?: readonly NodeStep[];
  readonly snippet?: Content;
  readonly delta: Delta;
}

/** Section 6: completions, with access mode, token budget and validation. Each of a batch is decided on its own. */
export const complete = report<readonly Completion[]>("complete", {
  expected: (world, batch) => {
    // All are guarded before any is stored.
    const poisoned = batch.map((each) => poisonedBy(world, each));
    return batch.map((each, index) => poisoned[index] ?? expected(world, each));
  },
  actual,
});

/** The answer to a completion whose outputs poison its job; null for any other. */
function poisonedBy(world: World, input: Completion): Refusal | null {
  if (guardedContent(input) !== "hostile") return null;
  const judged = admit(world, "complete", input, stateAfter(input), true);
  if (isRefusal(judged) || judged.earlier) return null;
  const finding =
    input.snippet === "hostile" ? injectionIn("doc-1", "retrievedSnippets") : injectionIn(null, "jobOutputs");
  poison(world, judged.job, finding, guardsOver("hostile"));
  return jobPoisoned(judged.job, "STOP_POISONED");
}

/** What the guards see of a completion. */
function guardedContent({ outputs, issues, written, steps = [], snippet = "none" }: Completion): Content {
  if (outputs === HOSTILE || snippet === "hostile") return "hostile";
  const hasText = (typeof outputs === "object" && outputs !== null) || steps.length > 0 || snippet === "clean";
  return hasText || issues.length > 0 || written.length > 0 ? "clean" : "none";
}

function expected(world: World, input: Completion): Answer {
  const judged = admit(world, "complete", input, stateAfter(input), true);
  if (isRefusal(judged)) return judged;
  const { run, job, earlier: kept } = judged;
  if (!kept) {
    const outcome = decide(world, run, input);
    if (outcome === INVALID_INPUT) return outcome;
    const violation = isRefusal(outcome) ? outcome : null;
    remember(run, "complete", input, violation);
    if (violation) return violation;
  }
  return { completed: job.number, state: run.state, version: job.version };
}

function decide(world: World, run: Run, input: Completion): Metrics | Refusal {
  const { job } = run;
  if (!mayWrite(job, input.delta.entitiesWritten ?? 0, input.written)) return failByPolicy.accessMode(run);
  const missing = missingCapability(world, job);
  if (missing !== null) return failByPolicy.capability(run, missing);
  const added = grow(job.metrics, input.delta);
  const { steps = [] } = input;
  const applied = applySteps(run, steps);
  if (!added || !applied || applied.nodes.some(isOpen)) return INVALID_INPUT;
  storeSteps(run, applied);
  const grown = countGuards(added, guardsOver(guardedContent(input)));
  const cost = use(run, input.delta, onlyStep(steps, applied));
  if (isOverBudget(job, grown)) return failByPolicy.budget(run, grown, { ...stepsIn(applied), ...cost });
  const { outputs, issues } = input;
  const state: JobState = stateAfter(input);
  const set = {
    ...takeProgress(run),
    state,
    reason: state.toLowerCase(),
    hasError: false,
    outputs,
    issues,
    metrics: grown,
    releases: applied.hasSucceeded ? 0 : job.releases,
  };
  endActive(job, state, false);
  run.outputs = outputs;
  const payload = {
    issues: issues.length,
    ...stepsIn(applied),
    ...cost,
    ...(outputs === null ? {} : { outputs_hash: canonicalHash(outputs) }),
  };
  change(job, "STATE_CHANGED", agent(run), set, payload, requirementOf(job.submit.kind).capability);
  return grown;
}

function stateAfter({ needsValidation, issues }: Completion) {
  if (needsValidation) return "AWAITING_VALIDATION";
  return issues.length === 0 ? "COMPLETED" : "COMPLETED_WITH_ISSUES";
}

async function actual(real: Real, batch: readonly Completion[]): Promise<readonly object[]> {
  const results = await completeWorkflows(
    real.engine,
    batch.map((each) => ({
      ...real.proof(each),
      jobOutputs: each.outputs,
      writtenEntities: each.written.map((entityId) => ({ entityKind: "document", entityId })),
      issues: each.issues,
      needsValidation: each.needsValidation,
      steps: (each.steps ?? []).map(sent),
      retrievedSnippets:
        (each.snippet ?? "none") === "none" ? [] : [aSnippet(each.snippet === "hostile" ? HOSTILE : "Fine.")],
      metrics: metrics(each.delta),
    })),
  );
  return results.map((result) =>
    real.answer(result, ({ job, run }) => ({ completed: real.numberOf(job), state: run.state, version: job.version })),
  );
}

const completion = fc.record({
  reportId,
  outputs: fc.constantFrom(...mostly<JsonValue>(5, null, { summary: "short" }, false, 7, HOSTILE)),
  written: fc.constantFrom(...mostly<string[]>(12, [], ["d-1"], ["d-1", "d-2"])),
  issues: fc.constantFrom<string[][]>([], ["page 3 is missing"]),
  needsValidation: fc.constantFrom(true, true, false),
  delta,
  steps: fc.oneof({ arbitrary: fc.constant([]), weight: 2 }, wholeSteps),
  snippet: fc.constantFrom(...mostly<Content>(12, "none", "clean", "hostile")),
  /** Completes also while a node is open, which is refused, unless its steps end it. */
  hasty: fc.constantFrom(...mostly(4, false, true)),
  endsAll: fc.boolean(),
});

/** Of different jobs, because a repeated report is answered with its job as it was before the batch. */
export const completions = reportBatchStep(2, completion, (batch, { claims }) => {
  const jobs = batch.map(({ run }) => claims[run]?.job);
  const different = batch.filter((_, index) => jobs.indexOf(jobs[index]) === index);
  const suitable = different.flatMap(({ hasty, endsAll, ...each }) => {
    const ends = endsAll ? endings(claims[each.run]) : [];
    const isOf = hasty || endsAll || !claims[each.run]?.nodes.some(isOpen);
    return isOf ? [{ ...each, steps: [...ends, ...each.steps] }] : [];
  });
  return suitable.length === 0 ? null : complete(suitable);
});
