import type { JobState } from "../db/generated/client/enums.ts";
import { inTransaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import { type AppError, type GuardFailedError, JobPoisonedError, TryAgainError, tryAgainOrRethrow } from "../errors.ts";
import type { GuardedSource } from "../security/guards/guard.ts";
import type { ReportRefusal } from "./admission.ts";
import { guardReports } from "./guard-reports.ts";
import { lockJobsOfRuns, scopeOfReports } from "./lock.ts";
import { applyReleases, type DecideRelease, type ReleasedRun, type ReportItem } from "./release.ts";
import { hashIfLarge, type Report } from "./report.ts";

/** The calls with completions or failures: guarded, then stored one call at a time, or several calls in one transaction. */

/** What differs between completions and failures. */
export interface ReleaseKind<Kind extends Report, Refusal extends AppError> {
  /** The field of the call's input that has the reports. */
  readonly field: string;
  /** Everything that a report brings, for the guards. */
  readonly sourcesOf: (report: Kind) => readonly GuardedSource[];
  /** Computes ahead of the transaction what would take long in it; left out, there is nothing. */
  readonly prepare?: (engine: EngineContext, report: Kind) => Promise<void>;
  /** The state that a report would move its job to. */
  readonly stateAfter: (report: Kind) => JobState;
  readonly decide: (engine: EngineContext) => DecideRelease<Kind, Refusal>;
}

/**
 * The answer to one report. JobPoisonedError also where a guard poisoned the job for what this report brings. TryAgainError only
 * where another report of the same call has another answer.
 */
export type ReleaseAnswer<Refusal extends AppError> =
  | ReleasedRun
  | Refusal
  | ReportRefusal
  | GuardFailedError
  | TryAgainError;

/** What came of each report that was to be stored. */
export type StoredReleases<Kind extends Report, Refusal extends AppError> = ReadonlyMap<
  ReportItem<Kind>,
  ReleasedRun | Refusal | TryAgainError
>;

/** Stores reports of one call that have passed their guards. @throws TryAgainError; none of them is stored then. */
export type StoreReleases<Kind extends Report, Refusal extends AppError> = (
  items: readonly ReportItem<Kind>[],
) => Promise<StoredReleases<Kind, Refusal>>;

/**
 * Applies the reports of one call (section 6). All are guarded first; those that pass are stored in one transaction and a fixed
 * number of statements. They are decided in their order, so each of them sees what the ones before it did to its job.
 * @param store stores what has passed; by default in a transaction of its own.
 * @returns in the order of `reports`, the job and the run of each, or why it was refused.
 * @throws TryAgainError when the database failed too often, or too much large content waits for guards, and so nothing of the
 * call is stored.
 */
export async function releaseCall<Kind extends Report, Refusal extends AppError>(
  engine: EngineContext,
  kind: ReleaseKind<Kind, Refusal>,
  reports: readonly Kind[],
  store: StoreReleases<Kind, Refusal> = (items) => storeAlone(engine, kind, items),
): Promise<ReleaseAnswer<Refusal>[]> {
  for (const report of reports) {
    await hashIfLarge(engine, report);
    await kind.prepare?.(engine, report);
  }
  const toGuard = reports.map((report) => {
    return { report, sources: kind.sourcesOf(report), to: kind.stateAfter(report) };
  });
  const guarded = await guardReports(engine, toGuard);
  const itemsOrAnswers = reports.map((report, index): ReportItem<Kind> | ReleaseAnswer<Refusal> => {
    const outcome = guarded[index];
    switch (outcome?.outcome) {
      case "PASSED":
        return { report, path: ["input", kind.field, String(index)], guardsRun: outcome.guardsRun };
      case "POISONED":
        return new JobPoisonedError(outcome.poisoned.job, "STOP_POISONED");
      case "REFUSED":
        return outcome.error;
      case undefined:
        throw new Error("Each report is guarded.");
    }
  });
  const stored = await storeOrTryAgain(itemsOrAnswers.filter(isItem), store);
  return wholeOrEach(itemsOrAnswers.map((each) => (isItem(each) ? storedAnswer(each, stored) : each)));
}

function isItem<Kind extends Report>(each: ReportItem<Kind> | ReleaseAnswer<AppError>): each is ReportItem<Kind> {
  return "report" in each;
}

function storedAnswer<Item, Answer>(item: Item, stored: ReadonlyMap<Item, Answer>): Answer {
  const answer = stored.get(item);
  if (answer === undefined) throw new Error("Each report must have an answer.");
  return answer;
}

/**
 * @returns the answers.
 * @throws TryAgainError when that is each answer. As the answer to the whole call it says that nothing of it is stored.
 */
function wholeOrEach<Refusal extends AppError>(answers: ReleaseAnswer<Refusal>[]): ReleaseAnswer<Refusal>[] {
  const [first] = answers;
  if (first instanceof TryAgainError && answers.every((answer) => answer instanceof TryAgainError)) throw first;
  return answers;
}

/** @returns the answers; TryAgainError for each report where none of them could be stored. */
async function storeOrTryAgain<Kind extends Report, Refusal extends AppError>(
  items: readonly ReportItem<Kind>[],
  store: StoreReleases<Kind, Refusal>,
): Promise<StoredReleases<Kind, Refusal>> {
  if (items.length === 0) return new Map();
  const stored = await store(items).catch(tryAgainOrRethrow);
  return stored instanceof TryAgainError ? new Map(items.map((item) => [item, stored] as const)) : stored;
}

/** Stores the reports of one call in a transaction of their own. */
export function storeAlone<Kind extends Report, Refusal extends AppError>(
  engine: EngineContext,
  kind: ReleaseKind<Kind, Refusal>,
  items: readonly ReportItem<Kind>[],
): Promise<StoredReleases<Kind, Refusal>> {
  return inTransaction(engine, scopeOfReports(reportsOf(items)), async (tx) => {
    const lockedRuns = await lockJobsOfRuns(tx, reportsOf(items));
    return applyReleases(tx, items, lockedRuns, kind.decide(engine));
  });
}

/**
 * Stores the reports of several calls in one shared transaction, which never waits for a row lock: otherwise one slow job
 * would delay all calls. Left out of it are reports whose job is locked by another transaction, and those whose run an
 * earlier report of these calls is about; each call then stores its own remaining reports by itself.
 * @returns one promise for each call, in their order, once the shared transaction has committed. A promise resolves when
 * the call's remaining reports are done, too; TryAgainError is the answer to those whose own transaction was rolled back too often.
 * @throws TryAgainError when the database rolled the shared transaction back too often; nothing is stored.
 */
export async function storeTogether<Kind extends Report, Refusal extends AppError>(
  engine: EngineContext,
  kind: ReleaseKind<Kind, Refusal>,
  calls: readonly (readonly ReportItem<Kind>[])[],
): Promise<readonly Promise<StoredReleases<Kind, Refusal>>[]> {
  const firstOfRun = new Map<string, ReportItem<Kind>>();
  for (const item of calls.flat()) {
    const { workflowRunId } = item.report;
    if (!firstOfRun.has(workflowRunId)) firstOfRun.set(workflowRunId, item);
  }
  const firsts = [...firstOfRun.values()];
  const answers = await inTransaction(engine, scopeOfReports(reportsOf(firsts)), async (tx) => {
    const lockedRuns = await lockJobsOfRuns(tx, reportsOf(firsts), "SKIP");
    const lockedItems = firsts.filter(({ report }) => lockedRuns.has(report.workflowRunId));
    return applyReleases(tx, lockedItems, lockedRuns, kind.decide(engine));
  });
  return calls.map(async (items) => {
    const remaining = items.filter((item) => !answers.has(item));
    if (remaining.length === 0) return answers;
    const stored = await storeOrTryAgain(remaining, (left) => storeAlone(engine, kind, left));
    return new Map([...answers, ...stored]);
  });
}

function reportsOf<Kind extends Report>(items: readonly ReportItem<Kind>[]): readonly Kind[] {
  return items.map(({ report }) => report);
}
