import type { AiJob } from "../db/generated/client/client.ts";
import { inTransaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import { AppError } from "../errors.ts";
import type { Actor } from "../log/event.ts";
import { type AwaitingJob, acceptOutputs, applyDecision, type DecisionError, lockAwaitingJob } from "./decision.ts";

/** The decisions that a reviewer can make on a job's outputs, with their GraphQL descriptions. */
export const REVIEW_DECISIONS = {
  ACCEPT: "The outputs are good: the job is COMPLETED.",
  ACCEPT_WITH_ISSUES: "The outputs are usable: the job is COMPLETED_WITH_ISSUES.",
  REVISE:
    "The work must be redone: the job is QUEUED, at first reserved for the same worker; the attempt is not charged to maxAttempts.",
  CANCEL: "The work is no longer wanted: the job is CANCELLED.",
} as const;

/** A reviewer's decision on one job. */
export interface ResolveUserReview {
  readonly jobId: string;
  readonly decision: keyof typeof REVIEW_DECISIONS;
  readonly comment: string | null;
}

/** The state that each decision moves the job to. */
const TARGET_STATES = {
  ACCEPT: "COMPLETED",
  ACCEPT_WITH_ISSUES: "COMPLETED_WITH_ISSUES",
  REVISE: "QUEUED",
  CANCEL: "CANCELLED",
} as const satisfies Record<keyof typeof REVIEW_DECISIONS, string>;

/**
 * Applies a reviewer's decision to a job that is AWAITING_USER (section 6).
 * @returns the job as it is stored, or why the decision was not applied.
 * @throws TryAgainError when the database rolled the transaction back too often; nothing is stored.
 */
export function resolveUserReview(
  engine: EngineContext,
  workspaceId: string,
  by: Actor,
  { jobId, decision, comment }: ResolveUserReview,
): Promise<AiJob | DecisionError> {
  const reviewDecision = { decision, comment, by };
  return inTransaction(engine, async (tx) => {
    const awaiting = await lockAwaitingJob(tx, workspaceId, jobId, "AWAITING_USER", TARGET_STATES[decision]);
    if (awaiting instanceof AppError) return awaiting;
    switch (decision) {
      case "ACCEPT":
      case "ACCEPT_WITH_ISSUES":
        return acceptOutputs(tx, awaiting, TARGET_STATES[decision], reviewDecision);
      case "REVISE":
        return applyDecision(tx, awaiting, reviewDecision, {
          state: "QUEUED",
          reason: "revise",
          set: revisionOf(engine, awaiting),
        });
      case "CANCEL":
        return applyDecision(tx, awaiting, reviewDecision, { state: "CANCELLED", set: { jobOutputs: null } });
    }
  });
}

/** What to change of a job whose work must be redone. It is reserved for the same worker for `revisePreferenceMs`. */
function revisionOf({ revisePreferenceMs }: EngineContext, { job, run }: AwaitingJob) {
  return {
    jobOutputs: null,
    issues: [],
    runAfter: null,
    revisions: job.revisions + 1,
    preferredWorkerId: run.workerId,
    preferredUntil: new Date(job.now.getTime() + revisePreferenceMs),
  };
}
