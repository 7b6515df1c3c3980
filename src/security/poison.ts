import { type AiJob, type FlightRecorderEvent, Prisma } from "../db/generated/client/client.ts";
import type { ViolationType } from "../db/generated/client/enums.ts";
import { toDbEnum } from "../db/rows.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import { type AppError, NotFoundError } from "../errors.ts";
import type { LockedJob, LockedJobSummary } from "../jobs/lock.ts";
import { countGuards } from "../jobs/metrics.ts";
import { isTerminal, transitionTo } from "../jobs/state.ts";
import { readEvent, type WrittenVersion, writeVersion, writeVersions } from "../jobs/store.ts";
import { type LockedTree, lockTree } from "../jobs/tree.ts";
import { ENGINE, type EventDraft, transitionText } from "../log/event.ts";
import { redactText } from "../log/redact.ts";
import type { PoisoningError } from "./guards/guard.ts";

/** What a guard, or a person, found (section 5). */
export interface SecurityViolation {
  readonly violationType: ViolationType;
  readonly aceCode: PoisoningError["code"];
  readonly guardName: string;
  /** What matched and where; never the scanned content. */
  readonly trigger: string;
  readonly description: string;
  readonly sourceId: string | null;
}

/** What was done about a violation. */
export interface HandledViolation {
  readonly action: "POISONED" | "RECORDED" | "ALREADY_POISONED";
  readonly job: AiJob;
  /** The one that was written; for ALREADY_POISONED, the one that poisoned the job. */
  readonly event: FlightRecorderEvent;
}

export type PoisonOutcome<Refusal extends AppError = never> =
  | HandledViolation
  | { readonly action: "REFUSED"; readonly refusal: Refusal };

/** What the finder of a violation must still have the right to, judged under the job's lock; null where it has. */
export type Precondition<Refusal extends AppError> = (tx: Transaction, job: LockedJob) => Promise<Refusal | null>;

interface Poisoning<Refusal extends AppError> {
  /** How many guards the server ran to find this; counted in the job's metrics. */
  readonly guardsRun?: number;
  readonly precondition?: Precondition<Refusal>;
}

/**
 * Does what section 5 says about what this server's guards found in a job. [HSK-ACE-VAL-101]
 * @returns what was done; or the precondition's refusal, and then nothing was.
 * @throws TryAgainError where the database gave way too often; nothing was kept.
 */
export function poisonJob<Refusal extends AppError = never>(
  engine: Engine,
  jobId: string,
  violation: SecurityViolation,
  { guardsRun = 0, precondition }: Poisoning<Refusal> = {},
): Promise<PoisonOutcome<Refusal>> {
  return inTransaction(engine, async (tx): Promise<PoisonOutcome<Refusal>> => {
    const tree = await lockTree(tx, jobId, "POISONED");
    if (!tree) throw new Error(`There is no job ${jobId}, of which a guard found something.`);
    const refusal = (await precondition?.(tx, tree.job)) ?? null;
    return refusal ? { action: "REFUSED", refusal } : handleViolation(tx, tree, violation, guardsRun);
  });
}

/**
 * The same for a violation that a guard outside this server, or a person, reports.
 * @param workspaceId whose jobs alone there are for who reports this: it neither locks nor waits for another's.
 * @throws TryAgainError where the database gave way too often; nothing was kept.
 */
export function reportSecurityViolation(
  engine: Engine,
  workspaceId: string,
  jobId: string,
  violation: SecurityViolation,
): Promise<HandledViolation | NotFoundError> {
  return inTransaction(engine, async (tx) => {
    const tree = await lockTree(tx, jobId, "POISONED", workspaceId);
    return tree ? handleViolation(tx, tree, violation, 0) : new NotFoundError("job");
  });
}

/**
 * Poisons a job: one transaction commits the job, its runs and its nodes as poisoned with their event, or nothing; and with
 * it every descendant that has not completed or been cancelled, each with its own event. A job that has completed or been
 * cancelled stands, and the violation is recorded on it; a job that is poisoned stays as it is; both leave their
 * descendants alone. Safe to repeat.
 */
