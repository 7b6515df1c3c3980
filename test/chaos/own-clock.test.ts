import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import type { Entry } from "./entries.ts";
import { auditOwnClock } from "./own-clock.ts";

/** The audit of the chaos test finds what a worker does too late, by either clock. */

const workflowRunId = randomUUID();
const at = (steadyMs: number, wallMs = steadyMs) => ({ steadyMs, wallMs });
const claimed: Entry = {
  type: "claimed",
  workflowRunId,
  jobId: randomUUID(),
  leaseExpiresAt: new Date(5_100).toISOString(),
  leaseSeconds: 5,
  sentAt: at(0),
  completedNodes: [],
  userAnswers: [],
  children: [],
};
const begun = (moment: ReturnType<typeof at>): Entry => ({
  type: "begun",
  workflowRunId,
  nodeId: "step-1",
  at: moment,
});

/** A renewal that was sent at one moment, and answered and counted on at another. */
function renewed(sentAt: number, countedAt: number): Entry[] {
  const reportId = randomUUID();
  const input = { workflowRunId, leaseToken: "token", reportId };
  const answer = { code: null, leaseExpiresAt: new Date(sentAt + 5_100).toISOString() };
  return [
    { type: "planned", kind: "heartbeat", input },
    { type: "sent", kind: "heartbeat", reportIds: [reportId], at: at(sentAt), isLate: false },
    { type: "answered", kind: "heartbeat", reportId, sentAt: at(sentAt), ...answer },
    { type: "counted", workflowRunId, reportId, at: at(countedAt) },
  ];
}

function oversteppedIn(...entries: Entry[]): readonly string[] {
  return auditOwnClock([claimed, ...entries]).overstepped.map(({ entry }) => entry.type);
}

test("what comes before the deadline may be done, by the claim or by a renewal from its sending", () => {
  expect(oversteppedIn(begun(at(4_999)))).toEqual([]);
  expect(oversteppedIn(...renewed(3_000, 4_500), begun(at(7_999)))).toEqual([]);
});

test("a step, a sending and an answer that is counted on are too late from the deadline on, by either clock", () => {
  expect(oversteppedIn(begun(at(5_000)))).toEqual(["begun"]);
  expect(oversteppedIn(begun(at(100, 5_000)))).toEqual(["begun"]);
  expect(oversteppedIn(...renewed(3_000, 4_500), begun(at(8_000)))).toEqual(["begun"]);
  expect(oversteppedIn(...renewed(3_000, 5_000))).toEqual(["counted"]);
  expect(oversteppedIn(...renewed(5_000, 5_100))).toEqual(["sent", "counted"]);
});

test("nothing is held against a worker that goes by no clock, nor against what it sends for the record", () => {
  expect(oversteppedIn({ type: "careless", workflowRunId }, begun(at(9_000)))).toEqual([]);
  const [planned, sent] = renewed(6_000, 6_000);
  if (planned?.type !== "planned" || sent?.type !== "sent") throw new Error("A renewal is planned and sent.");
  expect(oversteppedIn(planned, { ...sent, isLate: true })).toEqual([]);
  expect(auditOwnClock([claimed, { type: "stopped", workflowRunId, at: at(5_000) }]).stops).toEqual([at(5_000)]);
});
