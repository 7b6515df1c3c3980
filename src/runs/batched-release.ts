import { batchCalls } from "../db/batch.ts";
import { isOutcomeUnknown } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import type { AppError } from "../errors.ts";
import { COMPLETIONS } from "./complete.ts";
import { FAILURES } from "./fail.ts";
import { type ReleaseAnswer, type ReleaseKind, releaseAlone, releaseTogether } from "./release-calls.ts";
import type { Report } from "./report.ts";

/** The most reports that a call may have to share a transaction: a larger call gains nothing by sharing. */
const MAX_REPORTS = 10;
/** The most calls that share a transaction: it keeps the rows of all their jobs locked until it commits. */
const MAX_CALLS = 10;

/**
 * Makes functions that apply the completions, or the failures, of one call, and batch calls (see `batchCalls`). Workers that
 * end one run at a time send many small calls; the calls that arrive while a transaction is under way share the next one. Each
 * call is answered as it would be alone.
 * @returns functions that throw what `releaseAlone` throws.
 */
export function createBatchedReleases(engine: EngineContext) {
  return { completeWorkflows: batched(engine, COMPLETIONS), failWorkflows: batched(engine, FAILURES) };
}

/** The functions of one server. */
export type BatchedReleases = ReturnType<typeof createBatchedReleases>;

function batched<Kind extends Report, Refusal extends AppError>(
  engine: EngineContext,
  kind: ReleaseKind<Kind, Refusal>,
): (reports: readonly Kind[]) => Promise<ReleaseAnswer<Refusal>[]> {
  const alone = (reports: readonly Kind[]) => releaseAlone(engine, kind, reports);
  const shared = batchCalls<readonly Kind[], ReleaseAnswer<Refusal>[]>({
    keyOf: () => "",
    maxCalls: MAX_CALLS,
    send: "AFTER_PREVIOUS",
    runTogether: (calls) => releaseTogether(engine, kind, calls),
    runAlone: alone,
    mayRunAgain: (error) => !isOutcomeUnknown(error),
  });
  return (reports) => (reports.length > MAX_REPORTS ? alone(reports) : shared(reports));
}