async function handleViolation(
  tx: Transaction,
  { job, descendants: below }: LockedTree,
  violation: SecurityViolation,
  guardsRun: number,
): Promise<HandledViolation> {
  const { jobId } = job;
  if (job.state === "POISONED") {
    const event = await readEvent(tx, jobId, job.version);
    if (!event) throw new Error(`Job ${jobId} is poisoned without an event.`);
    return { action: "ALREADY_POISONED", job, event };
  }
  const found = sanitizeViolation(violation);
  if (isTerminal(job.state)) return recordOnly(tx, job, found, guardsRun);
  const [poisoned] = await poison(tx, [job], found, guardsRun);
  await poison(tx, below, found, 0, jobId);
  if (!poisoned) throw new Error("One change makes one record.");
  return { action: "POISONED", ...poisoned };
}

/**
 * Poisons jobs that are locked, with all that is open of them, in as many statements for a thousand as for one.
 * @param sourceJobId the job in which it was found, where these are its descendants.
 */
async function poison<Job extends LockedJobSummary>(
  tx: Transaction,
  jobs: readonly Job[],
  found: SecurityViolation,
  guardsRun: number,
  sourceJobId?: string,
): Promise<readonly WrittenVersion<Job>[]> {
  if (jobs.length === 0) return [];
  const where = sourceJobId === undefined ? "" : ` Found in job ${sourceJobId}, which this one descends from.`;
  const message = `${found.guardName} (${found.aceCode}): ${found.description}${where}`;
  // Runs and nodes first: once a job is poisoned, the database lets nothing of it change.
  await poisonRuns(tx, jobs, message);
  return writeVersions(
    tx,
    jobs.map((job) => ({
      job,
      set: {
        ...transitionTo(job, "POISONED", `poisoned: ${toDbEnum(found.violationType)}`),
        errorMessage: message,
        jobOutputs: null,
        ...countGuards(job, guardsRun),
      },
      event: violationEvent(job, found, "poisoned", sourceJobId),
    })),
  );
}

/** Every run that has not ended for good, its lease revoked, and every node that is open. */
async function poisonRuns(tx: Transaction, jobs: readonly LockedJobSummary[], message: string): Promise<void> {
  const ids = jobs.map(({ jobId }) => jobId);
  const times = jobs.map(({ now }) => now.toISOString());
  const poisoned = Prisma.sql`unnest(${ids}::uuid[], ${times}::text[]::timestamptz[]) AS poisoned(job_id, at)`;
  await tx.$executeRaw`
    UPDATE workflow_runs r SET state = 'poisoned', lease_expires_at = NULL, error_message = ${message},
      finished_at = coalesce(r.finished_at, poisoned.at)
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
  violation: SecurityViolation,
  guardsRun: number,
): Promise<HandledViolation> {
  const set = countGuards(job, guardsRun);
  const event = violationEvent(job, violation, "recorded");
  return { action: "RECORDED", ...(await writeVersion(tx, { job, set, event })) };
}

/** FR-EVT-SEC-VIOLATION. */
function violationEvent(
  job: Pick<LockedJob, "state">,
  violation: SecurityViolation,
  action: "poisoned" | "recorded",
  sourceJobId?: string,
): EventDraft {
  return {
    type: "SECURITY_VIOLATION",
    by: ENGINE,
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

/** What comes from outside is shortened and redacted before it is kept (section 5). */
function sanitizeViolation(violation: SecurityViolation): SecurityViolation {
  return {
    ...violation,
    trigger: truncate(redactText(violation.trigger), 200),
    description: truncate(redactText(violation.description), 1000),
    guardName: truncate(redactText(violation.guardName), 200),
  };
}

/** By characters, never in the middle of one. */
function truncate(text: string, max: number): string {
  return text.length <= max
    ? text
    : Array.from(text.slice(0, max * 2))
        .slice(0, max)
        .join("");
}

/** The violation that a guard of this server raised. */
export function violationOf(guardName: string, error: PoisoningError): SecurityViolation {
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
