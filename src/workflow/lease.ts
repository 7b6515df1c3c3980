import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import {
  AppError,
  IllegalTransitionError,
  JobPoisonedError,
  LeaseLostError,
  type WorkflowDirective,
} from "../errors.ts";
import { hasEnded } from "../jobs/state.ts";
import type { JobHead } from "../storage/columns.ts";
import type { WorkflowRun } from "../storage/generated/client/client.ts";
import type { JobState } from "../storage/generated/client/enums.ts";

/** Seconds that a lease may last (section 6); 30 where a worker does not say. */
export const LEASE_SECONDS = { least: 5, most: 900 };

const TOKEN_BYTES = 32;

/** A new lease token: what the worker gets, once, and what is stored. */
export function newLeaseToken() {
  const bytes = randomBytes(TOKEN_BYTES);
  return { token: bytes.toString("base64url"), stored: new Uint8Array(sha256(bytes)) };
}

/** The moment at which a lease given or renewed at `now` ends. */
export function leaseUntil(now: Date, seconds: number): Date {
  return new Date(now.getTime() + seconds * 1000);
}

/** A run, its job, and the database's clock, read together: what a report is judged by. */
export interface Reported {
  readonly job: JobHead;
  readonly run: WorkflowRun;
  readonly now: Date;
}

/** Why a report may not change its job. */
export type ReportRefusal = LeaseLostError | JobPoisonedError | IllegalTransitionError;

/**
 * Whether the token is, or was, the run's: what everything else of a report depends on. An unknown run and a wrong
 * token get the same answer: a token cannot be tried out.
 */
export function recogniseReport<R extends Reported>(
  reported: R | undefined,
  token: string,
): R | LeaseLostError | JobPoisonedError {
  if (!reported || !provesLease(reported.run, token)) return new LeaseLostError();
  return reported.job.state === "POISONED" ? new JobPoisonedError(reported.job) : reported;
}

/**
 * Judges whether a report with this token may change the job, in the order of section 6: what was read, or why not.
 * @param to the state that the report would bring the job to, for the message.
 */
export function admitReport<R extends Reported>(
  reported: R | undefined,
  token: string,
  to: JobState,
): R | ReportRefusal {
  const recognised = recogniseReport(reported, token);
  if (recognised instanceof AppError) return recognised;
  const { job, run, now } = recognised;
  if (hasEnded(job.state)) return new IllegalTransitionError(job.state, to, directiveOf(job.state));
  const holds = run.state === "RUNNING" && run.leaseExpiresAt !== null && run.leaseExpiresAt > now;
  return holds && job.workflowRunId === run.id ? recognised : new LeaseLostError();
}

/** What a worker is told whose job has ended in this state. */
export function directiveOf(state: JobState): WorkflowDirective {
  switch (state) {
    case "RUNNING":
      return "CONTINUE";
    case "POISONED":
      return "STOP_POISONED";
    case "CANCELLED":
      return "STOP_CANCELLED";
    case "FAILED":
      return "STOP_FAILED";
    case "QUEUED":
    case "STALLED":
    case "AWAITING_VALIDATION":
    case "AWAITING_USER":
    case "COMPLETED":
    case "COMPLETED_WITH_ISSUES":
      return "STOP_LEASE_LOST";
  }
}

function provesLease(run: WorkflowRun, token: string): boolean {
  const bytes = Buffer.from(token, "base64url");
  // Compared with its one spelling, too: the decoder passes over whatever is not base64url.
  const wellFormed = bytes.length === TOKEN_BYTES && bytes.toString("base64url") === token;
  return wellFormed && timingSafeEqual(sha256(bytes), run.leaseToken);
}

function sha256(bytes: Uint8Array): Buffer {
  return hash("sha256", bytes, "buffer");
}
