import type { AiJob, WorkflowRun } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { toDbEnum } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { CapabilityDeniedError, IllegalTransitionError, JobPoisonedError, NotFoundError } from "../errors.ts";
import { checkCapability } from "../jobs/capabilities.ts";
import { type LockedJob, lockJob } from "../jobs/lock.ts";
import { transitionTo } from "../jobs/state.ts";
import { writeVersion } from "../jobs/store.ts";
import type { JobPatch } from "../jobs/version.ts";
import { type Actor, capabilityDenial, type EventDraft } from "../log/event.ts";
import { redactText } from "../log/redact.ts";
import { endRunsCte, type RunEnd, readRun } from "../runs/store.ts";

/** What somebody decided about outputs that wait, and why. */
export interface Decision {
  /** What was decided: it stands in the event. */
  readonly decision: string;
  readonly comment: string | null;
  readonly by: Actor;
}

/** A job whose outputs wait for somebody, with the run that made them. */
export interface AwaitingJob {
  readonly job: LockedJob;
  readonly run: WorkflowRun;
}

/** Why nobody can decide on a job now. */
export type NotAwaitingError = NotFoundError | JobPoisonedError | IllegalTransitionError;

/** Why a decision does not stand; where a capability is missing, the job has failed for it. */
export type DecisionError = NotAwaitingError | CapabilityDeniedError;

/**
 * Locks a job that waits for a decision. Of two that decide at once the second one finds it decided.
 * @param to the state that the decision would bring the job to, for the message.
 */
export async function lockAwaitingJob(
  tx: Transaction,
  workspaceId: string,
  jobId: string,
  state: "AWAITING_VALIDATION" | "AWAITING_USER",
  to: JobState,
): Promise<AwaitingJob | NotAwaitingError> {
  const job = await lockJob(tx, workspaceId, jobId);
  if (!job) return new NotFoundError("job");
  if (job.state === "POISONED") return new JobPoisonedError(job);
  if (job.state !== state) return new IllegalTransitionError(job.state, to);
  const run = job.workflowRunId && (await readRun(tx, job.workflowRunId));
  if (!run) throw new Error(`Job ${jobId} waits for a decision without a run.`);
  return { job, run };
}

/** The outputs count as applied, if the job's capabilities still suffice; else it fails (section 8). */
export async function acceptOutputs(
  tx: Transaction,
  { job, run }: AwaitingJob,
  state: "COMPLETED" | "COMPLETED_WITH_ISSUES",
  made: Decision,
): Promise<AiJob | CapabilityDeniedError> {
  const { granted, capability } = checkCapability(job.jobKind, job.capabilities);
  if (granted) return applyDecision(tx, { job, run }, made, { state, capabilityId: capability });
  const reason = `capability_denied: ${capability}`;
  const endedRun = endRunsCte([{ id: run.id, state: "FAILED", errorMessage: reason, finishedAt: job.now }]);
  const set = { ...transitionTo(job, "FAILED", reason), jobOutputs: null };
  const denied = await writeVersion(tx, { job, set, event: capabilityDenial(job, capability, "completion") }, endedRun);
  return new CapabilityDeniedError(capability, denied.job);
}

interface Outcome {
  readonly state: Exclude<JobState, "RUNNING">;
  readonly reason?: string;
  readonly set?: JobPatch;
  readonly capabilityId?: string;
}

/** Brings job and run where the decision says; who decided, what and why is in the event. */
export async function applyDecision(
  tx: Transaction,
  { job, run }: AwaitingJob,
  { decision, comment, by }: Decision,
  outcome: Outcome,
): Promise<AiJob> {
  const { state, reason = toDbEnum(state), set = {}, capabilityId } = outcome;
  // A job that is sent back goes on without this run (section 6).
  const runState: RunEnd["state"] = state === "QUEUED" ? "CANCELLED" : state;
  const finishedAt = runState === "AWAITING_USER" ? null : job.now;
  const why = set.errorMessage ?? (comment && redactText(comment));
  const errorMessage = runState === "FAILED" || runState === "CANCELLED" ? why : null;
  const event: EventDraft = {
    type: "STATE_CHANGED",
    by,
    ...(capabilityId === undefined ? {} : { capabilityId }),
    payload: { reason, decision: decision.toLowerCase(), comment },
  };
  const written = await writeVersion(
    tx,
    { job, set: { ...transitionTo(job, state, reason), ...set }, event },
    endRunsCte([{ id: run.id, state: runState, errorMessage, finishedAt }]),
  );
  return written.job;
}
