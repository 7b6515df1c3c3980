import { batchCalls } from "../db/batch.ts";
import { isOutcomeUnknown } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import { completeSharedBatch, completeWorkflows } from "./complete.ts";
import type { Completion } from "./completion.ts";

/** Completes the runs of one call: `completeWorkflows` with its engine given. */
export type BatchedComplete = (completions: readonly Completion[]) => ReturnType<typeof completeWorkflows>;

/** The most completions that a call may have to share a transaction: a larger call gains nothing by sharing. */
const MAX_COMPLETIONS = 10;
/** The most calls that share a transaction: it keeps the rows of all their jobs locked until it commits. */
const MAX_CALLS = 10;

/**
 * Makes a `completeWorkflows` that batches calls (see `batchCalls`). Workers that complete one job at a time send many small
 * calls; the calls that arrive while a transaction is under way share the next one. Each call is answered as it would be
 * alone.
 * @returns a function that throws what `completeWorkflows` throws.
 */
export function createBatchedComplete(engine: EngineContext): BatchedComplete {
  const completeAlone: BatchedComplete = (completions) => completeWorkflows(engine, completions);
  const completeShared = batchCalls<readonly Completion[], Awaited<ReturnType<BatchedComplete>>>({
    keyOf: () => "",
    maxCalls: MAX_CALLS,
    send: "AFTER_PREVIOUS",
    runTogether: (calls) => completeSharedBatch(engine, calls),
    runAlone: completeAlone,
    mayRunAgain: (error) => !isOutcomeUnknown(error),
  });
  return (completions) =>
    completions.length > MAX_COMPLETIONS ? completeAlone(completions) : completeShared(completions);
}
