/** What proves a run in each report of it. */
export interface Proof {
  readonly workflowRunId: string;
  readonly leaseToken: string;
}
