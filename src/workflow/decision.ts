import { checkCapability } from "../capabilities/registry.ts";
import {
  type AppError,
  CapabilityDeniedError,
  IllegalTransitionError,
  JobPoisonedError,
  NotFoundError,
} from "../errors.ts";
import { become } from "../jobs/state.ts";
import { type JobPatch, recordOne } from "../recorder/commit.ts";
import { type Actor, denial, type EventDraft } from "../recorder/event.ts";
import { type LockedJob, lockJob } from "../recorder/lock.ts";
import { redactText } from "../recorder/redact.ts";
import type { Transaction } from "../recorder/transaction.ts";
import { word } from "../storage/columns.ts";
import type { AiJob, WorkflowRun } from "../storage/generated/client/client.ts";
import type { JobState } from "../storage/generated/client/enums.ts";
import { type Ending, endedRuns, readRun } from "./runs.ts";

/** What somebody decided about outputs that wait, and why. */
export interface Decision {
  /** What was decided: it stands in the event. */
  readonly decision: string;
  readonly comment: string | null;
  readonly by: Actor;
}

/** A job whose outputs wait for somebody, with the run that made them. */
export interface Awaiting {
  readonly job: LockedJob;
  readonly run: WorkflowRun;
}

/**
 * Locks a job that waits for a decision. Of two that decide at once the second one finds it decided.
 * @param to the state that the decision would bring the job to, for the message.
 */
export async function lockAwaiting(
  tx: Transaction,
  workspaceId: string,
  jobId: string,
  state: "AWAITING_VALIDATION" | "AWAITING_USER",
  to: JobState,
): Promise<Awaiting | AppError> {
  const job = await lockJob(tx, workspaceId, jobId);
  if (!job) return new NotFoundError("job");
  if (job.state === "POISONED") return new JobPoisonedError(job);
  if (job.state !== state) return new IllegalTransitionError(job.state, to);
  const run = job.workflowRunId && (await readRun(tx, job.workflowRunId));
  if (!run) throw new Error(`Job ${jobId} waits for a decision without a run.`);
  return { job, run };
}

/** The outputs count as applied, if the job's capabilities still suffice; else it fails (section 8). */
export async function accept(
  tx: Transaction,
  { job, run }: Awaiting,
  state: "COMPLETED" | "COMPLETED_WITH_ISSUES",
  made: Decision,
): Promise<AiJob | AppError> {
  const { granted, capability } = checkCapability(job.jobKind, job.capabilities);
  if (granted) return settle(tx, { job, run }, made, { state, capabilityId: capability });
  const reason = `capability_denied: ${capability}`;
  const ended = endedRuns([{ id: run.id, state: "FAILED", errorMessage: reason, finishedAt: job.now }]);
  const set = { ...become(job, "FAILED", reason), jobOutputs: null };
  const denied = await recordOne(tx, { job, set, event: denial(job, capability, "completion") }, ended);
  return new CapabilityDeniedError(capability, denied.job);
}

interface Outcome {
  readonly state: Exclude<JobState, "RUNNING">;
  readonly reason?: string;
  readonly set?: JobPatch;
  readonly capabilityId?: string;
}

/** Brings job and run where the decision says; who decided, what and why is in the event. */
export async function settle(
  tx: Transaction,
  { job, run }: Awaiting,
  { decision, comment, by }: Decision,
  outcome: Outcome,
): Promise<AiJob> {
  const { state, reason = word(state), set = {}, capabilityId } = outcome;
  // A job that is sent back goes on without this run (section 6).
  const ended: Ending["state"] = state === "QUEUED" ? "CANCELLED" : state;
  const finishedAt = ended === "AWAITING_USER" ? null : job.now;
  const why = set.errorMessage ?? (comment && redactText(comment));
  const errorMessage = ended === "FAILED" || ended === "CANCELLED" ? why : null;
  const event: EventDraft = {
    type: "STATE_CHANGED",
    by,
    ...(capabilityId === undefined ? {} : { capabilityId }),
    payload: { reason, decision: decision.toLowerCase(), comment },
  };
  const recorded = await recordOne(
    tx,
    { job, set: { ...become(job, state, reason), ...set }, event },
    endedRuns([{ id: run.id, state: ended, errorMessage, finishedAt }]),
  );
  return recorded.job;
}
