import type { EventFragment } from "@ai-job-server/sdk/client";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { canonicalize } from "json-canonicalize";

/** Recomputes the hash chain of a job from what the API says of its events (docs/ai-job-model.md, section 9). */

/** How far a chain has been followed. */
export interface Chain {
  readonly events: number;
  /** The hash of the last event that was followed. */
  readonly head: string;
  /** Where it breaks, and how; null where it does not. */
  readonly broken: { readonly version: number; readonly how: string } | null;
}

export const CHAIN_START: Chain = { events: 0, head: "0".repeat(64), broken: null };

/** @returns the chain, followed over one more event. */
export function follow(chain: Chain, event: EventFragment): Chain {
  if (chain.broken) return chain;
  const how = faultOf(chain, event);
  if (how) return { ...chain, broken: { version: event.version, how } };
  return { events: chain.events + 1, head: event.hash, broken: null };
}

function faultOf({ events, head }: Chain, event: EventFragment): string | null {
  if (event.version !== events + 1) return `event ${events + 1} is missing`;
  if (event.prevHash !== head) return "it does not follow the event before it";
  const orderXid = orderXidIn(event.cursor);
  if (orderXid === null) return "its cursor cannot be read";
  return hashOf(event, orderXid) === event.hash ? null : "it is not what its hash was made of";
}

/** @returns the SHA-256 of the event's canonical JSON (RFC 8785), in hexadecimal. */
function hashOf(event: EventFragment, orderXid: string): string {
  const covered = {
    actor: event.actor.toLowerCase(),
    actor_id: event.actorId,
    capability_id: event.capabilityId,
    event_id: event.eventId,
    job_id: event.jobId,
    metrics: Object.fromEntries(METRICS.map(([column, name]) => [column, event.metrics[name]])),
    order_xid: orderXid,
    payload: event.payload,
    prev_hash: event.prevHash,
    previous_state: event.previousState?.toLowerCase() ?? null,
    // Not there in events that were kept before it was.
    ...(event.principalId === null ? {} : { principal_id: event.principalId }),
    recorded_at: event.recordedAt,
    state: event.state.toLowerCase(),
    trace_id: event.traceId,
    type: event.type.toLowerCase(),
    version: event.version,
    workflow_run_id: event.workflowRunId,
    workspace_id: event.workspaceId,
  };
  return bytesToHex(sha256(utf8ToBytes(canonicalize(covered))));
}

/** The metrics that the hash covers, by the names that the database gives them. */
const METRICS = [
  ["duration_ms", "durationMs"],
  ["entities_read", "entitiesRead"],
  ["entities_written", "entitiesWritten"],
  ["input_tokens", "inputTokens"],
  ["output_tokens", "outputTokens"],
  ["tokens_executor", "tokensExecutor"],
  ["tokens_planner", "tokensPlanner"],
  ["total_tokens", "totalTokens"],
  ["validators_run_count", "validatorsRunCount"],
] as const;

/** @returns the transaction that wrote the event, of which the cursor is the one place that tells. */
function orderXidIn(cursor: string): string | null {
  const [first = ""] = cursor.split(".", 1);
  const base64 = first.replaceAll("-", "+").replaceAll("_", "/");
  try {
    return atob(base64).split(" ")[2] ?? null;
  } catch {
    return null;
  }
}
