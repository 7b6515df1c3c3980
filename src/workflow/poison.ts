import { type AppError, NotFoundError } from "../errors.ts";
import type { PoisoningError } from "../guards/guard.ts";
import { countGuards } from "../jobs/metrics.ts";
import { become, isTerminal } from "../jobs/state.ts";
import { type LockedJob, lockJobs, readEvent, recordOne, type Transaction } from "../recorder/commit.ts";
import { ENGINE, type EventDraft, transitionText } from "../recorder/event.ts";
import { redactText } from "../recorder/redact.ts";
import { inTransaction } from "../recorder/transaction.ts";
import { word } from "../storage/columns.ts";
import { type AiJob, type FlightRecorderEvent, Prisma } from "../storage/generated/client/client.ts";
import type { ViolationType } from "../storage/generated/client/enums.ts";
import type { Engine } from "./engine.ts";

/** What a guard, or a person, found (section 5). */
export interface Violation {
  readonly violationType: ViolationType;
  readonly aceCode: PoisoningError["code"];
  readonly guardName: string;
  /** What matched and where; never the scanned content. */
  readonly trigger: string;
  readonly description: string;
  readonly sourceId: string | null;
}

export type PoisonOutcome =
  | {
      readonly action: "POISONED" | "RECORDED" | "ALREADY_POISONED";
      readonly job: AiJob;
      /** The one that was written; for ALREADY_POISONED, the one that poisoned the job. */
      readonly event: FlightRecorderEvent;
    }
  | { readonly action: "REFUSED"; readonly refusal: AppError };

/** What the finder of a violation must still have the right to, judged under the job's lock. */
export type Fence = (tx: Transaction, job: LockedJob) => Promise<AppError | null>;

/**
 * The trap [HSK-ACE-VAL-101]: one transaction commits the job, its runs and its nodes as poisoned with their event,
 * or nothing. A job that has completed or been cancelled stands, and the violation is recorded on it; a job that is
 * poisoned stays as it is. Safe to repeat.
 * @param guardsRun how many guards the server ran to find this; counted in the job's metrics.
 */
export function poisonJob(
  engine: Engine,
  jobId: string,
  violation: Violation,
  { guardsRun = 0, fence }: { readonly guardsRun?: number; readonly fence?: Fence } = {},
): Promise<PoisonOutcome> {
  return inTransaction(engine, async (tx) => {
    const job = (await lockJobs(tx, Prisma.sql`job_id = ${jobId}::uuid`)).get(jobId);
    if (!job) return { action: "REFUSED", refusal: new NotFoundError("job") };
    const refusal = (await fence?.(tx, job)) ?? null;
    if (refusal) return { action: "REFUSED", refusal };
    if (job.state === "POISONED") {
      const event = await readEvent(tx, jobId, job.version);
      if (!event) throw new Error(`Job ${jobId} is poisoned without an event.`);
      return { action: "ALREADY_POISONED", job, event };
    }
    return isTerminal(job.state) ? recordOnly(tx, job, violation, guardsRun) : poison(tx, job, violation, guardsRun);
  });
}

async function poison(tx: Transaction, job: LockedJob, found: Violation, guardsRun: number): Promise<PoisonOutcome> {
  const violation = cut(found);
  const message = `${violation.guardName} (${violation.aceCode}): ${violation.description}`;
  // Runs and nodes first: once the job is poisoned, the database lets nothing of it change.
  await tx.$executeRaw`
    UPDATE workflow_runs SET state = 'poisoned', lease_expires_at = NULL, error_message = ${message},
      finished_at = coalesce(finished_at, ${job.now})
    WHERE job_id = ${job.jobId}::uuid AND state IN ('running', 'awaiting_validation', 'awaiting_user', 'stalled')`;
  await tx.$executeRaw`
    UPDATE node_executions n SET state = 'poisoned', finished_at = ${job.now}
    FROM workflow_runs r
    WHERE r.id = n.workflow_run_id AND r.job_id = ${job.jobId}::uuid AND n.finished_at IS NULL`;
  const set = {
    ...become(job, "POISONED", `poisoned: ${word(violation.violationType)}`),
    errorMessage: message,
    jobOutputs: null,
    ...countGuards(job, guardsRun),
  };
  return {
    action: "POISONED",
    ...(await recordOne(tx, { job, set, event: violationEvent(job, violation, "poisoned") })),
  };
}

async function recordOnly(
  tx: Transaction,
  job: LockedJob,
  violation: Violation,
  guardsRun: number,
): Promise<PoisonOutcome> {
  const set = countGuards(job, guardsRun);
  const event = violationEvent(job, cut(violation), "recorded");
  return { action: "RECORDED", ...(await recordOne(tx, { job, set, event })) };
}

/** FR-EVT-SEC-VIOLATION. */
function violationEvent(job: LockedJob, violation: Violation, action: "poisoned" | "recorded"): EventDraft {
  return {
    type: "SECURITY_VIOLATION",
    by: ENGINE,
    payload: {
      violation_type: word(violation.violationType),
      description: violation.description,
      source_id: violation.sourceId,
      trigger: violation.trigger,
      guard_name: violation.guardName,
      ace_code: violation.aceCode,
      action_taken: action,
      job_state_transition: transitionText(job.state, action === "poisoned" ? "POISONED" : job.state),
    },
  };
}

/** What comes from outside is cut and redacted before it is kept (section 5). */
function cut(violation: Violation): Violation {
  return {
    ...violation,
    trigger: shorten(redactText(violation.trigger), 200),
    description: shorten(redactText(violation.description), 1000),
    guardName: shorten(redactText(violation.guardName), 200),
  };
}

/** By characters, never in the middle of one. */
function shorten(text: string, most: number): string {
  return text.length <= most
    ? text
    : Array.from(text.slice(0, most * 2))
        .slice(0, most)
        .join("");
}

/** The violation that a guard of this server raised. */
export function violationOf(guardName: string, error: PoisoningError): Violation {
  const { code, violationType, trigger, description, sourceId } = error;
  return { violationType, aceCode: code, guardName, trigger, description, sourceId };
}

/** Which ACE code stands for a violation that somebody outside reports (section 2). */
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
