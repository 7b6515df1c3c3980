import { batchCalls } from "../db/batch.ts";
import { isOutcomeUnknown } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import { completeSharedBatch, completeWorkflows } from "./complete.ts";
import type { Completion } from "./completion.ts";

export type CompleteWorkflows = (completions: readonly Completion[]) => ReturnType<typeof completeWorkflows>;

/** Completions of a call that shares its transaction, at most: a call with more has no need of others. */
const MAX_COMPLETIONS = 10;
/** Calls that share a transaction, at most: it holds the rows of all their jobs. */
const MAX_CALLS = 10;

/**
 * `completeWorkflows` for a server: workers that complete one job at a time send many small calls, and those that come while
 * another one's transaction is under way share the next. Each is answered as it would be alone.
 */
export function createBatchedComplete(engine: Engine): CompleteWorkflows {
  const alone: CompleteWorkflows = (completions) => completeWorkflows(engine, completions);
  const shared = batchCalls<readonly Completion[], Awaited<ReturnType<CompleteWorkflows>>>({
    keyOf: () => "",
    maxCalls: MAX_CALLS,
    send: "AFTER_PREVIOUS",
    runTogether: (calls) => completeSharedBatch(engine, calls),
    runAlone: alone,
    mayRunAgain: (error) => !isOutcomeUnknown(error),
  });
  return (completions) => (completions.length > MAX_COMPLETIONS ? alone(completions) : shared(completions));
}
