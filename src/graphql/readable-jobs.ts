/**
 * What the caller of an operation may read of jobs (section 11). With JOBS_READ all, where the workspace allows it. Without, of the jobs
 * that it has proven within this operation to hold, all but other jobs; of their parents what is no object; of any other job no more
 * than its id, state and reason. `job-reads-plugin.ts` asks it for each field.
 */
export class ReadableJobs {
  readonly #areAll: boolean;
  readonly #held = new Set<string>();
  readonly #parents = new Set<string>();

  /** @param areAll whether the caller has JOBS_READ. */
  constructor(areAll: boolean) {
    this.#areAll = areAll;
  }

  /** Notes that the caller has proven the lease of a run of this job: it was given the token just now, or sent it. */
  hold({ jobId }: { readonly jobId: string }): void {
    if (!this.#areAll) this.#held.add(jobId);
  }

  /** Notes that a job is the parent of one that the caller reads. */
  showParent(jobId: string): void {
    if (!this.#areAll) this.#parents.add(jobId);
  }

  /** Whether the caller may read everything of a row, whatever it is. */
  get areAll(): boolean {
    return this.#areAll;
  }

  /**
   * @param isScalar whether the field's values have no fields of their own.
   * @returns whether the caller may read a field of this job, or of its runs and events.
   */
  mayRead(jobId: string, isScalar: boolean): boolean {
    return this.#areAll || this.#held.has(jobId) || (isScalar && this.#parents.has(jobId));
  }
}
