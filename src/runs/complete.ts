import type { JobSummary } from "../db/job-columns.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import { TryAgainError } from "../errors.ts";
import { writeVersions } from "../jobs/store.ts";
import {
  type Completion,
  type CompletionDecision,
  type CompletionError,
  decideCompletion,
  type ReleasedRun,
} from "./completion.ts";
import { lockJobsOfRuns, PendingJobStates, type RunUnderJobLock } from "./lock.ts";
import { policyError } from "./policy.ts";
import { insertReportsCte, toReportRows } from "./report.ts";
import { releasedRun, releaseLeasesCte } from "./store.ts";
import { failViolatingRuns } from "./violating-runs.ts";

/** One completion of a call, and its path in the caller's input, for errors. */
interface Item {
  readonly completion: Completion;
  readonly path: readonly string[];
}

type Answer = ReleasedRun | CompletionError | TryAgainError;

/**
 * Completes runs (section 6), in one transaction and a fixed number of statements. The completions are decided in their
 * order, so each of them sees what the ones before it did to its job.
 * @returns in the order of `completions`, the job and the run of each, or why it was not completed.
 * @throws TryAgainError when the database rolled the transaction back too often; none of the completions is stored.
 */
export async function completeWorkflows(engine: EngineContext, completions: readonly Completion[]): Promise<Answer[]> {
  const items = itemsOf(completions);
  return answersTo(items, await complete(engine, items));
}

/**
 * Completes the runs of several calls in one shared transaction, which never waits for a row lock: otherwise one slow job
 * would delay all calls. Left out of it are completions whose job is locked by another transaction, and those whose run an
 * earlier completion of these calls is about; each call then makes its own remaining completions by itself.
 * @returns one promise for each call, in their order, once the shared transaction has committed. A promise resolves when
 * the call's remaining completions are done, too. Where their transaction was rolled back too often, each of them is
 * answered with TryAgainError; if none of the call's completions is stored, the promise rejects with it.
 * @throws TryAgainError when the database rolled the shared transaction back too often; nothing is stored.
 */
export async function completeSharedBatch(
  engine: EngineContext,
  calls: readonly (readonly Completion[])[],
): Promise<readonly Promise<Answer[]>[]> {
  const itemsOfCalls = calls.map(itemsOf);
  const firstOfRun = new Map<string, Item>();
  for (const item of itemsOfCalls.flat()) {
    const { workflowRunId } = item.completion;
    if (!firstOfRun.has(workflowRunId)) firstOfRun.set(workflowRunId, item);
  }
  const firsts = [...firstOfRun.values()];
  const answers = await inTransaction(engine, async (tx) => {
    const lockedRuns = await lockJobsOfRuns(tx, completionsOf(firsts), "SKIP");
    const lockedItems = firsts.filter(({ completion }) => lockedRuns.has(completion.workflowRunId));
    return completeLocked(tx, lockedItems, lockedRuns);
  });
  return itemsOfCalls.map(async (items) => {
    const remaining = items.filter((item) => !answers.has(item));
    if (remaining.length === 0) return answersTo(items, answers);
    const remainingAnswers = await complete(engine, remaining).catch((error: unknown) => {
      // As the answer to the whole call, TRY_AGAIN would say that nothing of it is stored.
      if (!(error instanceof TryAgainError) || remaining.length === items.length) throw error;
      return remaining.map((item) => [item, error] as const);
    });
    return answersTo(items, new Map([...answers, ...remainingAnswers]));
  });
}

function itemsOf(completions: readonly Completion[]): readonly Item[] {
  return completions.map((completion, index) => ({ completion, path: ["input", "completions", String(index)] }));
}

function completionsOf(items: readonly Item[]): readonly Completion[] {
  return items.map(({ completion }) => completion);
}

/** @returns the answers in the order of `items`. */
function answersTo(items: readonly Item[], answers: ReadonlyMap<Item, Answer>): Answer[] {
  return items.map((item) => {
    const answer = answers.get(item);
    if (!answer) throw new Error("Each completion must have an answer.");
    return answer;
  });
}

function complete(engine: EngineContext, items: readonly Item[]): Promise<ReadonlyMap<Item, Answer>> {
  return inTransaction(engine, async (tx) => completeLocked(tx, items, await lockJobsOfRuns(tx, completionsOf(items))));
}

/** @param lockedRuns the runs of the items, by id; `tx` has locked their jobs. */
async function completeLocked(
  tx: Transaction,
  items: readonly Item[],
  lockedRuns: ReadonlyMap<string, RunUnderJobLock>,
): Promise<ReadonlyMap<Item, Answer>> {
  const pendingStates = new PendingJobStates(lockedRuns);
  const decided = items.map((item) => {
    const { completion, path } = item;
    const decision = decideCompletion(completion, pendingStates.runWithPendingState(completion.workflowRunId), path);
    if (decision.kind === "ACCEPTED") pendingStates.setPendingState(decision.run.jobId, decision.release.state);
    if (decision.kind === "VIOLATION") pendingStates.setPendingState(decision.violating.job.jobId, "FAILED");
    return { item, decision };
  });
  const jobs = await writeDecisions(
    tx,
    decided.map(({ decision }) => decision),
  );
  return new Map(decided.map(({ item, decision }) => [item, answerOf(decision, jobs)]));
}

/** @returns the changed jobs by job id, as they are now stored. */
async function writeDecisions(
  tx: Transaction,
  decisions: readonly CompletionDecision[],
): Promise<ReadonlyMap<string, JobSummary>> {
  const accepted = decisions.filter((decision) => decision.kind === "ACCEPTED");
  const reportRows = accepted.flatMap(({ completion, change }) => toReportRows(completion, change.job));
  const written = await writeVersions(
    tx,
    accepted.map(({ change }) => change),
    [...releaseLeasesCte(accepted.map(({ release }) => release)), ...insertReportsCte(reportRows)],
  );
  const violating = decisions.flatMap((decision) => (decision.kind === "VIOLATION" ? [decision.violating] : []));
  const failed = await failViolatingRuns(tx, violating);
  return new Map([...written, ...failed].map(({ job }) => [job.jobId, job]));
}

/** @param changedJobs the jobs that the call has changed, by job id, as they are now stored. */
function answerOf(decision: CompletionDecision, changedJobs: ReadonlyMap<string, JobSummary>): Answer {
  switch (decision.kind) {
    case "REFUSED":
      return decision.error;
    case "REPEAT": {
      const { job, run } = decision;
      const changed = changedJobs.get(job.jobId);
      // A job can be changed in the transaction that repeats one of its completions: run 1 was sent back by a reviewer, and
      // run 2 is completed here. `job` was read before anything was written, and has the state that the completions before
      // this one lead to. If the stored job has that state, one of them changed it: answer with the stored job. If it has
      // another one, a later completion changed it, which this answer must not show: answer with `job`.
      return { job: changed?.state === job.state ? changed : job, run };
    }
    case "VIOLATION": {
      const { violation, job } = decision.violating;
      return policyError(violation, changedJobs.get(job.jobId) ?? job);
    }
    case "ACCEPTED": {
      const { run, release, change } = decision;
      return { job: changedJobs.get(run.jobId) ?? change.job, run: releasedRun(run, release) };
    }
  }
}
