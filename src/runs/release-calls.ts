import { inTransaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import { type AppError, TryAgainError } from "../errors.ts";
import { lockJobsOfRuns } from "./lock.ts";
import { applyReleases, type DecideRelease, type ReleasedRun, type ReportItem } from "./release.ts";
import type { Report } from "./report.ts";

/** The calls with completions or failures: one by one, or several in one transaction. */

/** What differs between completions and failures. */
export interface ReleaseKind<Kind extends Report, Refusal extends AppError> {
  /** The field of the call's input that has the reports. */
  readonly field: string;
  readonly decide: (engine: EngineContext) => DecideRelease<Kind, Refusal>;
}

/** The answer to one report. TryAgainError only where other reports of the same call are stored already. */
export type ReleaseAnswer<Refusal extends AppError> = ReleasedRun | Refusal | TryAgainError;

/**
 * Applies the reports of one call (section 6), in one transaction and a fixed number of statements. They are decided in their
 * order, so each of them sees what the ones before it did to its job.
 * @returns in the order of `reports`, the job and the run of each, or why it was refused.
 * @throws TryAgainError when the database rolled the transaction back too often; none of the reports is stored.
 */
export async function releaseAlone<Kind extends Report, Refusal extends AppError>(
  engine: EngineContext,
  kind: ReleaseKind<Kind, Refusal>,
  reports: readonly Kind[],
): Promise<ReleaseAnswer<Refusal>[]> {
  const items = itemsOf(kind, reports);
  return inOrder(items, await release(engine, kind, items));
}

/**
 * Applies the reports of several calls in one shared transaction, which never waits for a row lock: otherwise one slow job
 * would delay all calls. Left out of it are reports whose job is locked by another transaction, and those whose run an
 * earlier report of these calls is about; each call then applies its own remaining reports by itself.
 * @returns one promise for each call, in their order, once the shared transaction has committed. A promise resolves when
 * the call's remaining reports are done, too. Where their transaction was rolled back too often, each of them is
 * answered with TryAgainError; if none of the call's reports is stored, the promise rejects with it.
 * @throws TryAgainError when the database rolled the shared transaction back too often; nothing is stored.
 */
export async function releaseTogether<Kind extends Report, Refusal extends AppError>(
  engine: EngineContext,
  kind: ReleaseKind<Kind, Refusal>,
  calls: readonly (readonly Kind[])[],
): Promise<readonly Promise<ReleaseAnswer<Refusal>[]>[]> {
  const itemsOfCalls = calls.map((reports) => itemsOf(kind, reports));
  const firstOfRun = new Map<string, ReportItem<Kind>>();
  for (const item of itemsOfCalls.flat()) {
    const { workflowRunId } = item.report;
    if (!firstOfRun.has(workflowRunId)) firstOfRun.set(workflowRunId, item);
  }
  const firsts = [...firstOfRun.values()];
  const answers = await inTransaction(engine, async (tx) => {
    const lockedRuns = await lockJobsOfRuns(tx, reportsOf(firsts), "SKIP");
    const lockedItems = firsts.filter(({ report }) => lockedRuns.has(report.workflowRunId));
    return applyReleases(tx, lockedItems, lockedRuns, kind.decide(engine));
  });
  return itemsOfCalls.map(async (items) => {
    const remaining = items.filter((item) => !answers.has(item));
    if (remaining.length === 0) return inOrder(items, answers);
    const remainingAnswers = await release(engine, kind, remaining).catch((error: unknown) => {
      // As the answer to the whole call, TRY_AGAIN would say that nothing of it is stored.
      if (!(error instanceof TryAgainError) || remaining.length === items.length) throw error;
      return remaining.map((item) => [item, error] as const);
    });
    return inOrder(items, new Map<ReportItem<Kind>, ReleaseAnswer<Refusal>>([...answers, ...remainingAnswers]));
  });
}

function itemsOf<Kind extends Report>(
  { field }: { readonly field: string },
  reports: readonly Kind[],
): readonly ReportItem<Kind>[] {
  return reports.map((report, index) => ({ report, path: ["input", field, String(index)] }));
}

function reportsOf<Kind extends Report>(items: readonly ReportItem<Kind>[]): readonly Kind[] {
  return items.map(({ report }) => report);
}

/** @returns the answers in the order of `items`. */
function inOrder<Item, Answer>(items: readonly Item[], answers: ReadonlyMap<Item, Answer>): Answer[] {
  return items.map((item) => {
    const answer = answers.get(item);
    if (answer === undefined) throw new Error("Each report must have an answer.");
    return answer;
  });
}

function release<Kind extends Report, Refusal extends AppError>(
  engine: EngineContext,
  kind: ReleaseKind<Kind, Refusal>,
  items: readonly ReportItem<Kind>[],
) {
  return inTransaction(engine, async (tx) => {
    const lockedRuns = await lockJobsOfRuns(tx, reportsOf(items));
    return applyReleases(tx, items, lockedRuns, kind.decide(engine));
  });
}
