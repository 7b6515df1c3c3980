import { type JobSummary } from "../db/job-columns.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import { writeVersions } from "../jobs/store.ts";
import {
  type Completion,
  type CompletionDecision,
  type CompletionError,
  decideCompletion,
  type EndedRun,
} from "./completion.ts";
import { type LockedRun, lockReportedRuns, SequentialReports } from "./lock.ts";
import { policyError } from "./policy.ts";
import { insertReportsCte, toReportRows } from "./report.ts";
import { endedRun, endRunsCte } from "./store.ts";
import { failViolatingRuns } from "./violating-runs.ts";

/** One completion of a call, and where it stands in the caller's input. */
interface Item {
  readonly completion: Completion;
  readonly path: readonly string[];
}

type Answer = EndedRun | CompletionError;

/**
 * Completes runs (section 6), each judged after those before it, in one transaction and a fixed number of statements.
 * @returns in the order of `completions`, the job and the run of each, or why it was not completed.
 * @throws TryAgainError where the database gave way too often; nothing of any of them was kept.
 */
export async function completeWorkflows(engine: Engine, completions: readonly Completion[]): Promise<Answer[]> {
  const items = itemsOf(completions);
  return answersTo(items, await complete(engine, items));
}

/**
 * The same for several calls at once, in one transaction. It waits for no row: who reports on a job that somebody else
 * holds waits by itself, and so does whoever reports on a run that another one of these calls is about.
 * @returns in the order of `calls`, when the shared transaction has committed; each of them may still have to wait.
 */
export async function completeSharedBatch(
  engine: Engine,
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
    const locked = await lockReportedRuns(tx, completionsOf(firsts), "SKIP");
    const free = firsts.filter(({ completion }) => locked.has(completion.workflowRunId));
    return completeLocked(tx, free, locked);
  });
  return itemsOfCalls.map(async (items) => {
    const left = items.filter((item) => !answers.has(item));
    const later = left.length === 0 ? [] : await complete(engine, left);
    return answersTo(items, new Map([...answers, ...later]));
  });
}

function itemsOf(completions: readonly Completion[]): readonly Item[] {
  return completions.map((completion, index) => ({ completion, path: ["input", "completions", String(index)] }));
}

function completionsOf(items: readonly Item[]): readonly Completion[] {
  return items.map(({ completion }) => completion);
}

/** In the order of the call. */
function answersTo(items: readonly Item[], answers: ReadonlyMap<Item, Answer>): Answer[] {
  return items.map((item) => {
    const answer = answers.get(item);
    if (!answer) throw new Error("A completion has an answer.");
    return answer;
  });
}

function complete(engine: Engine, items: readonly Item[]): Promise<ReadonlyMap<Item, Answer>> {
  return inTransaction(engine, async (tx) =>
    completeLocked(tx, items, await lockReportedRuns(tx, completionsOf(items))),
  );
}

/** @param locked the runs of the items, whose jobs `tx` holds. */
async function completeLocked(
  tx: Transaction,
  items: readonly Item[],
  locked: ReadonlyMap<string, LockedRun>,
): Promise<ReadonlyMap<Item, Answer>> {
  const reports = new SequentialReports(locked);
  const decided = items.map((item) => {
    const { completion, path } = item;
    const decision = decideCompletion(completion, reports.find(completion.workflowRunId), path);
    if (decision.kind === "ENDED") reports.noteState(decision.run.jobId, decision.end.state);
    if (decision.kind === "VIOLATION") reports.noteState(decision.violating.job.jobId, "FAILED");
    return { item, decision };
  });
  const jobs = await writeDecisions(
    tx,
    decided.map(({ decision }) => decision),
  );
  return new Map(decided.map(({ item, decision }) => [item, answerOf(decision, jobs)]));
}

/** @returns by id, the jobs that were changed, as they now stand. */
async function writeDecisions(
  tx: Transaction,
  decisions: readonly CompletionDecision[],
): Promise<ReadonlyMap<string, JobSummary>> {
  const ended = decisions.filter((decision) => decision.kind === "ENDED");
  const keptReports = ended.flatMap(({ completion, change }) => toReportRows(completion, change.job));
  const written = await writeVersions(
    tx,
    ended.map(({ change }) => change),
    [...endRunsCte(ended.map(({ end }) => end)), ...insertReportsCte(keptReports)],
  );
  const violating = decisions.flatMap((decision) => (decision.kind === "VIOLATION" ? [decision.violating] : []));
  const failed = await failViolatingRuns(tx, violating);
  return new Map([...written, ...failed].map(({ job }) => [job.jobId, job]));
}

/** @param jobs those that the call has changed, as they now stand. */
function answerOf(decision: CompletionDecision, jobs: ReadonlyMap<string, JobSummary>): Answer {
  switch (decision.kind) {
    case "REFUSED":
      return decision.error;
    case "REPEAT": {
      const { job, run } = decision;
      const changed = jobs.get(job.jobId);
      // Where its state is that of the job as it is left, another report of this call, before this one, brought it there.
      return { job: changed?.state === job.state ? changed : job, run };
    }
    case "VIOLATION": {
      const { violation, job } = decision.violating;
      return policyError(violation, jobs.get(job.jobId) ?? job);
    }
    case "ENDED": {
      const { run, end, change } = decision;
      return { job: jobs.get(run.jobId) ?? change.job, run: endedRun(run, end) };
    }
  }
}
