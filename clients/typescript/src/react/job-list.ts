import type { Change, Job } from "../client/client.ts";

/** The most jobs of a live list: as many as its subscription begins with. */
const MAX_JOBS = 100;

/** A list of jobs, newest first, kept by their changes. */
export class JobList {
  readonly #jobs = new Map<string, Job>();

  /** @returns the list after a change. */
  take({ job, matchesFilter }: Change): readonly Job[] {
    const known = this.#jobs.get(job.jobId);
    if (!matchesFilter) this.#jobs.delete(job.jobId);
    else if (!known || job.version >= known.version) this.#jobs.set(job.jobId, job);
    const list = [...this.#jobs.values()].toSorted(newestFirst);
    for (const { jobId } of list.slice(MAX_JOBS)) this.#jobs.delete(jobId);
    return list.slice(0, MAX_JOBS);
  }
}

function newestFirst(one: Job, other: Job): number {
  if (one.createdAt !== other.createdAt) return one.createdAt < other.createdAt ? 1 : -1;
  return one.jobId < other.jobId ? 1 : -1;
}
