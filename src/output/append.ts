import { inTransaction, readWithRetry, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import { AppError, type GuardFailedError, type InvalidInputError, type TryAgainError } from "../errors.ts";
import { checkLease, type ReportRefusal } from "../runs/admission.ts";
import { type GuardedReport, guardLeased } from "../runs/guard-reports.ts";
import { lockJobsOfRuns, type ReportedRun, scopeOfReports } from "../runs/lock.ts";
import type { Report } from "../runs/report.ts";
import type { PoisonedJob } from "../security/poison.ts";
import { insertChunks, readOutputEnd, readStored } from "./chunks.ts";
import { gapBefore, nextChunks, type SentChunk } from "./next-chunks.ts";
import { tailOf } from "./tail.ts";

/** What a worker appends to the output of its run. */
export interface AppendOutput extends Report {
  /** At least one, with sequences that follow one another. */
  readonly chunks: readonly SentChunk[];
}

/** The chunks are stored. */
export interface Appended {
  /** The sequence of the run's next chunk. */
  readonly nextSequence: number;
}

/** Why nothing was appended. */
export type AppendOutputError = ReportRefusal | InvalidInputError | GuardFailedError | TryAgainError;

/**
 * Appends chunks to a run's output (section 13): checks the lease, runs the guards over the chunks together with what stands before
 * them, then stores them under the job's lock. The output is no record: no version of the job, and no event.
 * @returns what was stored; the job, when a guard poisoned it; or why nothing was stored.
 * @throws TryAgainError when the database rolled the transaction back too often, or too much large content waits for guards;
 * nothing is stored.
 */
export async function appendOutput(
  engine: EngineContext,
  input: AppendOutput,
): Promise<Appended | PoisonedJob | AppendOutputError> {
  const [reported] = await engine.readReportedRuns([input]);
  // Before anything of the output is read: who cannot prove the lease learns nothing of it.
  const leased = checkLease(reported, input, "RUNNING");
  if (leased instanceof AppError) return leased;
  const guarded = await guardChunks(engine, input, leased);
  if (guarded instanceof AppError) return guarded;
  if (guarded.outcome === "REFUSED") return guarded.error;
  if (guarded.outcome === "POISONED") return guarded.poisoned;
  // The hint of a commit would wake every claim that waits, and there is nothing for them in it.
  const quietly = { ...engine, notifyCommit: () => undefined };
  const appended = await inTransaction(quietly, scopeOfReports([input]), (tx) => appendInTransaction(tx, input));
  if (!(appended instanceof AppError)) engine.outputs.appended(leased.job.jobId);
  return appended;
}

/** What is stored already was guarded then; what stands before a chunk is the same whenever it is read. */
async function guardChunks(
  engine: EngineContext,
  input: AppendOutput,
  leased: ReportedRun,
): Promise<GuardedReport | InvalidInputError> {
  const { run } = leased;
  const end = await readWithRetry([run.workspaceId], () => readOutputEnd(engine.prisma, run));
  const outOfOrder = gapBefore(end.lastSequence, input.chunks);
  if (outOfOrder) return outOfOrder;
  const added = input.chunks.filter(({ sequence }) => sequence > end.lastSequence).map(({ text }) => text);
  if (added.length === 0) return { outcome: "PASSED", guardsRun: 0 };
  const sources = [{ sourceId: null, path: "output", value: tailOf(end.text) + added.join("") }];
  return guardLeased(engine, leased, { report: input, sources, to: "RUNNING" });
}

async function appendInTransaction(
  tx: Transaction,
  input: AppendOutput,
): Promise<Appended | ReportRefusal | InvalidInputError> {
  const lockedRun = (await lockJobsOfRuns(tx, [input])).get(input.workflowRunId);
  const leased = checkLease(lockedRun, input, "RUNNING");
  if (leased instanceof AppError) return leased;
  const { run } = leased;
  const { chunks } = input;
  const stored = await readStored(tx, run, chunks[0]?.sequence ?? 0, chunks.at(-1)?.sequence ?? 0);
  const next = nextChunks(stored, chunks);
  if (next instanceof AppError) return next;
  if (next.length > 0) await insertChunks(tx, run, next);
  return { nextSequence: stored.lastSequence + next.length + 1 };
}
