import type { AiJob } from "../db/generated/client/client.ts";
import { type CommandContext, inTransaction } from "../db/transaction.ts";
import { AppError } from "../errors.ts";
import type { Actor } from "../log/event.ts";
import { redactText } from "../log/redact.ts";
import { acceptOutputs, applyDecision, type DecisionError, lockAwaitingJob } from "./decision.ts";

/** Every verdict on outputs that await validation, and what it means. GraphQL's enum follows from it. */
export const VALIDATION_VERDICTS = {
  APPROVED: "The outputs are good: the job is COMPLETED, or COMPLETED_WITH_ISSUES where its worker noted any.",
  NEEDS_USER: "A person must decide: the job is AWAITING_USER.",
  REJECTED: "The outputs are not good: the job is FAILED, and they are cleared.",
} as const;

export interface ResolveValidation {
  readonly jobId: string;
  readonly verdict: keyof typeof VALIDATION_VERDICTS;
  readonly comment: string | null;
}

/**
 * Gives the verdict on a job that is AWAITING_VALIDATION (section 6).
 * @returns the job as the verdict left it, or why it does not stand.
 * @throws TryAgainError where the database gave way too often; nothing was kept.
 */
export function resolveValidation(
  context: CommandContext,
  workspaceId: string,
  by: Actor,
  { jobId, verdict, comment }: ResolveValidation,
): Promise<AiJob | DecisionError> {
  const made = { decision: verdict, comment, by };
  return inTransaction(context, async (tx) => {
    const to = ({ APPROVED: "COMPLETED", NEEDS_USER: "AWAITING_USER", REJECTED: "FAILED" } as const)[verdict];
    const awaiting = await lockAwaitingJob(tx, workspaceId, jobId, "AWAITING_VALIDATION", to);
    if (awaiting instanceof AppError) return awaiting;
    switch (verdict) {
      case "APPROVED":
        return acceptOutputs(
          tx,
          awaiting,
          awaiting.job.issues.length === 0 ? "COMPLETED" : "COMPLETED_WITH_ISSUES",
          made,
        );
      case "NEEDS_USER":
        return applyDecision(tx, awaiting, made, { state: "AWAITING_USER" });
      case "REJECTED": {
        const errorMessage = comment === null ? "The outputs were rejected." : redactText(comment);
        return applyDecision(tx, awaiting, made, {
          state: "FAILED",
          reason: "rejected",
          set: { jobOutputs: null, errorMessage },
        });
      }
    }
  });
}
