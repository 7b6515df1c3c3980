import type { EngineContext } from "../engine.ts";
import { decideFailure, type Failure, type FailureError, sourcesOfFailure } from "./failure.ts";
import { type ReleaseAnswer, type ReleaseKind, releaseCall } from "./release-calls.ts";

/** Failures, as a kind of report that releases its run's lease. */
export const FAILURES: ReleaseKind<Failure, FailureError> = {
  field: "failures",
  sourcesOf: sourcesOfFailure,
  stateAfter: () => "FAILED",
  decide:
    ({ backoff }) =>
    (failure, lockedRun, path, guardsRun) =>
      decideFailure(failure, lockedRun, path, guardsRun, backoff),
};

/**
 * Ends runs as failed (section 6). A job is queued again when the failure is retryable, attempts are left and the token budget
 * is not exceeded; else the job fails, too. See `releaseCall`.
 */
export function failWorkflows(
  engine: EngineContext,
  failures: readonly Failure[],
): Promise<ReleaseAnswer<FailureError>[]> {
  return releaseCall(engine, FAILURES, failures);
}
