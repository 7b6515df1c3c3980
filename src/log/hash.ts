import { hash } from "node:crypto";
import { canonicalize } from "json-canonicalize";
import type { FlightRecorderEvent } from "../db/generated/client/client.ts";
import { METRIC_NAMES } from "../db/job-columns.ts";
import { snakeCase, toDbEnum } from "../db/rows.ts";

/** The hashes that chain the events of a job (section 9). */

/** The `prev_hash` of a job's first event. */
export const CHAIN_START = "0".repeat(64);

/** The fields that an event's hash covers: all except the hash itself. */
export type HashedEvent = Omit<FlightRecorderEvent, "hash">;

/** @returns the SHA-256 of the event's canonical text, as 64 lower-case hexadecimal digits. */
export function hashEvent(event: HashedEvent): string {
  return hash("sha256", canonicalText(event, event.orderXid.toString(), event.recordedAt.toISOString()), "hex");
}

/** The metrics by column name, sorted by it, as canonical JSON requires. */
const CANONICAL_METRICS = METRIC_NAMES.map((name) => ({ name, column: snakeCase(name) }))
  .toSorted((a, b) => (a.column < b.column ? -1 : 1))
  .map(({ name, column }, index) => ({ name, label: `${index === 0 ? "" : ","}"${column}":` }));

/**
 * The text that is hashed (section 9): the RFC 8785 canonical JSON of the event, with database column names, enum
 * values as they are stored, times as ISO 8601 in UTC with milliseconds, and `order_xid` as a string, since it may
 * exceed 2^53.
 *
 * Every version of a job needs this text, so it is written directly in canonical key order instead of being sorted, and
 * only free text is escaped: ids, hashes and enum values contain no character that JSON escapes.
 * test/log/canonical-text.test.ts compares the result with a generic canonicalization.
 * @param orderXid `event.orderXid` as decimal digits.
 * @param recordedAt `event.recordedAt` as ISO 8601 in UTC with milliseconds.
 */
export function canonicalText(event: HashedEvent, orderXid: string, recordedAt: string): string {
  // A metric is at most 2^53 - 1, so its decimal digits are its canonical JSON number.
  let metrics = "";
  for (const { name, label } of CANONICAL_METRICS) metrics += `${label}${event[name]}`;
  // Left out where it is null: events from before it was kept have their hashes without it.
  const principal = event.principalId === null ? "" : `"principal_id":${JSON.stringify(event.principalId)},`;
  return (
    `{"actor":"${toDbEnum(event.actor)}","actor_id":${JSON.stringify(event.actorId)},` +
    `"capability_id":${JSON.stringify(event.capabilityId)},"event_id":"${event.eventId}","job_id":"${event.jobId}",` +
    `"metrics":{${metrics}},"order_xid":"${orderXid}","payload":${canonicalize(event.payload)},` +
    `"prev_hash":"${event.prevHash}","previous_state":${quotedOrNull(event.previousState && toDbEnum(event.previousState))},` +
    `${principal}"recorded_at":"${recordedAt}","state":"${toDbEnum(event.state)}","trace_id":"${event.traceId}",` +
    `"type":"${toDbEnum(event.type)}","version":${event.version},"workflow_run_id":${quotedOrNull(event.workflowRunId)},` +
    `"workspace_id":"${event.workspaceId}"}`
  );
}

function quotedOrNull(word: string | null): string {
  return word === null ? "null" : `"${word}"`;
}
