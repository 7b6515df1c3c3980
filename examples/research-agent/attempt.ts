import type { ClaimedJob, RunContext } from "@ai-job-server/sdk/worker";
import type { CallModel } from "./call-model.ts";

/** What the work of a job is done with. */
export interface Attempt {
  readonly job: ClaimedJob;
  readonly ctx: RunContext;
  readonly callModel: CallModel;
}
