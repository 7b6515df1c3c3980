import { type AiJob, type FlightRecorderEvent, Prisma } from "../db/generated/client/client.ts";
import type { ViolationType } from "../db/generated/client/enums.ts";
import { toDbEnum } from "../db/rows.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import { type AppError, NotFoundError } from "../errors.ts";
import type { LockedJob, LockedJobSummary } from "../jobs/lock.ts";
import { countGuards } from "../jobs/metrics.ts";
import { NO_PROGRESS } from "../jobs/progress.ts";
import { isTerminal, transitionTo } from "../jobs/state.ts";
import { readEvent, type WrittenVersion, writeVersion, writeVersions } from "../jobs/store.ts";
import { type LockedTree, lockTree } from "../jobs/tree.ts";
import { type Actor, type EventDraft, SYSTEM_ACTOR, transitionText } from "../log/event.ts";
import { redactBounded } from "../log/redact.ts";
import { deleteOutputOf } from "../output/chunks.ts";
import type { PoisoningError } from "./guards/guard.ts";

/** A security violation that a guard found or a person reported (section 5). */
export interface SecurityViolation {
  readonly violationType: ViolationType;
  readonly aceCode: PoisoningError["code"];
  readonly guardName: string;
  /** What matched and where; never the scanned content, which must not get into the flight recorder. */
  readonly trigger: string;
  readonly description: string;
  /** The retrieved snippet's source; null when the violation is not about a snippet. */
  readonly sourceId: string | null;
}

/** A job that this call poisoned; the transaction has committed. */
export interface PoisonedJob {
  readonly job: AiJob;
  readonly violation: SecurityViolation;
  readonly event: FlightRecorderEvent;
}

/** What was done about a violation. */
export interface HandledViolation {
  /**
   * - POISONED: this call poisoned the job and its descendants.
   * - RECORDED: the job had completed or been cancelled; it keeps its state, and the violation is an event of it.
   * - ALREADY_POISONED: the job was poisoned before this call, which changed nothing.
   */
  readonly action: "POISONED" | "RECORDED" | "ALREADY_POISONED";
  readonly job: AiJob;
  /** The event that this call wrote; for ALREADY_POISONED, the earlier event that poisoned the job. */
  readonly event: FlightRecorderEvent;
}

/** What was done about a violation, or the precondition's refusal to do anything. */
export type PoisonOutcome<Refusal extends AppError = never> =
  | HandledViolation
  | { readonly action: "REFUSED"; readonly refusal: Refusal };

/**
 * Checks, under the job's lock, that a finding may still be acted on: for a report, that its worker still has the lease.
 * @returns null when it may, else the error to answer with.
 */
export type Precondition<Refusal extends AppError> = (tx: Transaction, job: LockedJob) => Promise<Refusal | null>;

interface PoisonOptions<Refusal extends AppError> {
  /** The actor of the events. Default: the server, of itself. */
  readonly by?: Actor;
  /** How many guards this server ran to find the violation; added to the job's `validators_run_count`. Default 0. */
  readonly guardsRun?: number;
  readonly precondition?: Precondition<Refusal>;
}

/**
 * Handles a violation that this server's guards found in a job, as section 5 says. [HSK-ACE-VAL-101]
 * @param workspaceId the job's workspace.
 * @returns what was done; or, when the precondition refuses, its refusal, and nothing is written.
 * @throws TryAgainError when the database rolled the transaction back too often; nothing is stored.
 */
export function poisonJob<Refusal extends AppError = never>(
  engine: EngineContext,
  workspaceId: string,
  jobId: string,
  violation: SecurityViolation,
  { by = SYSTEM_ACTOR, guardsRun = 0, precondition }: PoisonOptions<Refusal> = {},
): Promise<PoisonOutcome<Refusal>> {
  return inTransaction(engine, [workspaceId], async (tx): Promise<PoisonOutcome<Refusal>> => {
    const tree = await lockTree(tx, jobId, "POISONED", workspaceId);
    if (!tree) throw new Error(`There is no job ${jobId}, in which a guard found a violation.`);
    const refusal = (await precondition?.(tx, tree.job)) ?? null;
    return refusal ? { action: "REFUSED", refusal } : handleViolation(tx, tree, by, violation, guardsRun);
  });
}

