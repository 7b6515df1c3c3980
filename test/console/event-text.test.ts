import type { EventFragment } from "@ai-job-server/sdk/client";
import { describe, expect, test } from "vitest";
import { titleOf } from "../../console/src/job/event-text.ts";
import { isSaidToBeFinal, whyCancelled } from "../../console/src/job/record.ts";
import { NO_METRICS } from "./no-metrics.ts";

/** What the record says of a job's life, in sentences for people. */

const EVENT = {
  eventId: "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b",
  jobId: "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5c",
  workspaceId: "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5d",
  workflowRunId: null,
  traceId: "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5e",
  version: 2,
  type: "STATE_CHANGED",
  state: "CANCELLED",
  previousState: "QUEUED",
  actor: "HUMAN",
  actorId: "ada",
  principalId: null,
  capabilityId: null,
  payload: {},
  metrics: NO_METRICS,
  recordedAt: "2026-12-01T08:00:00.000Z",
  prevHash: "",
  hash: "",
  cursor: "",
} as const satisfies EventFragment;

const cancelled = { ...EVENT, payload: { reason: "cancelled", detail: "The batch was a mistake." } };
const asked = {
  ...EVENT,
  state: "AWAITING_USER" as const,
  payload: { reason: "user_input_requested", request_id: "r1" },
};

test("a cancellation is told with its reason", () => {
  expect(titleOf(cancelled)).toBe("Now cancelled: The batch was a mistake.");
  expect(whyCancelled([EVENT, cancelled])).toBe("The batch was a mistake.");
});

test("of a cancellation in the inbox the comment is the reason", () => {
  const payload = { reason: "cancelled", decision: "cancel", comment: "Not wanted any more." };
  expect(whyCancelled([{ ...EVENT, payload }])).toBe("Not wanted any more.");
  expect(whyCancelled([{ ...EVENT, payload: { ...payload, comment: null } }])).toBe(undefined);
});

test("what was said before another state is no reason of it", () => {
  expect(whyCancelled([cancelled, { ...EVENT, state: "QUEUED", previousState: "CANCELLED" }])).toBe(undefined);
  expect(whyCancelled([])).toBe(undefined);
});

test("a failure is final where its worker said so, and until something else has become of the job", () => {
  const failed = {
    ...EVENT,
    state: "FAILED" as const,
    previousState: "RUNNING" as const,
    payload: { retryable: false },
  };
  const retried = { ...EVENT, state: "QUEUED" as const, previousState: "FAILED" as const };
  const lost = { ...failed, type: "WORKFLOW_RECOVERY" as const, payload: { worker_id: "w" } };
  expect(isSaidToBeFinal([failed])).toBe(true);
  expect(isSaidToBeFinal([{ ...failed, payload: { retryable: true } }])).toBe(false);
  expect(isSaidToBeFinal([failed, retried])).toBe(false);
  expect(isSaidToBeFinal([failed, retried, lost])).toBe(false);
});

describe("a question", () => {
  test("that is open is told", () => {
    expect(titleOf(asked, { requestId: "r1", question: "Send it?" })).toBe("Asked somebody: Send it?");
  });

  test("that is not, of which the record has no words, is told without them", () => {
    const told = "Asked somebody; what was said is not recorded";
    expect(titleOf(asked, { requestId: "r2", question: "Send it?" })).toBe(told);
    expect(titleOf(asked)).toBe(told);
  });

  test("is answered, with the comment where there is one", () => {
    const payload = { reason: "answered", decision: "answer", comment: "As agreed.", request_id: "r1" };
    expect(titleOf({ ...EVENT, state: "QUEUED", payload })).toBe("Answered: As agreed.");
    expect(titleOf({ ...EVENT, state: "QUEUED", payload: { ...payload, comment: null } })).toBe(
      "Answered; what was said is not recorded",
    );
  });
});

test("a failure is told with what the worker said", () => {
  const payload = { reason: "failed", retryable: true, error_message: "The model is away." };
  expect(titleOf({ ...EVENT, state: "FAILED", payload })).toBe("Now failed: The model is away.");
});
