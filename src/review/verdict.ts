import type { AiJob } from "../db/generated/client/client.ts";
import { type CommandContext, inTransaction } from "../db/transaction.ts";
import { AppError } from "../errors.ts";
import type { Actor } from "../log/event.ts";
import { redactText } from "../log/redact.ts";
import { acceptOutputs, applyDecision, type DecisionError, lockAwaitingJob } from "./decision.ts";

/** The verdicts that a validator can give on a job's outputs, with their GraphQL descriptions. */
export const VALIDATION_VERDICTS = {
  APPROVED: "The outputs are good: the job is COMPLETED, or COMPLETED_WITH_ISSUES where its worker noted any.",
  NEEDS_USER: "A person must decide: the job is AWAITING_USER.",
  REJECTED: "The outputs are not good: the job is FAILED, and they are cleared.",
} as const;

/** A validator's verdict on one job. */
export interface ResolveValidation {
  readonly jobId: string;
  readonly verdict: keyof typeof VALIDATION_VERDICTS;
  readonly comment: string | null;
}

/**
 * Applies a validator's verdict to a job that is AWAITING_VALIDATION (section 6).
 * @returns the job as it is stored, or why the verdict was not applied.
 * @throws TryAgainError when the database rolled the transaction back too often; nothing is stored.
 */
export function resolveValidation(
  context: CommandContext,
  workspaceId: string,
  by: Actor,
  { jobId, verdict, comment }: ResolveValidation,
): Promise<AiJob | DecisionError> {
  const decision = { decision: verdict, comment, by };
  return inTransaction(context, [workspaceId], async (tx) => {
    const to = ({ APPROVED: "COMPLETED", NEEDS_USER: "AWAITING_USER", REJECTED: "FAILED" } as const)[verdict];
    const awaiting = await lockAwaitingJob(tx, workspaceId, jobId, "AWAITING_VALIDATION", to);
    if (awaiting instanceof AppError) return awaiting;
    switch (verdict) {
      case "APPROVED":
        return acceptOutputs(
          tx,
          awaiting,
          awaiting.job.issues.length === 0 ? "COMPLETED" : "COMPLETED_WITH_ISSUES",
          decision,
        );
      case "NEEDS_USER":
        return applyDecision(tx, awaiting, decision, { state: "AWAITING_USER", wait: { waitsFor: "USER_REVIEW" } });
      case "REJECTED": {
        const errorMessage = comment === null ? "The outputs were rejected." : redactText(comment);
        return applyDecision(tx, awaiting, decision, {
          state: "FAILED",
          reason: "rejected",
          set: { jobOutputs: null, errorMessage },
        });
      }
    }
  });
}
