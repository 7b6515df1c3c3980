import type { Job } from "@ai-job-server/sdk/client";

/** The metrics of what has used nothing. */
export const NO_METRICS: Job["metrics"] = {
  durationMs: 0,
  totalTokens: 0,
  inputTokens: 0,
  outputTokens: 0,
  tokensPlanner: 0,
  tokensExecutor: 0,
  entitiesRead: 0,
  entitiesWritten: 0,
  validatorsRunCount: 0,
};
