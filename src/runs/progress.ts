import type { Run } from "../db/rows.ts";
import type { LockedJobSummary } from "../jobs/lock.ts";
import { type JobProgress, MAX_PROGRESS_MESSAGE, type Progress } from "../jobs/progress.ts";
import { timeOfNextVersion } from "../jobs/version.ts";
import { redactBounded } from "../log/redact.ts";
import type { GuardedSource } from "../security/guards/guard.ts";
import { type NextProgress, NO_NEXT_PROGRESS } from "./store.ts";

/**
 * How far a run is, as its worker says (section 13). The job has the last progress, and a version tells of it; but progress alone makes
 * at most one version a second of a job. What comes sooner is kept with the run, where the next replaces it, until a version may take it:
 * the next one that the worker's reports make anyway, or one of a sweep (record-progress.ts). Pure functions: no I/O.
 */

/** The least time between two versions of a job that nothing but progress leads to, in milliseconds. */
export const PROGRESS_INTERVAL_MS = 1_000;

/**
 * What the next version of a job sets of its progress: what the worker reports with it, or else what waits with the run. Nothing where
 * there is neither. The statement that writes the version must let the run's go: as `releaseLeasesCte`, `renewLeasesCte` and
 * `letProgressGoCte` do.
 */
export function progressOfVersion(job: LockedJobSummary, run: Run, reported?: Progress): Partial<JobProgress> {
  const progress = reported ? asStored(reported) : waitingProgress(run);
  if (!progress) return {};
  const { fraction, message } = progress;
  return { progressFraction: fraction, progressMessage: message, progressAt: timeOfNextVersion(job) };
}

/** @returns the progress that waits with a run; null where none does. */
function waitingProgress({ nextProgressAt, nextProgressFraction, nextProgressMessage }: NextProgress): Progress | null {
  return nextProgressAt && { fraction: nextProgressFraction, message: nextProgressMessage };
}

/**
 * What becomes of a progress that a heartbeat brings, where the heartbeat makes no version of its job anyway: a version now, or it waits
 * with the run. What the job says already waits for nothing, and takes back what waits.
 */
export function decideProgress(
  job: LockedJobSummary,
  run: Run,
  reported: Progress,
  intervalMs: number,
): "VERSION" | NextProgress {
  const { fraction, message } = asStored(reported);
  const isKnown = job.progressAt !== null && fraction === job.progressFraction && message === job.progressMessage;
  if (isKnown) return NO_NEXT_PROGRESS;
  const nextProgressAt = nextVersionAt(job, run, intervalMs);
  if (nextProgressAt <= job.now) return "VERSION";
  return { nextProgressFraction: fraction, nextProgressMessage: message, nextProgressAt };
}

/** From when on progress may be a version again. The claim of a later attempt cleared what was said, and when, so it counts itself. */
function nextVersionAt({ progressAt, now }: LockedJobSummary, run: Run, intervalMs: number): Date {
  const last = progressAt ?? (run.attempt === 1 ? null : run.startedAt);
  return last === null ? now : new Date(last.getTime() + intervalMs);
}

/** Whether the progress that waits with a run may be a version now. */
export function isProgressDue({ state, nextProgressAt }: Run, now: Date): boolean {
  return state === "RUNNING" && nextProgressAt !== null && nextProgressAt <= now;
}

function asStored({ fraction, message }: Progress): Progress {
  return { fraction, message: message === null ? null : redactBounded(message, MAX_PROGRESS_MESSAGE) };
}

/** What guards look at of a progress: the text that a worker brings. */
export function sourcesOfProgress(progress: Progress | undefined): readonly GuardedSource[] {
  return progress?.message == null ? [] : [{ sourceId: null, path: "progress.message", value: progress.message }];
}
