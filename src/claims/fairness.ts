import type { LockedJob } from "../jobs/lock.ts";
import type { Assignment, Worker } from "./acquire-lease.ts";

/** A worker that claims, and the most jobs it takes. */
export interface Claimant extends Worker {
  readonly limit: number;
}

/**
 * Assigns jobs to workers that claim at the same time, round-robin: each job to the next worker whose limit is not reached.
 * A job that a reviewer sent back is reserved for the worker that had it: until the reservation ends, no other worker gets
 * the job, even when it then stays unassigned.
 * @param jobs the most urgent first.
 * @returns the assignments in the order of `jobs`; so each worker gets its most urgent job first.
 */
export function assignRoundRobin<Job extends LockedJob, W extends Claimant>(
  jobs: readonly Job[],
  claimants: readonly W[],
): readonly (Assignment<W> & { readonly job: Job })[] {
  const remainingLimits = claimants.map(({ limit }) => limit);
  let nextIndex = 0;
  return jobs.flatMap((job) => {
    const reservedFor = job.preferredUntil && job.preferredUntil > job.now ? job.preferredWorkerId : null;
    for (let skipped = 0; skipped < claimants.length; skipped++) {
      const index = (nextIndex + skipped) % claimants.length;
      const worker = claimants[index];
      const remaining = remainingLimits[index] ?? 0;
      if (!worker || remaining === 0 || (reservedFor !== null && reservedFor !== worker.workerId)) continue;
      remainingLimits[index] = remaining - 1;
      // A reserved job does not use up its worker's turn.
      if (reservedFor === null) nextIndex = index + 1;
      return [{ job, worker }];
    }
    return [];
  });
}

/**
 * Finds the workspace after which the next claim begins its turns: of the workspaces that got the most jobs, the last in the
 * order of turns. A further round of turns would have begun after it.
 * @param previous the workspace after which this claim began its turns.
 * @returns the workspace's id; undefined when `jobs` is empty.
 */
export function lastServedWorkspace(jobs: readonly LockedJob[], previous: string): string | undefined {
  const jobCounts = new Map<string, number>();
  for (const { workspaceId } of jobs) jobCounts.set(workspaceId, (jobCounts.get(workspaceId) ?? 0) + 1);
  const maxCount = Math.max(0, ...jobCounts.values());
  const mostServed = [...jobCounts].filter(([, count]) => count === maxCount).map(([workspaceId]) => workspaceId);
  // Turns run upwards from `previous` and then wrap around, so ids up to `previous` come last. UUIDs in lower case compare
  // as strings as they do in the database.
  const afterWrap = mostServed.filter((id) => id <= previous);
  return (afterWrap.length > 0 ? afterWrap : mostServed).toSorted().at(-1);
}
