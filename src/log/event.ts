import { hash } from "node:crypto";
import { canonicalize } from "json-canonicalize";
import type { FlightRecorderEvent } from "../db/generated/client/client.ts";
import type { JobState, RecorderActor, ViolationType } from "../db/generated/client/enums.ts";
import { type DbEnum, toDbEnum } from "../db/rows.ts";
import type { Json } from "./redact.ts";

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

/** The `prev_hash` of a job's first event. */
export const CHAIN_START = "0".repeat(64);

/** Everything of an event that its hash covers: all its fields but the hash. */
export type HashedEvent = Omit<FlightRecorderEvent, "hash">;

/** SHA-256 (hex) over the event's canonical text. */
export function hashEvent(event: HashedEvent): string {
  return hash("sha256", canonicalText(event, event.orderXid.toString(), event.recordedAt.toISOString()), "hex");
}

/**
 * What the hash covers: the RFC 8785 canonical JSON of the event, with the field names of section 3, the stored words,
 * times as ISO 8601 in UTC with milliseconds, and `order_xid` as text, since ids of transactions may pass 2^53.
 *
 * Each version of a job has one, so this is written in the canonical order of its names instead of being sorted into it;
 * only a payload may hold anything. test/log/canonical-text.test.ts compares it with a canonicalization of the whole.
 */
export function canonicalText(event: HashedEvent, orderXid: string, recordedAt: string): string {
  const beforePayload = JSON.stringify({
    actor: toDbEnum(event.actor),
    actor_id: event.actorId,
    capability_id: event.capabilityId,
    event_id: event.eventId,
    job_id: event.jobId,
    metrics: {
      duration_ms: Number(event.durationMs),
      entities_read: Number(event.entitiesRead),
      entities_written: Number(event.entitiesWritten),
      input_tokens: Number(event.inputTokens),
      output_tokens: Number(event.outputTokens),
      tokens_executor: Number(event.tokensExecutor),
      tokens_planner: Number(event.tokensPlanner),
      total_tokens: Number(event.totalTokens),
      validators_run_count: Number(event.validatorsRunCount),
    },
    order_xid: orderXid,
  });
  const afterPayload = JSON.stringify({
    prev_hash: event.prevHash,
    previous_state: event.previousState && toDbEnum(event.previousState),
    recorded_at: recordedAt,
    state: toDbEnum(event.state),
    trace_id: event.traceId,
    type: toDbEnum(event.type),
    version: event.version,
    workflow_run_id: event.workflowRunId,
    workspace_id: event.workspaceId,
  });
  return `${beforePayload.slice(0, -1)},"payload":${canonicalize(event.payload)},${afterPayload.slice(1)}`;
}

/** How a change of state reads in a payload: `running -> poisoned`. */
export function transitionText(from: JobState, to: JobState): string {
  return `${toDbEnum(from)} -> ${toDbEnum(to)}`;
}