/**
 * Handles a violation that a person, or a guard outside this server, reports (section 5).
 * @param workspaceId the reporter's workspace. The job of another workspace is not found, and its row is never locked.
 * @param by the actor of the events.
 * @returns what was done, or NotFoundError when the workspace has no such job.
 * @throws TryAgainError when the database rolled the transaction back too often; nothing is stored.
 */
export function reportSecurityViolation(
  engine: EngineContext,
  workspaceId: string,
  by: Actor,
  jobId: string,
  violation: SecurityViolation,
): Promise<HandledViolation | NotFoundError> {
  return inTransaction(engine, [workspaceId], async (tx) => {
    const tree = await lockTree(tx, jobId, "POISONED", workspaceId);
    return tree ? handleViolation(tx, tree, by, violation, 0) : new NotFoundError("job");
  });
}

/**
 * Decides by the job's state what a violation does:
 *
 * - A poisoned job is left as it is, so the call may be repeated safely.
 * - A job that has completed or been cancelled keeps its state; the violation is only recorded as an event of it.
 * - Any other job is poisoned, together with its active and stalled runs, its unfinished nodes, and every descendant that has
 *   not completed or been cancelled. Each poisoned job has its own event, and all of it commits in one transaction.
 */
async function handleViolation(
  tx: Transaction,
  { job, descendants: below }: LockedTree,
  by: Actor,
  violation: SecurityViolation,
  guardsRun: number,
): Promise<HandledViolation> {
  const { jobId } = job;
  if (job.state === "POISONED") {
    const event = await readEvent(tx, jobId, job.version);
    if (!event) throw new Error(`Job ${jobId} is poisoned without an event.`);
    return { action: "ALREADY_POISONED", job, event };
  }
  const sanitized = sanitizeViolation(violation);
  if (isTerminal(job.state)) return recordOnly(tx, job, by, sanitized, guardsRun);
  const [poisoned] = await poison(tx, [job], by, sanitized, guardsRun);
  await poison(tx, below, by, sanitized, 0, jobId);
  if (!poisoned) throw new Error("Each change writes one version.");
  return { action: "POISONED", ...poisoned };
}

/**
 * Poisons locked jobs with their active and stalled runs and their unfinished nodes, and deletes their partial output. The number of statements does not grow
 * with the number of jobs.
 * @param sourceJobId the job in which the violation was found, when `jobs` are its descendants.
 * @returns in the order of `jobs`, each job as it is stored, with its event.
 */
async function poison<Job extends LockedJobSummary>(
  tx: Transaction,
  jobs: readonly Job[],
  by: Actor,
  violation: SecurityViolation,
  guardsRun: number,
  sourceJobId?: string,
): Promise<readonly WrittenVersion<Job>[]> {
  if (jobs.length === 0) return [];
  const origin = sourceJobId === undefined ? "" : ` Found in job ${sourceJobId}, which this one descends from.`;
  const message = `${violation.guardName} (${violation.aceCode}): ${violation.description}${origin}`;
  // Runs and nodes first: of a poisoned job, the database lets only unfinished runs and nodes become poisoned, and a stalled
  // run has finished (section 5).
  await poisonRuns(tx, jobs, message);
  const written = await writeVersions(
    tx,
    jobs.map((job) => ({
      job,
      set: {
        ...transitionTo(job, "POISONED", `poisoned: ${toDbEnum(violation.violationType)}`),
        errorMessage: message,
        jobOutputs: null,
        // It may hold what poisoned.
        ...NO_PROGRESS,
        ...countGuards(job, guardsRun),
      },
      event: violationEvent(job, by, violation, "poisoned", sourceJobId),
    })),
  );
  // Behind the versions: the database lets go of the output of a job that is poisoned.
  await deleteOutputOf(
    tx,
    jobs.map(({ jobId }) => jobId),
  );
  return written;
}

