import { SubmitAiJob, type SubmitAiJobInput } from "../api/generated.ts";
import { type Connection, request } from "../api/request.ts";
import { successOf } from "../api/result.ts";
import { untilAnswered } from "../api/retry.ts";
import { hasEnded } from "../api/states.ts";
import type { Child, Claim } from "./job.ts";
import type { Reports } from "./reports.ts";
import type { RunScope } from "./run-scope.ts";

export type ChildInput = Omit<SubmitAiJobInput, "parentJobId" | "idempotencyKey">;

/** The children of a job: jobs that it has submitted, and may wait for. */
export class Children {
  readonly #connection: Connection;
  readonly #scope: RunScope;
  readonly #reports: Reports;
  readonly #claim: Claim;
  readonly #wait: () => Promise<never>;
  readonly #revision: string;
  #submitted = 0;
  #isNew = false;

  /** @param wait gives the job back until its children have ended. */
  constructor(
    connection: Connection,
    scope: RunScope,
    reports: Reports,
    claim: Claim,
    revision: string,
    wait: () => Promise<never>,
  ) {
    this.#revision = revision;
    this.#connection = connection;
    this.#scope = scope;
    this.#reports = reports;
    this.#claim = claim;
    this.#wait = wait;
  }

  /**
   * Submits a child, once, however often the handler is called again: the first one of each run is the same, and the second one, and so on.
   * The key must have the role SUBMITTER, too.
   * @returns the id of the child.
   * @throws JobServerError where the server refuses it.
   */
  async submit(input: ChildInput): Promise<string> {
    await this.#reports.flush();
    this.#scope.throwIfOver();
    const { jobId } = this.#claim.job;
    const idempotencyKey = `${jobId}/child-${++this.#submitted}${this.#revision}`;
    const variables = { input: { ...input, parentJobId: jobId, idempotencyKey } };
    const { signal } = this.#scope;
    const { job } = await untilAnswered(async () => {
      const { submitAiJob } = await request(this.#connection, SubmitAiJob, variables, { signal });
      return successOf(submitAiJob);
    }, signal);
    this.#isNew ||= !this.#claim.children.some((child) => child.jobId === job.jobId);
    return job.jobId;
  }

  /**
   * Waits until all children have ended, whatever became of them. Where they have not, the run ends here, and the handler is called again, from
   * its beginning, when they have: no worker is bound meanwhile.
   * @returns the children, oldest first, with their states and outputs.
   */
  async wait(): Promise<readonly Child[]> {
    const { children } = this.#claim;
    if (this.#isNew || !children.every(hasEnded)) return this.#wait();
    return children.toReversed();
  }
}
