import fc from "fast-check";
import { failWorkflow } from "../../../src/runs/fail.ts";
import { byHolder, delta, reportId } from "../draw.ts";
import { afterFailure, broken, mayWrite } from "../endings.ts";
import { redacted, SECRET, SOME_TEXT } from "../payload.ts";
import { metrics, type Real } from "../real.ts";
import { judge, keep, type Report } from "../reports.ts";
import { type Answer, type Delta, grow, INVALID_INPUT, isOverBudget, isRefusal } from "../rules.ts";
import { report } from "../step.ts";
import { agent, change, endRun, type World } from "../world.ts";

interface Failure extends Report {
  readonly retryable: boolean;
  readonly delta: Delta;
}

const WHY = `refused: ${SECRET}`;

/** A run that its worker gives up: another attempt while one is left and it is worth it. */
export const fail = report<Failure>("fail", { expected, actual });

function expected(world: World, input: Failure): Answer {
  const judged = judge(world, "fail", input, "FAILED", true);
  if (isRefusal(judged)) return judged;
  const { run, job, kept } = judged;
  if (!kept) {
    if (!mayWrite(job, input.delta.entitiesWritten ?? 0)) {
      const violation = broken.accessMode(run);
      keep(run, "fail", input, violation);
      return violation;
    }
    const grown = grow(job.metrics, input.delta);
    if (!grown) return INVALID_INPUT;
    // Beyond its budget it is not tried again, and the worker gets what it asked for.
    const passed = isOverBudget(job, grown);
    const after = afterFailure(job, input.retryable && !passed, passed ? "budget_exceeded" : "failed_by_worker");
    endRun(run, "FAILED", true);
    const why = { retryable: input.retryable, error_message: redacted(WHY) };
    const more = passed ? { ace_code: "ACE-001", detail: SOME_TEXT } : {};
    change(job, "STATE_CHANGED", agent(run), { ...after, hasError: true, metrics: grown }, { ...why, ...more });
    keep(run, "fail", input, null);
  }
  return { failed: job.number, state: job.state, version: job.version };
}

async function actual(real: Real, input: Failure): Promise<object> {
  const result = await failWorkflow(real.engine, {
    ...real.proof(input),
    errorMessage: WHY,
    retryable: input.retryable,
    metrics: metrics(input.delta),
  });
  return real.answer(result, ({ job }) => ({ failed: real.numberOf(job), state: job.state, version: job.version }));
}

const failure = fc.record({ reportId, retryable: fc.constantFrom(true, true, false), delta });

export const fails = byHolder(failure, (proof, drawn) => fail({ ...proof, ...drawn }));
