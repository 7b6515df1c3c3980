import type { LockedJob } from "../jobs/lock.ts";
import type { Assignment, Worker } from "./acquire-lease.ts";

/** A worker that claims, and the most jobs it takes. */
export interface Claimant extends Worker {
  readonly limit: number;
}

/**
 * Assigns jobs to workers that claim at the same time, round-robin: each job to the next worker whose limit is not reached.
 * A job that a person sent back or answered is reserved for the worker that had it: until the reservation ends, no other worker gets
 * the job, even if the job stays unassigned for that reason.
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
 * Finds the workspace that had the last turn, so that the next claim begins its turns with the workspace after it. Each turn
 * takes one job, and no workspace has a second turn in a round: so of the workspaces that got the most jobs, the last in the
 * order of turns had the last turn. Jobs that the claim could not take (locked by another claim, or refused by a quota) make
 * this inexact; then a workspace has one turn too early or too late.
 * @param startAfter the id of the workspace after which this claim began its turns.
 * @returns the id of the workspace; undefined when `jobs` is empty.
 */
export function workspaceOfLastTurn(jobs: readonly LockedJob[], startAfter: string): string | undefined {
  const jobCounts = new Map<string, number>();
  for (const { workspaceId } of jobs) jobCounts.set(workspaceId, (jobCounts.get(workspaceId) ?? 0) + 1);
  const maxCount = Math.max(0, ...jobCounts.values());
  const mostServed = [...jobCounts].filter(([, count]) => count === maxCount).map(([workspaceId]) => workspaceId);
  // Turns run upwards from `startAfter` and then wrap around, so ids up to `startAfter` come last. UUIDs in lower case compare
  // as strings as they do in the database.
  const afterWrap = mostServed.filter((id) => id <= startAfter);
  return (afterWrap.length > 0 ? afterWrap : mostServed).toSorted().at(-1);
}
