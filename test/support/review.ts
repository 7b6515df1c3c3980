import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { EngineContext } from "../../src/engine.ts";
import type { SubmitAiJob } from "../../src/jobs/draft.ts";
import { resolveUserReview } from "../../src/review/user-review.ts";
import { resolveValidation } from "../../src/review/verdict.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { testSide } from "./database.ts";
import { ok, SOMEBODY, started } from "./engine.ts";
import { aCompletion } from "./reports.ts";

/** Jobs whose outputs await a verdict or a decision, made by the commands that lead there. */

export const OUTPUTS = { summary: "draft" };

type Verdict = Parameters<typeof resolveValidation>[3]["verdict"];
type ReviewDecision = Parameters<typeof resolveUserReview>[3]["decision"];

/** Completes a run and asks for a verdict. @returns the claim. */
export async function askFor(engine: EngineContext, claim: Claim, issues: readonly string[] = []): Promise<Claim> {
  const completion = aCompletion(claim, { needsValidation: true, jobOutputs: OUTPUTS, issues });
  const [done] = await completeWorkflows(engine, [completion]);
  if (!done || !("run" in done)) throw done ?? new Error("The completion has no result.");
  return claim;
}

export function verdict(engine: EngineContext, { job }: Claim, value: Verdict, comment: string | null = null) {
  return resolveValidation(engine, job.workspaceId, SOMEBODY, { jobId: job.jobId, verdict: value, comment });
}

export function review(engine: EngineContext, { job }: Claim, decision: ReviewDecision, comment: string | null = null) {
  return resolveUserReview(engine, job.workspaceId, SOMEBODY, { jobId: job.jobId, decision, comment });
}

/** A job that is AWAITING_VALIDATION. @returns the claim of its run. */
export async function awaitingValidation(
  engine: EngineContext,
  issues: readonly string[] = [],
  more: Partial<SubmitAiJob> = {},
): Promise<Claim> {
  return askFor(engine, await started(engine, more), issues);
}

/** A job that is AWAITING_USER. @returns the claim of its run. */
export async function awaitingUser(
  engine: EngineContext,
  issues: readonly string[] = [],
  more: Partial<SubmitAiJob> = {},
): Promise<Claim> {
  const claim = await awaitingValidation(engine, issues, more);
  ok(await verdict(engine, claim, "NEEDS_USER"));
  return claim;
}

/** Does `work` while the default profile lacks `doc.summarize`. */
export async function withoutCapabilities<T>(engine: EngineContext, work: () => Promise<T>): Promise<T> {
  const prisma = testSide(engine);
  await prisma.$executeRaw`UPDATE capability_profiles SET capabilities = '{doc.read}' WHERE id = 'default'`;
  try {
    return await work();
  } finally {
    await prisma.$executeRaw`
      UPDATE capability_profiles SET capabilities = '{doc.read,doc.summarize}' WHERE id = 'default'`;
  }
}

/** Puts the time limit of a job's question into the past: of the question and of the job that waits for its answer. */
export async function passAnswerLimit(engine: EngineContext, jobId: string): Promise<void> {
  await testSide(engine).$transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    await tx.$executeRaw`
      WITH job AS (
        UPDATE ai_jobs SET waits_until = date_trunc('milliseconds', clock_timestamp()) - interval '1 hour'
        WHERE job_id = ${jobId}::uuid AND waits_until IS NOT NULL
        RETURNING workflow_run_id, waits_until
      )
      UPDATE user_input_requests r SET expires_at = job.waits_until
      FROM job WHERE r.workflow_run_id = job.workflow_run_id AND r.answered_at IS NULL`;
  });
}
