import type { Job } from "@ai-job-server/sdk/client";

/** The exit code of `submit --wait` and `watch ID` where the job has ended otherwise than completed. */
export const NOT_COMPLETED = 3;

/** A script sees by the exit code whether a job was completed. */
export function setExitCode({ state }: Pick<Job, "state">): void {
  if (state !== "COMPLETED" && state !== "COMPLETED_WITH_ISSUES") process.exitCode = NOT_COMPLETED;
}
