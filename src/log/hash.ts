import { hash } from "node:crypto";
import { canonicalize } from "json-canonicalize";
import type { FlightRecorderEvent } from "../db/generated/client/client.ts";
import { METRIC_NAMES } from "../db/job-columns.ts";
import { snakeCase, toDbEnum } from "../db/rows.ts";

/** The hashes that chain the events of a job (section 9). */

/** The `prev_hash` of a job's first event. */
export const CHAIN_START = "0".repeat(64);

/** Everything of an event that its hash covers: all its fields but the hash. */
export type HashedEvent = Omit<FlightRecorderEvent, "hash">;

/** @returns the SHA-256 of the event's canonical text, as 64 lower-case hexadecimal digits. */
export function hashEvent(event: HashedEvent): string {
  return hash("sha256", canonicalText(event, event.orderXid.toString(), event.recordedAt.toISOString()), "hex");
}

/** The metrics as the canonical text has them: by column, in the order of the columns' names. */
const CANONICAL_METRICS = METRIC_NAMES.map((name) => ({ name, column: snakeCase(name) }))
  .toSorted((a, b) => (a.column < b.column ? -1 : 1))
  .map(({ name, column }, index) => ({ name, label: `${index === 0 ? "" : ","}"${column}":` }));

/**
 * What the hash covers: the RFC 8785 canonical JSON of the event, with the field names of section 3, the stored words,
 * times as ISO 8601 in UTC with milliseconds, and `order_xid` as text, since ids of transactions may pass 2^53.
 *
 * Each version of a job has one, so this is written in the canonical order of its names instead of being sorted into it,
 * and only what may hold anything is escaped: ids, hashes and the words of enums have no character that JSON escapes.
 * test/log/canonical-text.test.ts compares it with a canonicalization of the whole.
 */
export function canonicalText(event: HashedEvent, orderXid: string, recordedAt: string): string {
  // A metric is at most 2^53 - 1, and so the same as text and as a JSON number.
  let metrics = "";
  for (const { name, label } of CANONICAL_METRICS) metrics += `${label}${event[name]}`;
  return (
    `{"actor":"${toDbEnum(event.actor)}","actor_id":${JSON.stringify(event.actorId)},` +
    `"capability_id":${JSON.stringify(event.capabilityId)},"event_id":"${event.eventId}","job_id":"${event.jobId}",` +
    `"metrics":{${metrics}},"order_xid":"${orderXid}","payload":${canonicalize(event.payload)},` +
    `"prev_hash":"${event.prevHash}","previous_state":${quotedOrNull(event.previousState && toDbEnum(event.previousState))},` +
    `"recorded_at":"${recordedAt}","state":"${toDbEnum(event.state)}","trace_id":"${event.traceId}",` +
    `"type":"${toDbEnum(event.type)}","version":${event.version},"workflow_run_id":${quotedOrNull(event.workflowRunId)},` +
    `"workspace_id":"${event.workspaceId}"}`
  );
}

function quotedOrNull(word: string | null): string {
  return word === null ? "null" : `"${word}"`;
}
