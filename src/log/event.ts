import { uuidv7 } from "uuidv7";
import type { AiJob, FlightRecorderEvent } from "../db/generated/client/client.ts";
import type { JobState, RecorderActor, ViolationType } from "../db/generated/client/enums.ts";
import type { MetricName } from "../db/job-columns.ts";
import { withMetrics } from "../db/metrics.ts";
import { type DbEnum, type Run, toDbEnum } from "../db/rows.ts";
import { CHAIN_START } from "./hash.ts";
import { type Json, redactObject } from "./redact.ts";

/**
 * The payload of a security event (section 5). The trigger names the pattern and where it matched, never the content.
 */
export type ViolationPayload = {
  readonly violation_type: DbEnum<ViolationType>;
  readonly description: string;
  readonly source_id: string | null;
  /** For a job that was poisoned as a descendant: the job in which the violation was found. */
  readonly source_job_id?: string;
  readonly trigger: string;
  readonly guard_name: string;
  readonly ace_code: string;
  readonly action_taken: "poisoned" | "recorded";
  readonly job_state_transition: string;
};

/** What an event says of a step. */
export type StepPayload = {
  readonly node_id: string;
  readonly node_type: string;
  readonly sequence: number;
  readonly outcome: "started" | "succeeded" | "failed";
  readonly error_message: string | null;
};

/** The steps of a report, in its order. A report of one step alone is what the step's metrics are read from. */
type StepsPayload = { readonly steps: readonly StepPayload[]; readonly cost_micros?: number };

/**
 * Every event type with its payload (section 9). A new type needs a value of RecorderEventType and a member here. `cost_micros` is
 * what the version adds to the job's cost, left out where it adds none; the database compares it with the ledger (section 14). `progress`
 * is added to the payload of each version that sets it, of any type (section 13).
 */
export type EventContent =
  | { readonly type: "JOB_SUBMITTED"; readonly payload: { readonly [key: string]: Json } }
  | { readonly type: "STATE_CHANGED"; readonly payload: { readonly reason: string; readonly [key: string]: Json } }
  | { readonly type: "NODE_CHANGED"; readonly payload: StepsPayload }
  | { readonly type: "LLM_INFERENCE"; readonly payload: StepsPayload }
  | {
      readonly type: "METRICS_RECORDED";
      readonly payload: { readonly delta?: Json; readonly is_late?: true; readonly cost_micros?: number };
    }
  | {
      readonly type: "CAPABILITY_ACTION";
      readonly payload: {
        readonly outcome: "denied";
        readonly capability: string;
        readonly capability_profile_id: string;
        readonly checked_at: "submit" | "claim" | "completion";
      };
    }
  | {
      readonly type: "DIAGNOSTIC";
      readonly payload: { readonly code: string; readonly guard_name: string; readonly reason: string };
    }
  | { readonly type: "SECURITY_VIOLATION"; readonly payload: ViolationPayload }
  | {
      readonly type: "WORKFLOW_RECOVERY";
      readonly payload: {
        readonly worker_id: string;
        readonly attempt: number;
        readonly lease_expired_at: string | null;
        readonly last_heartbeat: string;
      };
    };

/** Who made a change: a person, a worker, or the server itself (section 9). */
export interface Actor {
  readonly actor: RecorderActor;
  readonly actorId: string;
  /** The principal (section 11) whose request led to the change; null for what the server does by itself. */
  readonly principalId: string | null;
}

/** A person, or a program that acts for one: there is always a principal that it is. */
export interface Human extends Actor {
  readonly principalId: string;
}

/** A person, or a program that acts for one, as the actor of its command. */
export function humanFor(principalId: string): Human {
  return { actor: "HUMAN", actorId: principalId, principalId };
}

/** The worker of a run, as the actor of its reports. */
export function workerOf({ workerId, principalId }: Pick<Run, "workerId" | "principalId">): Actor {
  return { actor: "AGENT", actorId: workerId, principalId };
}

/** The server, as the actor of what it decides where this principal's request leads to it; null where no request does. */
export function serverFor(principalId: string | null): Actor {
  return { actor: "SYSTEM", actorId: "workflow-engine", principalId };
}

/** The server, as the actor of what no request leads to. */
export const SYSTEM_ACTOR = serverFor(null);

/** An event as a command describes it; the remaining columns are added when the new version is written. */
export type EventDraft = EventContent & {
  readonly by: Actor;
  /** The run that the event is about; left out, the job's latest run. */
  readonly workflowRunId?: string | null;
  /** The capability check that allowed, or denied, this change. */
  readonly capabilityId?: string;
};

/**
 * @returns the event of a capability check that failed (section 8).
 * @param checkedAt the step that made the check.
 * @param principalId whose request it was a step of.
 */
export function capabilityDenial(
  job: { readonly capabilityProfileId: string },
  capability: string,
  checkedAt: "submit" | "claim" | "completion",
  principalId: string | null,
): EventDraft {
  return {
    type: "CAPABILITY_ACTION",
    by: serverFor(principalId),
    capabilityId: capability,
    payload: {
      outcome: "denied",
      capability,
      capability_profile_id: job.capabilityProfileId,
      checked_at: checkedAt,
    },
  };
}

/** @returns a change of state as payloads show it: `running -> poisoned`. */
export function transitionText(from: JobState, to: JobState): string {
  return `${toDbEnum(from)} -> ${toDbEnum(to)}`;
}

/** The fields that an event copies from its job as it is after the change. */
export type JobOfEvent = Pick<
  AiJob,
  "jobId" | "version" | "workspaceId" | "traceId" | "workflowRunId" | "state" | MetricName
>;

/**
 * Builds the event of one version of a job.
 * @param after the job as the change leaves it.
 * @param before the job before the change; undefined for its first version.
 * @param recording the event's `orderXid` (section 4, order of the log) and the time of the change.
 * @param progress what the version says of the job's progress, whatever else its event is about; left out, nothing.
 * @returns the event with its payload redacted, and with an empty `hash`: the caller computes it.
 */
export function eventOf(
  after: JobOfEvent,
  before: Pick<AiJob, "state" | "chainHash"> | undefined,
  draft: EventDraft,
  recording: Pick<FlightRecorderEvent, "orderXid" | "recordedAt">,
  progress?: { readonly progress: Json },
): FlightRecorderEvent {
  // `withMetrics` adds the metrics to an object literal: a literal that begins with a spread takes a hundred times as
  // long.
  return withMetrics(
    {
      eventId: uuidv7(),
      jobId: after.jobId,
      version: after.version,
      orderXid: recording.orderXid,
      workspaceId: after.workspaceId,
      traceId: after.traceId,
      workflowRunId: draft.workflowRunId === undefined ? after.workflowRunId : draft.workflowRunId,
      type: draft.type,
      actor: draft.by.actor,
      actorId: draft.by.actorId,
      principalId: draft.by.principalId,
      state: after.state,
      previousState: before?.state ?? null,
      capabilityId: draft.capabilityId ?? null,
      payload: redactObject(progress ? { ...draft.payload, ...progress } : draft.payload),
      recordedAt: recording.recordedAt,
      prevHash: before?.chainHash ?? CHAIN_START,
      hash: "",
    },
    after,
  );
}
