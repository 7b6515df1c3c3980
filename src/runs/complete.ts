import type { EngineContext } from "../engine.ts";
import {
  type Completion,
  type CompletionError,
  decideCompletion,
  sourcesOfCompletion,
  stateAfter,
} from "./completion.ts";
import { hashLargeOutputs } from "./outputs-hash.ts";
import { type ReleaseAnswer, type ReleaseKind, releaseCall } from "./release-calls.ts";

/** Completions, as a kind of report that releases its run's lease. */
export const COMPLETIONS: ReleaseKind<Completion, CompletionError> = {
  field: "completions",
  sourcesOf: sourcesOfCompletion,
  prepare: hashLargeOutputs,
  stateAfter,
  decide: () => decideCompletion,
};

/** Completes runs together with their jobs (section 6). See `releaseCall`. */
export function completeWorkflows(
  engine: EngineContext,
  completions: readonly Completion[],
): Promise<ReleaseAnswer<CompletionError>[]> {
  return releaseCall(engine, COMPLETIONS, completions);
}
