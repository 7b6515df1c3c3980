import type { AiJob } from "../db/generated/client/client.ts";

/** The progress of a job (section 13) as its row has it; how a run's becomes it: runs/progress.ts. */

/** What a worker reports, or a job says: at least one of the two. A report replaces both. */
export interface Progress {
  /** From 0 to 1. */
  readonly fraction: number | null;
  /** For people: 1 to 200 characters. */
  readonly message: string | null;
}

/** The longest message, in characters. */
export const MAX_PROGRESS_MESSAGE = 200;

/** The columns of a job that say its progress: all null where it has none. */
export type JobProgress = Pick<AiJob, "progressFraction" | "progressMessage" | "progressAt">;
export const NO_PROGRESS: JobProgress = { progressFraction: null, progressMessage: null, progressAt: null };
