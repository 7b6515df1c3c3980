import fc from "fast-check";
import type { JsonValue } from "../../../src/storage/columns.ts";
import { completeWorkflows } from "../../../src/workflow/complete.ts";
import { metrics, type Real } from "../real.ts";
import {
  type Answer,
  admit,
  type Delta,
  deny,
  finish,
  grow,
  INVALID_INPUT,
  isRun,
  lacks,
  needOf,
  type Proof,
} from "../rules.ts";
import { byHolders, delta, mostly, mutation } from "../step.ts";
import { agent, endRun, isOpen, type Job, type World } from "../world.ts";

interface Completion extends Proof {
  readonly outputs: JsonValue;
  /** Documents. */
  readonly written: readonly string[];
  readonly issues: readonly string[];
  readonly delta: Delta;
}

/** Section 6: complete, with "Access mode"; each of a batch stands alone. */
export const complete = mutation<readonly Completion[]>("complete", {
  expected: (world, batch) => batch.map((each) => expected(world, each)),
  actual,
});

function expected(world: World, input: Completion): Answer {
  const state = input.issues.length === 0 ? "COMPLETED" : "COMPLETED_WITH_ISSUES";
  const run = admit(world, input, state);
  if (!isRun(run)) return run;
  const { job } = run;
  if (!mayWrite(job, input.written)) {
    finish(job, agent(run), { state: "FAILED", reason: "access_mode_violation", hasError: true });
    return { code: "ACCESS_MODE_VIOLATION", directive: "STOP_FAILED" };
  }
  const missing = lacks(world, job);
  if (missing !== null) {
    endRun(run, "FAILED", true);
    return deny(job, missing);
  }
  const grown = grow(job.metrics, input.delta);
  if (!grown || run.nodes.some(isOpen)) return INVALID_INPUT;
  const { outputs, issues } = input;
  const reason = state === "COMPLETED" ? "completed" : "completed_with_issues";
  const { capability } = needOf(job.submit.kind);
  finish(job, agent(run), { state, reason, hasError: false, outputs, issues, metrics: grown }, capability);
  return { completed: job.number, state, version: job.version };
}

function mayWrite({ submit: { accessMode, scope } }: Job, written: readonly string[]): boolean {
  return accessMode === "APPLY_SCOPED" ? written.every((id) => scope.includes(id)) : written.length === 0;
}

async function actual(real: Real, batch: readonly Completion[]): Promise<readonly object[]> {
  const results = await completeWorkflows(
    real.engine,
    batch.map((each) => ({
      ...real.proof(each),
      jobOutputs: each.outputs,
      writtenEntities: each.written.map((entityId) => ({ entityKind: "document", entityId })),
      issues: each.issues,
      metrics: metrics(each.delta),
    })),
  );
  return results.map((result) =>
    real.answer(result, ({ job, run }) => ({ completed: real.numberOf(job), state: run.state, version: job.version })),
  );
}

const completion = fc.record({
  outputs: fc.constantFrom<JsonValue[]>(null, { summary: "short" }, false, 7),
  written: fc.constantFrom(...mostly<string[]>(4, [], ["d-1"], ["d-1", "d-2"])),
  issues: fc.constantFrom<string[][]>([], ["page 3 is missing"]),
  delta,
});

export const completions = byHolders(2, completion, complete);
