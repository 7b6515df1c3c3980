import type { LockedJob } from "../jobs/lock.ts";
import type { Assignment, Worker } from "./acquire-lease.ts";

/** A worker, and how many jobs it takes at most. */
export interface Claimant extends Worker {
  readonly limit: number;
}

/**
 * Assigns jobs to workers that claim at the same time, round-robin: each job to the next worker whose limit is not reached.
 * A job that a person sent back is reserved for the worker that had it; for as long as it is, no other worker gets it, even
 * where it is left over.
 * @param jobs the most urgent first; so is what each of the workers gets.
 */
export function assignRoundRobin<Job extends LockedJob, W extends Claimant>(
  jobs: readonly Job[],
  claimants: readonly W[],
): readonly (Assignment<W> & { readonly job: Job })[] {
  const remaining = claimants.map(({ limit }) => limit);
  let next = 0;
  return jobs.flatMap((job) => {
    const reservedFor = job.preferredUntil && job.preferredUntil > job.now ? job.preferredWorkerId : null;
    for (let skipped = 0; skipped < claimants.length; skipped++) {
      const at = (next + skipped) % claimants.length;
      const worker = claimants[at];
      const left = remaining[at] ?? 0;
      if (!worker || left === 0 || (reservedFor !== null && reservedFor !== worker.workerId)) continue;
      remaining[at] = left - 1;
      // A job that is reserved for a worker does not use up that worker's turn.
      if (reservedFor === null) next = at + 1;
      return [{ job, worker }];
    }
    return [];
  });
}

/**
 * The workspace that this claim served last in the rotation; undefined where it served none. Of the workspaces that got the
 * most jobs, the last in the order of turns: another round would have begun after it.
 * @param before the workspace after which the turns of this claim began.
 */
export function lastServedWorkspace(jobs: readonly LockedJob[], before: string): string | undefined {
  const counts = new Map<string, number>();
  for (const { workspaceId } of jobs) counts.set(workspaceId, (counts.get(workspaceId) ?? 0) + 1);
  const max = Math.max(0, ...counts.values());
  const served = [...counts].filter(([, count]) => count === max).map(([workspaceId]) => workspaceId);
  // Ids compare as texts as they do in the database. Turns begin after `before` and wrap around to the beginning.
  const wrapped = served.filter((id) => id <= before);
  return (wrapped.length > 0 ? wrapped : served).toSorted().at(-1);
}
