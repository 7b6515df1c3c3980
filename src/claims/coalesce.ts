import { inTurns } from "../db/batch.ts";
import { isOutcomeUnknown } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import { completeSharedBatch, completeWorkflows } from "../runs/complete.ts";
import type { Completion } from "../runs/completion.ts";
import { type ClaimAiJobs, type Claimed, claimAiJobs, claimTogether } from "./claim.ts";
import { demandKey } from "./claim-query.ts";

/**
 * Workers that take and complete one job at a time send many small calls. A transaction costs more than a job in it: so
 * calls that come while another one's transaction is under way share the next. Each is answered as it would be alone.
 */

/** Jobs of a call that shares its transaction: one with more has no need of others. */
const MAX_JOBS = 10;

/** Claims of a process: those who want the same share transactions. */
export function coalesceClaims(engine: Engine): (input: ClaimAiJobs) => Promise<Claimed> {
  /** One for each thing that is wanted just now. */
  const lines = new Map<string, { readonly call: (input: ClaimAiJobs) => Promise<Claimed>; calls: number }>();
  const newLine = () => {
    const call = inTurns((inputs: readonly ClaimAiJobs[]) =>
      orApart(
        inputs,
        () => claimTogether(engine, inputs),
        (input) => claimAiJobs(engine, input),
      ),
    );
    return { call, calls: 0 };
  };
  return async (input) => {
    if (input.limit > MAX_JOBS) return claimAiJobs(engine, input);
    const key = demandKey(input);
    const line = lines.get(key) ?? newLine();
    lines.set(key, line);
    line.calls += 1;
    try {
      return await line.call(input);
    } finally {
      line.calls -= 1;
      if (line.calls === 0) lines.delete(key);
    }
  };
}

export type CompleteWorkflows = (completions: readonly Completion[]) => ReturnType<typeof completeWorkflows>;

/** Completions of a process. */
export function coalesceCompletions(engine: Engine): CompleteWorkflows {
  const alone: CompleteWorkflows = (completions) => completeWorkflows(engine, completions);
  const complete = inTurns((calls: readonly (readonly Completion[])[]) =>
    orApart(calls, () => completeSharedBatch(engine, calls), alone),
  );
  return (completions) => (completions.length > MAX_JOBS ? alone(completions) : complete(completions));
}

/** What one of them cannot do must not keep the others from what they can: where it fails together, each goes alone. */
async function orApart<Call, Answer>(
  calls: readonly Call[],
  together: () => Promise<readonly Promise<Answer>[]>,
  alone: (call: Call) => Promise<Answer>,
): Promise<readonly Promise<Answer>[]> {
  try {
    return await together();
  } catch (error) {
    if (calls.length === 1 || isOutcomeUnknown(error)) throw error;
    return calls.map(alone);
  }
}
