import { batchCalls } from "../db/batch.ts";
import { isOutcomeUnknown } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import type { AppError } from "../errors.ts";
import type { Client } from "../threads/turns.ts";
import { COMPLETIONS } from "./complete.ts";
import { FAILURES } from "./fail.ts";
import { GIVE_BACKS } from "./give-back.ts";
import type { ReportItem } from "./release.ts";
import {
  type ReleaseAnswer,
  type ReleaseKind,
  releaseCall,
  type StoredReleases,
  storeAlone,
  storeTogether,
} from "./release-calls.ts";
import type { Report } from "./report.ts";

/** The most reports that a call may have to share a transaction: a larger call gains nothing by sharing. */
const MAX_REPORTS = 10;
/** The most calls that share a transaction: it keeps the rows of all their jobs locked until it commits. */
const MAX_CALLS = 10;

/**
 * Makes functions that apply the completions, the failures or the returned jobs of one call, and batch calls (see `batchCalls`). Workers that
 * end one run at a time send many small calls; the calls that arrive while a transaction is under way share the next one. Each
 * call is guarded by itself before that, and answered as it would be alone.
 * @returns functions that throw what `releaseCall` throws.
 */
export function createBatchedReleases(engine: EngineContext) {
  return {
    completeWorkflows: batched(engine, COMPLETIONS),
    failWorkflows: batched(engine, FAILURES),
    releaseWorkflows: batched(engine, GIVE_BACKS),
  };
}

/** The functions of one server. */
export type BatchedReleases = ReturnType<typeof createBatchedReleases>;

function batched<Kind extends Report, Refusal extends AppError>(
  engine: EngineContext,
  kind: ReleaseKind<Kind, Refusal>,
): (reports: readonly Kind[], client?: Client) => Promise<ReleaseAnswer<Refusal>[]> {
  const alone = (items: readonly ReportItem<Kind>[]) => storeAlone(engine, kind, items);
  const shared = batchCalls<readonly ReportItem<Kind>[], StoredReleases<Kind, Refusal>>({
    keyOf: () => "",
    maxCalls: MAX_CALLS,
    send: "AFTER_PREVIOUS",
    runTogether: (calls) => storeTogether(engine, kind, calls),
    runAlone: alone,
    mayRunAgain: (error) => !isOutcomeUnknown(error),
  });
  return (reports, client) =>
    releaseCall({ ...engine, client }, kind, reports, (items) =>
      items.length > MAX_REPORTS ? alone(items) : shared(items),
    );
}
