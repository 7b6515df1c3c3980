import type { Change, Job } from "@ai-job-server/sdk/client";

/** A list of jobs that is read page by page and kept by their changes, so that nothing in it moves while somebody reads or points at it. */

/** What the list shows. A new one with each change, the jobs in it the same as long as they are. */
export interface ListView {
  readonly jobs: readonly Job[];
  /** The jobs in it that match no more; they go when the list is brought up to date. */
  readonly gone: ReadonlySet<string>;
  /** How many changes of which jobs are in the list wait until it is brought up to date. */
  readonly waiting: number;
}

/** How many jobs may come on top before the list begins anew with its first page: it would grow for ever. */
const MAX_ARRIVALS = 500;

export class LiveList {
  #jobs: Job[] = [];
  /** Where each job of the list is, so that a change costs the same however long the list is; counted from where the list began. */
  #places = new Map<string, number>();
  /** The place of the first job: below 0 as soon as others have come on top, so that the places of those below them stay as they are. */
  #first = 0;
  #arrived = new Map<string, Job>();
  #gone = new Set<string>();
  #arrivals = 0;
  readonly #takesArrivals: boolean;

  /** @param takesArrivals whether a job that is new belongs on top: the order is by time of submission, newest first. */
  constructor(takesArrivals: boolean) {
    this.#takesArrivals = takesArrivals;
  }

  /** Whether so much has come on top that the list should be read again. */
  get isFull(): boolean {
    return this.#arrivals > MAX_ARRIVALS;
  }

  /** Adds a page at the end. */
  append(page: readonly Job[]): void {
    for (const job of page) {
      const place = this.#places.get(job.jobId);
      if (place !== undefined) this.#replace(place, job);
      else if (!this.#arrived.has(job.jobId)) {
        this.#places.set(job.jobId, this.#first + this.#jobs.length);
        this.#jobs.push(job);
      }
    }
  }

  /** Takes a change: what is in the list is shown as it is now, where it stands; what is not waits. */
  take({ job, matchesFilter }: Change): void {
    const place = this.#places.get(job.jobId);
    if (place !== undefined) {
      this.#replace(place, job);
      if (matchesFilter) this.#gone.delete(job.jobId);
      else this.#gone.add(job.jobId);
      return;
    }
    if (!matchesFilter) this.#arrived.delete(job.jobId);
    else if (this.#belongsOnTop(job)) {
      const known = this.#arrived.get(job.jobId);
      if (!known || job.version >= known.version) this.#arrived.set(job.jobId, job);
    }
  }

  /** Brings the list up to date: what waits comes in, what matches no more goes. */
  settle(): void {
    if (this.#arrived.size === 0 && this.#gone.size === 0) return;
    const onTop = [...this.#arrived.values()].toSorted(newestFirst);
    this.#arrivals += onTop.length;
    if (this.#gone.size > 0) this.#removeGone();
    this.#first -= onTop.length;
    for (const [index, { jobId }] of onTop.entries()) this.#places.set(jobId, this.#first + index);
    this.#jobs = [...onTop, ...this.#jobs];
    this.#arrived = new Map();
  }

  #removeGone(): void {
    this.#jobs = this.#jobs.filter(({ jobId }) => !this.#gone.has(jobId));
    this.#places = new Map(this.#jobs.map(({ jobId }, index) => [jobId, index]));
    this.#first = 0;
    this.#gone = new Set();
  }

  get view(): ListView {
    return { jobs: [...this.#jobs], gone: new Set(this.#gone), waiting: this.#arrived.size + this.#gone.size };
  }

  /** A change may come later than a newer look at the job, and then says nothing new. */
  #replace(place: number, job: Job): void {
    const index = place - this.#first;
    const known = this.#jobs[index];
    if (known && job.version >= known.version) this.#jobs[index] = job;
  }

  /** What is older than the list's newest belongs further down, on a page that is read when it is looked at. */
  #belongsOnTop(job: Job): boolean {
    const [first] = this.#jobs;
    return this.#takesArrivals && (!first || newestFirst(job, first) < 0);
  }
}

function newestFirst(one: Job, other: Job): number {
  if (one.createdAt !== other.createdAt) return one.createdAt < other.createdAt ? 1 : -1;
  return one.jobId < other.jobId ? 1 : -1;
}
