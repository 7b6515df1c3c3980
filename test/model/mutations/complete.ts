import fc from "fast-check";
import type { JobState } from "../../../src/db/generated/client/enums.ts";
import type { JsonValue } from "../../../src/db/rows.ts";
import { completeWorkflows } from "../../../src/runs/complete.ts";
import { byHolders, delta, mostly, reportId } from "../draw.ts";
import { broken, endActive, hasOpenNode, mayWrite } from "../endings.ts";
import { metrics, type Real } from "../real.ts";
import { judge, keep, type Report } from "../reports.ts";
import {
  type Answer,
  type Delta,
  grow,
  INVALID_INPUT,
  isOverBudget,
  isRefusal,
  lacks,
  needOf,
  type Refusal,
} from "../rules.ts";
import { report } from "../step.ts";
import { agent, change, isOpen, type Metrics, type Run, type World } from "../world.ts";

interface Completion extends Report {
  readonly outputs: JsonValue;
  /** Documents. */
  readonly written: readonly string[];
  readonly issues: readonly string[];
  readonly needsValidation: boolean;
  readonly delta: Delta;
}

/** Section 6: complete, with "Access mode", "Budget" and "Validation"; each of a batch stands alone. */
export const complete = report<readonly Completion[]>("complete", {
  expected: (world, batch) => batch.map((each) => expected(world, each)),
  actual,
});

function expected(world: World, input: Completion): Answer {
  const judged = judge(world, "complete", input, stateAfter(input), true);
  if (isRefusal(judged)) return judged;
  const { run, job, kept } = judged;
  if (!kept) {
    const decided = decide(world, run, input);
    if (decided === INVALID_INPUT) return decided;
    const violation = isRefusal(decided) ? decided : null;
    keep(run, "complete", input, violation);
    if (violation) return violation;
  }
  return { completed: job.number, state: run.state, version: job.version };
}

function decide(world: World, run: Run, input: Completion): Metrics | Refusal {
  const { job } = run;
  if (!mayWrite(job, input.delta.entitiesWritten ?? 0, input.written)) return broken.accessMode(run);
  const missing = lacks(world, job);
  if (missing !== null) return broken.capability(run, missing);
  const grown = grow(job.metrics, input.delta);
  if (!grown || hasOpenNode(run)) return INVALID_INPUT;
  if (isOverBudget(job, grown)) return broken.budget(run, grown);
  const { outputs, issues } = input;
  const state: JobState = stateAfter(input);
  const set = { state, reason: state.toLowerCase(), hasError: false, outputs, issues, metrics: grown };
  endActive(job, state, false);
  change(job, "STATE_CHANGED", agent(run), set, { issues: issues.length }, needOf(job.submit.kind).capability);
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
      metrics: metrics(each.delta),
    })),
  );
  return results.map((result) =>
    real.answer(result, ({ job, run }) => ({ completed: real.numberOf(job), state: run.state, version: job.version })),
  );
}

const completion = fc.record({
  reportId,
  outputs: fc.constantFrom<JsonValue[]>(null, { summary: "short" }, false, 7),
  written: fc.constantFrom(...mostly<string[]>(12, [], ["d-1"], ["d-1", "d-2"])),
  issues: fc.constantFrom<string[][]>([], ["page 3 is missing"]),
  needsValidation: fc.constantFrom(true, true, false),
  delta,
  /** Whether or not a node is open. */
  hasty: fc.constantFrom(...mostly(4, false, true)),
});

/** About different jobs: a report that is repeated is answered with its job as it was before the batch. */
export const completions = byHolders(2, completion, (batch, { claims }) => {
  const jobs = batch.map(({ run }) => claims[run]?.job);
  const different = batch.filter((_, index) => jobs.indexOf(jobs[index]) === index);
  const apt = different.filter(({ run, hasty }) => hasty || !claims[run]?.nodes.some(isOpen));
  return apt.length === 0 ? null : complete(apt.map(({ hasty: _hasty, ...each }) => each));
});