/**
 * Ends as poisoned every run of these jobs that is active or stalled, revoking its lease, and every unfinished node; and clears the outputs
 * of the others, which the poisoned content led to.
 */
async function poisonRuns(tx: Transaction, jobs: readonly LockedJobSummary[], message: string): Promise<void> {
  const ids = jobs.map(({ jobId }) => jobId);
  const times = jobs.map(({ now }) => now.toISOString());
  const poisoned = Prisma.sql`unnest(${ids}::uuid[], ${times}::text[]::timestamptz[]) AS poisoned(job_id, at)`;
  await tx.$executeRaw`
    WITH cleared AS (
      UPDATE workflow_runs SET outputs = NULL
      WHERE job_id = ANY(${ids}::uuid[]) AND outputs IS NOT NULL AND finished_at IS NOT NULL
    )
    UPDATE workflow_runs r SET state = 'poisoned', lease_expires_at = NULL, error_message = ${message}, end_reason = 'poisoned',
      next_progress_fraction = NULL, next_progress_message = NULL, next_progress_at = NULL, outputs = NULL, finished_at = coalesce(r.finished_at, poisoned.at)
    FROM ${poisoned}
    WHERE r.job_id = poisoned.job_id AND r.state IN ('running', 'awaiting_validation', 'awaiting_user', 'stalled')`;
  await tx.$executeRaw`
    UPDATE node_executions n SET state = 'poisoned', finished_at = poisoned.at
    FROM workflow_runs r, ${poisoned}
    WHERE r.id = n.workflow_run_id AND r.job_id = poisoned.job_id AND n.finished_at IS NULL`;
}

async function recordOnly(
  tx: Transaction,
  job: LockedJob,
  by: Actor,
  violation: SecurityViolation,
  guardsRun: number,
): Promise<HandledViolation> {
  const set = countGuards(job, guardsRun);
  const event = violationEvent(job, by, violation, "recorded");
  return { action: "RECORDED", ...(await writeVersion(tx, { job, set, event })) };
}

/** The event FR-EVT-SEC-VIOLATION (section 5). */
function violationEvent(
  job: Pick<LockedJob, "state">,
  by: Actor,
  violation: SecurityViolation,
  action: "poisoned" | "recorded",
  sourceJobId?: string,
): EventDraft {
  return {
    type: "SECURITY_VIOLATION",
    by,
    payload: {
      violation_type: toDbEnum(violation.violationType),
      description: violation.description,
      source_id: violation.sourceId,
      ...(sourceJobId === undefined ? {} : { source_job_id: sourceJobId }),
      trigger: violation.trigger,
      guard_name: violation.guardName,
      ace_code: violation.aceCode,
      action_taken: action,
      job_state_transition: transitionText(job.state, action === "poisoned" ? "POISONED" : job.state),
    },
  };
}

/** Redacts and shortens the texts of a violation, which may come from outside (section 5). */
function sanitizeViolation(violation: SecurityViolation): SecurityViolation {
  return {
    ...violation,
    trigger: redactBounded(violation.trigger, 200),
    description: redactBounded(violation.description, 1000),
    guardName: redactBounded(violation.guardName, 200),
  };
}

/** @returns the violation to store for an error that a guard of this server raised. */
export function violationOf(guardName: string, error: PoisoningError): SecurityViolation {
  const { code, violationType, trigger, description, sourceId } = error;
  return { violationType, aceCode: code, guardName, trigger, description, sourceId };
}

/** @returns the ACE code of a type of violation (section 2). */
export function aceCodeOf(type: ViolationType): PoisoningError["code"] {
  switch (type) {
    case "PROMPT_INJECTION":
      return "ACE-014";
    case "CLOUD_LEAKAGE":
    case "SENSITIVITY":
    case "UNKNOWN_SENSITIVITY":
    case "EXPORT":
      return "ACE-013";
  }
}
