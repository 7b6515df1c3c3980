import type { AiJob } from "../db/generated/client/client.ts";
import { inTransaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import { AppError } from "../errors.ts";
import type { Actor } from "../log/event.ts";
import { type AwaitingJob, acceptOutputs, applyDecision, type DecisionError, lockAwaitingJob } from "./decision.ts";

/** Every decision of a person on outputs, and what it means. GraphQL's enum follows from it. */
export const REVIEW_DECISIONS = {
  ACCEPT: "The outputs are good: the job is COMPLETED.",
  ACCEPT_WITH_ISSUES: "The outputs are usable: the job is COMPLETED_WITH_ISSUES.",
  REVISE:
    "Once more: the job is QUEUED, for a while for the worker that had it; the attempt is not charged to maxAttempts.",
  CANCEL: "No more of it: the job is CANCELLED.",
} as const;

export interface ResolveUserReview {
  readonly jobId: string;
  readonly decision: keyof typeof REVIEW_DECISIONS;
  readonly comment: string | null;
}

const TARGETS = {
  ACCEPT: "COMPLETED",
  ACCEPT_WITH_ISSUES: "COMPLETED_WITH_ISSUES",
  REVISE: "QUEUED",
  CANCEL: "CANCELLED",
} as const satisfies Record<keyof typeof REVIEW_DECISIONS, string>;

/**
 * Decides as a person on a job that is AWAITING_USER (section 6).
 * @returns the job as the decision left it, or why it does not stand.
 * @throws TryAgainError where the database gave way too often; nothing was kept.
 */
export function resolveUserReview(
  engine: Engine,
  workspaceId: string,
  by: Actor,
  { jobId, decision, comment }: ResolveUserReview,
): Promise<AiJob | DecisionError> {
  const made = { decision, comment, by };
  return inTransaction(engine, async (tx) => {
    const awaiting = await lockAwaitingJob(tx, workspaceId, jobId, "AWAITING_USER", TARGETS[decision]);
    if (awaiting instanceof AppError) return awaiting;
    switch (decision) {
      case "ACCEPT":
      case "ACCEPT_WITH_ISSUES":
        return acceptOutputs(tx, awaiting, TARGETS[decision], made);
      case "REVISE":
        return applyDecision(tx, awaiting, made, {
          state: "QUEUED",
          reason: "revise",
          set: sentBack(engine, awaiting),
        });
      case "CANCEL":
        return applyDecision(tx, awaiting, made, { state: "CANCELLED", set: { jobOutputs: null } });
    }
  });
}

/** What changes of a job that is to be done once more, by the same worker if it comes for it in time. */
function sentBack({ revisePreferenceMs }: Engine, { job, run }: AwaitingJob) {
  return {
    jobOutputs: null,
    issues: [],
    runAfter: null,
    revisions: job.revisions + 1,
    preferredWorkerId: run.workerId,
    preferredUntil: new Date(job.now.getTime() + revisePreferenceMs),
  };
}
