import type { EngineContext } from "../engine.ts";
import { AppError, type LeaseLostError } from "../errors.ts";
import { workerOf } from "../log/event.ts";
import { type HandledViolation, type Precondition, poisonJob, type SecurityViolation } from "../security/poison.ts";
import { checkHolder } from "./admission.ts";
import type { Report } from "./report.ts";
import { readRun } from "./store.ts";

/**
 * Handles a violation that a worker reports of the job of a run whose lease token it sends (section 5). The token is looked at
 * without a lock first, so that who has none locks nothing, and again under the job's lock: in between, the lease may pass to
 * another worker, which a worker that lost it must not harm.
 * @param report the run and what proves its lease; the workspace is the run's.
 * @param jobId the job that the worker names; it must be the run's.
 * @returns what was done; or LeaseLostError, as to any report that does not prove its lease.
 * @throws TryAgainError when the database rolled the transaction back too often; nothing is stored.
 */
export async function reportViolationOfRun(
  engine: EngineContext,
  report: Report,
  jobId: string,
  violation: SecurityViolation,
): Promise<HandledViolation | LeaseLostError> {
  const [reported] = await engine.readReportedRuns([report]);
  const holder = checkHolder(reported, report, jobId);
  if (holder instanceof AppError) return holder;
  const stillHolds: Precondition<LeaseLostError> = async (tx, job) => {
    const run = await readRun(tx, report.workflowRunId);
    const checked = checkHolder(run && { run, job, now: job.now }, report, jobId);
    return checked instanceof AppError ? checked : null;
  };
  // The server poisons (section 5), for the worker that reports.
  const by = { ...workerOf(holder.run), actor: "SYSTEM" as const };
  const outcome = await poisonJob(engine, holder.run.workspaceId, jobId, violation, { by, precondition: stillHolds });
  return outcome.action === "REFUSED" ? outcome.refusal : outcome;
}
