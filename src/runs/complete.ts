import type { EngineContext } from "../engine.ts";
import { type Completion, type CompletionError, decideCompletion } from "./completion.ts";
import { type ReleaseAnswer, type ReleaseKind, releaseAlone } from "./release-calls.ts";

/** Completions, as a kind of report that releases its run's lease. */
export const COMPLETIONS: ReleaseKind<Completion, CompletionError> = {
  field: "completions",
  decide: () => decideCompletion,
};

/** Completes runs together with their jobs (section 6). See `releaseAlone`. */
export function completeWorkflows(
  engine: EngineContext,
  completions: readonly Completion[],
): Promise<ReleaseAnswer<CompletionError>[]> {
  return releaseAlone(engine, COMPLETIONS, completions);
}
