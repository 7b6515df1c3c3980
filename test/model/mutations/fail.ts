import fc from "fast-check";
import { failWorkflow } from "../../../src/workflow/fail.ts";
import { metrics, type Real } from "../real.ts";
import { type Answer, admit, afterFailure, type Delta, grow, INVALID_INPUT, isRun, type Proof } from "../rules.ts";
import { byHolder, delta, mutation } from "../step.ts";
import { agent, change, endRun, type World } from "../world.ts";

interface Failure extends Proof {
  readonly retryable: boolean;
  readonly delta: Delta;
}

/** A run that its worker gives up: another attempt while one is left and it is worth it. */
export const fail = mutation<Failure>("fail", { expected, actual });

function expected(world: World, input: Failure): Answer {
  const run = admit(world, input, "FAILED");
  if (!isRun(run)) return run;
  const { job } = run;
  const grown = grow(job.metrics, input.delta);
  if (!grown) return INVALID_INPUT;
  endRun(run, "FAILED", true);
  const set = { ...afterFailure(job, input.retryable, "failed_by_worker"), hasError: true, metrics: grown };
  change(job, "STATE_CHANGED", agent(run), set);
  return { failed: job.number, state: job.state, version: job.version };
}

async function actual(real: Real, input: Failure): Promise<object> {
  const result = await failWorkflow(real.engine, {
    ...real.proof(input),
    errorMessage: "out of memory",
    retryable: input.retryable,
    metrics: metrics(input.delta),
  });
  return real.answer(result, ({ job }) => ({ failed: real.numberOf(job), state: job.state, version: job.version }));
}

const failure = fc.record({ retryable: fc.constantFrom(true, true, false), delta });

export const fails = byHolder(failure, (proof, drawn) => fail({ ...proof, ...drawn }));
