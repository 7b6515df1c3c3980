/**
 * What api.graphql promises and this version does not serve, by reason. A coordinate stands for everything below it:
 * a type for its fields and its place in unions, a field for its arguments. The contract check fails when one of them
 * is served after all, so this list can only shrink.
 */
const LATER: Readonly<Record<string, readonly string[]>> = {
  "claiming the next due jobs": ["Mutation.claimAiJobs", "ClaimAiJobsInput", "ClaimAiJobsPayload", "ClaimAiJobsResult"],
  "validation and review": [
    "Mutation.resolveValidation",
    "ResolveValidationInput",
    "ResolveValidationPayload",
    "ResolveValidationResult",
    "ValidationVerdict",
    "Mutation.resolveUserReview",
    "ResolveUserReviewInput",
    "ResolveUserReviewPayload",
    "ResolveUserReviewResult",
    "ReviewDecision",
    "WorkflowCompletionInput.needsValidation",
  ],
  retrying: ["Mutation.retryAiJob", "RetryAiJobInput", "RetryAiJobPayload", "RetryAiJobResult"],
  "bulk actions": [
    "Mutation.cancelAiJobs",
    "CancelAiJobsInput",
    "CancelAiJobsPayload",
    "CancelAiJobsResult",
    "Mutation.retryAiJobs",
    "RetryAiJobsInput",
    "RetryAiJobsPayload",
    "RetryAiJobsResult",
    "BulkAction",
    "BulkActionItem",
  ],
  children: [
    "SubmitAiJobInput.parentJobId",
    "SubmitAiJobResult | NotFoundError",
    "SubmitAiJobResult | IllegalTransitionError",
    "SubmitAiJobResult | JobPoisonedError",
    "CancelAiJobInput.includeChildren",
  ],
  "token budgets": [
    "SubmitAiJobResult | BudgetExceededError",
    "StartWorkflowResult | BudgetExceededError",
    "AdvanceWorkflowResult | BudgetExceededError",
    "CompleteWorkflowResult | BudgetExceededError",
  ],
  "steps that write entities": ["AdvanceWorkflowResult | AccessModeViolationError"],
  "steps that wait for steps": ["WorkflowStepInput.dependsOn"],
  "reports that may be repeated": [
    "WorkflowHeartbeatInput.reportId",
    "AdvanceWorkflowInput.reportId",
    "WorkflowCompletionInput.reportId",
    "FailWorkflowInput.reportId",
  ],
};

export const NOT_YET: readonly string[] = Object.values(LATER).flat();
