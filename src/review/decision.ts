import type { AiJob } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { type Run, toDbEnum } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { CapabilityDeniedError, IllegalTransitionError, JobPoisonedError, NotFoundError } from "../errors.ts";
import { checkCapability } from "../jobs/capabilities.ts";
import { type LockedJob, lockJob } from "../jobs/lock.ts";
import { transitionTo, type Wait } from "../jobs/state.ts";
import { type ExtraCte, writeVersion } from "../jobs/store.ts";
import type { JobPatch } from "../jobs/version.ts";
import { type Actor, capabilityDenial, type EventDraft } from "../log/event.ts";
import { type Json, redactText } from "../log/redact.ts";
import { type LeaseRelease, type RunEndReason, readRun, releaseLeasesCte } from "../runs/store.ts";
import { hasTimedOut, tooLateError } from "./user-input-timeout.ts";

/** A validator's or reviewer's decision on a job's outputs. */
export interface Decision {
  /** The verdict or review decision, such as APPROVED or REVISE; recorded in the event. */
  readonly decision: string;
  readonly comment: string | null;
  readonly by: Actor;
}

/** A locked job whose outputs await a decision, and the run that made them. */
export interface AwaitingJob {
  readonly job: LockedJob;
  readonly run: Run;
}

/** Why a job does not await the decision. */
export type NotAwaitingError = NotFoundError | JobPoisonedError | IllegalTransitionError;

/** Why a decision was not applied. For CapabilityDeniedError, the job has failed instead. */
export type DecisionError = NotAwaitingError | CapabilityDeniedError;

/**
 * Locks a job that awaits a decision, so that of two decisions made at the same time the second is refused.
 * @param state the state that the job must be in.
 * @param to the state that the decision would move the job to; named in the message of an IllegalTransitionError.
 * @returns the job with its run, or why it does not await the decision.
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
  if (hasTimedOut(job)) return tooLateError(to);
  if (job.state !== state) return new IllegalTransitionError(job.state, to);
  const run = job.workflowRunId && (await readRun(tx, job.workflowRunId));
  if (!run) throw new Error(`Job ${jobId} awaits a decision but has no run.`);
  return { job, run };
}

/**
 * Accepts a job's outputs, when its capability profile still suffices; else fails the job and clears them (section 8).
 * @returns the job as it is stored, or CapabilityDeniedError when it has failed.
 */
export async function acceptOutputs(
  tx: Transaction,
  { job, run }: AwaitingJob,
  state: "COMPLETED" | "COMPLETED_WITH_ISSUES",
  decision: Decision,
): Promise<AiJob | CapabilityDeniedError> {
  const { granted, capability } = checkCapability(job.jobKind, job.capabilities);
  if (granted) return applyDecision(tx, { job, run }, decision, { state, capabilityId: capability });
  const reason = `capability_denied: ${capability}`;
  const releaseCte = releaseLeasesCte([
    { id: run.id, state: "FAILED", errorMessage: reason, finishedAt: job.now, endReason: "capability_denied" },
  ]);
  const set = { ...transitionTo(job, "FAILED", reason), jobOutputs: null };
  const denied = await writeVersion(
    tx,
    { job, set, event: capabilityDenial(job, capability, "completion", decision.by.principalId) },
    releaseCte,
  );
  return new CapabilityDeniedError(capability, denied.job);
}

/** What a decision changes of a job. */
interface Outcome {
  readonly state: "QUEUED" | "AWAITING_USER" | "COMPLETED" | "COMPLETED_WITH_ISSUES" | "FAILED" | "CANCELLED";
  /** The job's `statusReason`; by default its new state. */
  readonly reason?: string;
  readonly set?: JobPatch;
  /** What it waits for in its new state; only for AWAITING_USER. */
  readonly wait?: Wait | undefined;
  /** Why the run finished; by default the new state, and null for AWAITING_USER, in which it has not. */
  readonly endReason?: RunEndReason;
  readonly capabilityId?: string;
  /** More of the event's payload. */
  readonly payload?: Readonly<Record<string, Json>>;
  /** Further writes of the same statement. */
  readonly ctes?: readonly ExtraCte[];
}

/** Why a run finished, by the state that a decision moves its job to. */
const END_REASONS = {
  QUEUED: "revised",
  COMPLETED: "completed",
  COMPLETED_WITH_ISSUES: "completed_with_issues",
  FAILED: "rejected",
  CANCELLED: "cancelled",
} as const satisfies Record<Exclude<Outcome["state"], "AWAITING_USER">, RunEndReason>;

/**
 * Moves job and run to the states that a decision leads to, and records the decision in the event.
 * @returns the job as it is stored.
 */
export async function applyDecision(
  tx: Transaction,
  { job, run }: AwaitingJob,
  { decision, comment, by }: Decision,
  outcome: Outcome,
): Promise<AiJob> {
  const { state, reason = toDbEnum(state), set = {}, wait, capabilityId } = outcome;
  // The run of a job that is sent back is over: the next attempt is a new run (section 6).
  const runState: LeaseRelease["state"] = state === "QUEUED" ? "CANCELLED" : state;
  const isFinished = state !== "AWAITING_USER";
  const { endReason = isFinished ? END_REASONS[state] : null } = outcome;
  const message = set.errorMessage ?? (comment && redactText(comment));
  const errorMessage = runState === "FAILED" || runState === "CANCELLED" ? message : null;
  const event: EventDraft = {
    type: "STATE_CHANGED",
    by,
    ...(capabilityId === undefined ? {} : { capabilityId }),
    payload: { reason, decision: decision.toLowerCase(), comment, ...outcome.payload },
  };
  const written = await writeVersion(tx, { job, set: { ...transitionTo(job, state, reason, wait), ...set }, event }, [
    ...releaseLeasesCte([
      { id: run.id, state: runState, errorMessage, finishedAt: isFinished ? job.now : null, endReason },
    ]),
    ...(outcome.ctes ?? []),
  ]);
  return written.job;
}
