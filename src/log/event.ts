import { uuidv7 } from "uuidv7";
import type { AiJob, FlightRecorderEvent } from "../db/generated/client/client.ts";
import type { JobState, RecorderActor, ViolationType } from "../db/generated/client/enums.ts";
import type { MetricName } from "../db/job-columns.ts";
import { withMetrics } from "../db/metrics.ts";
import { type DbEnum, toDbEnum } from "../db/rows.ts";
import { CHAIN_START } from "./hash.ts";
import { type Json, redactObject } from "./redact.ts";

/** What a security event tells (section 5). The trigger names the pattern and the place, never the content. */
export type ViolationPayload = {
  readonly violation_type: DbEnum<ViolationType>;
  readonly description: string;
  readonly source_id: string | null;
  /** The job in which it was found, where this one was poisoned as a descendant of it. */
  readonly source_job_id?: string;
  readonly trigger: string;
  readonly guard_name: string;
  readonly ace_code: string;
  readonly action_taken: "poisoned" | "recorded";
  readonly job_state_transition: string;
};

type StepPayload = {
  readonly node_id: string;
  readonly node_type: string;
  readonly sequence: number;
  readonly outcome: "started" | "succeeded" | "failed";
  readonly error_message: string | null;
};

/** Every sort of event with its payload. Adding one is a value of RecorderEventType and a line here. */
export type EventContent =
  | { readonly type: "JOB_SUBMITTED"; readonly payload: { readonly [key: string]: Json } }
  | { readonly type: "STATE_CHANGED"; readonly payload: { readonly reason: string; readonly [key: string]: Json } }
  | { readonly type: "NODE_CHANGED"; readonly payload: StepPayload }
  | { readonly type: "LLM_INFERENCE"; readonly payload: StepPayload }
  | { readonly type: "METRICS_RECORDED"; readonly payload: { readonly delta: Json } }
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

/** Who did it: a person, a worker, or the engine itself (section 11). */
export interface Actor {
  readonly actor: RecorderActor;
  readonly actorId: string;
}

export const ENGINE: Actor = { actor: "SYSTEM", actorId: "workflow-engine" };

/** An event as the code that decided on a change writes it; the recorder adds the rest. */
export type EventDraft = EventContent & {
  readonly by: Actor;
  /** The run it is about; the job's latest run where this is left out. */
  readonly workflowRunId?: string | null;
  /** The capability check that allowed, or denied, this change. */
  readonly capabilityId?: string;
};

/** The event of a capability check that failed (section 8). */
export function capabilityDenial(
  job: { readonly capabilityProfileId: string },
  capability: string,
  checkedAt: "submit" | "claim" | "completion",
): EventDraft {
  return {
    type: "CAPABILITY_ACTION",
    by: ENGINE,
    capabilityId: capability,
    payload: {
      outcome: "denied",
      capability,
      capability_profile_id: job.capabilityProfileId,
      checked_at: checkedAt,
    },
  };
}

/** How a change of state reads in a payload: `running -> poisoned`. */
export function transitionText(from: JobState, to: JobState): string {
  return `${toDbEnum(from)} -> ${toDbEnum(to)}`;
}

/** What an event has from its job as the change leaves it. */
export type JobOfEvent = Pick<
  AiJob,
  "jobId" | "version" | "workspaceId" | "traceId" | "workflowRunId" | "state" | MetricName
>;

/** @returns the event of a version of a job, without its hash. */
export function eventOf(
  after: JobOfEvent,
  before: Pick<AiJob, "state" | "chainHash"> | undefined,
  draft: EventDraft,
  recording: Pick<FlightRecorderEvent, "orderXid" | "recordedAt">,
): FlightRecorderEvent {
  // Metrics are added to a literal: one that begins with a spread takes a hundred times as long to make.
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
      state: after.state,
      previousState: before?.state ?? null,
      capabilityId: draft.capabilityId ?? null,
      payload: redactObject(draft.payload),
      recordedAt: recording.recordedAt,
      prevHash: before?.chainHash ?? CHAIN_START,
      hash: "",
    },
    after,
  );
}
