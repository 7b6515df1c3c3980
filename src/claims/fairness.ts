import type { LockedJob } from "../jobs/lock.ts";
import type { Assignment, Worker } from "./acquire-lease.ts";

/** A worker, and how many jobs it takes at most. */
export interface Claimant extends Worker {
  readonly limit: number;
}

/**
 * Deals jobs to those who ask at the same time, in turns, each job to the next who has room for it. One that was sent back
 * is kept for the worker that had it, and goes to nobody else meanwhile: not even where it is left over.
 * @param jobs the most urgent first; so is what each of them gets.
 */
export function assignRoundRobin<Job extends LockedJob, W extends Claimant>(
  jobs: readonly Job[],
  asking: readonly W[],
): readonly (Assignment<W> & { readonly job: Job })[] {
  const room = asking.map(({ limit }) => limit);
  let next = 0;
  return jobs.flatMap((job) => {
    const keptFor = job.preferredUntil && job.preferredUntil > job.now ? job.preferredWorkerId : null;
    for (let passed = 0; passed < asking.length; passed++) {
      const at = (next + passed) % asking.length;
      const worker = asking[at];
      const left = room[at] ?? 0;
      if (!worker || left === 0 || (keptFor !== null && keptFor !== worker.workerId)) continue;
      room[at] = left - 1;
      // Whoever got what is kept for it has had no turn by that.
      if (keptFor === null) next = at + 1;
      return [{ job, worker }];
    }
    return [];
  });
}
