import { HOSTILE } from "../support/jobs.ts";
import { redacted } from "./payload.ts";
import type { Changes, Job, Progress, Run } from "./world.ts";

/** Section 13, "Progress": what a version says of it, and what waits until the second since the last has passed. */

/** What the next version of a job says of progress: what is reported with it, or what waits with the run, which lets it go. */
export function takeProgress(run: Run, reported: Progress | null = null): Pick<Changes, "progress"> {
  const progress = reported ? asKept(reported) : run.waiting;
  run.waiting = null;
  return progress ? { progress } : {};
}

/** Keeps what a heartbeat says that makes no version by anything else. @returns whether it makes one by this. */
export function isVersion(run: Run, reported: Progress): boolean {
  const { job } = run;
  const kept = asKept(reported);
  if (job.progress && isSame(job.progress, kept)) {
    run.waiting = null;
    return false;
  }
  if (!job.hasJustSaid) return true;
  run.waiting = kept;
  return false;
}

/** Whether progress waits that may be a version now. */
export const isDue = (job: Job, { state, waiting }: Run): boolean =>
  state === "RUNNING" && waiting !== null && !job.hasJustSaid;

export const isHostile = (progress: Progress | null): boolean => progress?.message === HOSTILE;

const asKept = ({ fraction, message }: Progress): Progress => ({ fraction, message: redacted(message) });
const isSame = (one: Progress, other: Progress): boolean =>
  one.fraction === other.fraction && one.message === other.message;
