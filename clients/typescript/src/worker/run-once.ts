import type { DoneJob, Worker } from "./worker.ts";

export interface RunOnceOptions {
  /** How long a job is waited for, in seconds, from 0 to 20; 10 where it is left out. */
  readonly waitSeconds?: number;
}

/**
 * For tests: lets a worker do one job that is due, and returns when that run has ended. May be called again; a job that asked, or is tried again,
 * is due once more when it was answered, or at once. A worker that only runs so needs no `run`, and reacts to no signal of the process.
 * @returns the job, and what became of the run; undefined where none was due.
 * @throws JobServerError where the server refuses the worker; UnansweredError where it does not answer; what kept the end from being reported.
 */
export function runOnce(worker: Worker, { waitSeconds = 10 }: RunOnceOptions = {}): Promise<DoneJob | undefined> {
  return worker.once(waitSeconds);
}
