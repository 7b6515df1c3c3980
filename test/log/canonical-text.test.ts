import fc from "fast-check";
import { canonicalize } from "json-canonicalize";
import { expect, test } from "vitest";
import { JobState, RecorderActor, RecorderEventType } from "../../src/db/generated/client/enums.ts";
import { METRIC_NAMES } from "../../src/db/job-columns.ts";
import { snakeCase } from "../../src/db/rows.ts";
import { canonicalText, type HashedEvent } from "../../src/log/hash.ts";

/** Any event: every field that may hold anything does. */
const anyEvent: fc.Arbitrary<HashedEvent> = fc.record({
  eventId: fc.uuid(),
  jobId: fc.uuid(),
  version: fc.nat(),
  orderXid: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
  workspaceId: fc.uuid(),
  traceId: fc.uuid(),
  workflowRunId: fc.option(fc.uuid()),
  type: fc.constantFrom(...Object.values(RecorderEventType)),
  actor: fc.constantFrom(...Object.values(RecorderActor)),
  actorId: fc.string({ unit: "grapheme" }),
  principalId: fc.option(fc.string({ unit: "grapheme" })),
  state: fc.constantFrom(...Object.values(JobState)),
  previousState: fc.option(fc.constantFrom(...Object.values(JobState))),
  ...metrics(fc.maxSafeNat().map(BigInt)),
  capabilityId: fc.option(fc.string()),
  payload: fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue()).map((payload) => ({ ...payload })),
  recordedAt: fc.date({ min: new Date(0), max: new Date("9999-12-31"), noInvalidDate: true }),
  prevHash: fc.stringMatching(/^[0-9a-f]{64}$/),
});

function metrics(one: fc.Arbitrary<bigint>) {
  return {
    durationMs: one,
    totalTokens: one,
    inputTokens: one,
    outputTokens: one,
    tokensPlanner: one,
    tokensExecutor: one,
    entitiesRead: one,
    entitiesWritten: one,
    validatorsRunCount: one,
  };
}

test("what an event's hash covers is the RFC 8785 canonical JSON of it, whatever the event holds", () => {
  fc.assert(
    fc.property(anyEvent, (event) => {
      const orderXid = event.orderXid.toString();
      const recordedAt = event.recordedAt.toISOString();
      expect(canonicalText(event, orderXid, recordedAt)).toBe(
        canonicalize({
          event_id: event.eventId,
          job_id: event.jobId,
          version: event.version,
          order_xid: orderXid,
          workspace_id: event.workspaceId,
          trace_id: event.traceId,
          workflow_run_id: event.workflowRunId,
          type: event.type.toLowerCase(),
          actor: event.actor.toLowerCase(),
          actor_id: event.actorId,
          ...(event.principalId === null ? {} : { principal_id: event.principalId }),
          state: event.state.toLowerCase(),
          previous_state: event.previousState?.toLowerCase() ?? null,
          metrics: Object.fromEntries(METRIC_NAMES.map((name) => [snakeCase(name), Number(event[name])])),
          capability_id: event.capabilityId,
          payload: event.payload,
          recorded_at: recordedAt,
          prev_hash: event.prevHash,
        }),
      );
    }),
    { numRuns: 500 },
  );
});
