import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import type { KitLine } from "./kit/lines.ts";
import { entriesOf } from "./kit/read-lines.ts";
import { auditOwnClock } from "./own-clock.ts";

/** What a worker with a kit wrote is read as what one without a kit would have written, and no more of it is believed. */

const [jobId, workflowRunId] = [randomUUID(), randomUUID()];
const proof = { workflowRunId, leaseToken: "token" };
const at = (ms: number) => ({ steadyMs: ms, wallMs: ms });

/** A request, and its answer where one was read. */
function exchange(operation: string, input: object, from: number, answer?: object, to = from): KitLine[] {
  const id = randomUUID();
  const asked = { type: "asked", exchange: id, operation, variables: { input }, at: at(from) } as const;
  return answer ? [asked, { type: "got", exchange: id, answer, at: at(to) }] : [asked];
}

const brought = { completedNodes: [], userAnswers: [], children: [] };
const claims = [{ workflowRun: { workflowRunId, attempt: 1 }, job: { jobId }, ...brought }];
const claimed = exchange("ClaimAiJobs", { leaseSeconds: 15 }, 0, { data: { claimAiJobs: { claims } } });
const working = (calledAt: number): KitLine => ({
  type: "working",
  jobId,
  attempt: 1,
  nodeId: "a",
  calledAt: at(calledAt),
});
const logged = (ending: string): KitLine => ({ type: "logged", line: `DOC_EDIT ${jobId}: ${ending}` });
const accepted = { data: { advanceWorkflow: { __typename: "AdvanceWorkflowPayload", directive: "CONTINUE" } } };
const advance = (reportId: string, from: number, ...rest: [answer?: object, to?: number]) =>
  exchange("AdvanceWorkflow", { ...proof, reportId }, from, ...rest);
const completed = { data: { completeWorkflows: { results: [{ __typename: "CompletedWorkflow" }] } } };
const complete = (answer?: object) =>
  exchange("CompleteWorkflows", { completions: [{ ...proof, reportId: randomUUID() }] }, 9_000, answer);

const typesOf = (...lines: KitLine[]) => entriesOf(lines).map(({ type }) => type);
const oversteppedIn = (...lines: KitLine[]) =>
  auditOwnClock(entriesOf([...claimed, ...lines])).overstepped.map(({ entry }) => entry.type);
const renewal = (result: object) =>
  exchange("HeartbeatWorkflows", { heartbeats: [{ ...proof, leaseSeconds: 15 }] }, 5_000, {
    data: { heartbeatWorkflows: { results: [result] } },
  });

test("a report is planned once, sent as often as it was, and counted on once a later step begins", () => {
  const reportId = randomUUID();
  const lines = [...claimed, ...advance(reportId, 1), ...advance(reportId, 2, accepted, 3), working(2)];
  expect(typesOf(...lines)).toEqual(["claimed", "planned", "sent", "sent", "answered", "counted", "begun"]);
  // The kit looked at the clock behind the answer.
  expect(entriesOf(lines).at(-1)).toMatchObject({ type: "begun", at: at(3) });
});

test("a step that is asked for, and an answer on which it counts, are too late from the deadline on", () => {
  expect(oversteppedIn(working(14_999))).toEqual([]);
  expect(oversteppedIn(working(15_000))).toEqual(["begun"]);
  expect(oversteppedIn(...advance(randomUUID(), 1, accepted, 15_000), working(2))).toEqual(["counted", "begun"]);
  expect(oversteppedIn(...renewal({ directive: "CONTINUE", error: null }), working(19_999))).toEqual([]);
  expect(oversteppedIn(...renewal({ directive: "STOP_CANCELLED", error: null }), working(19_999))).toEqual(["begun"]);
});

test("a kit that says that a job is completed is believed where it read so", () => {
  expect(typesOf(...claimed, ...complete(completed), logged("completed")).slice(-2)).toEqual(["counted", "ended"]);
  expect(typesOf(...claimed, ...complete(), logged("completed")).at(-1)).toBe("unexpected");
  expect(typesOf(...claimed, logged("its end could not be reported: …")).at(-1)).toBe("unexpected");
  expect(typesOf(...claimed, logged("stopped"))).toEqual(["claimed"]);
});

test("a refusal that the documentation does not lead to is unexpected; one that leaves open what was kept says nothing", () => {
  const refused = (code: string) => ({ data: { advanceWorkflow: { code, message: "" } } });
  expect(typesOf(...claimed, ...advance(randomUUID(), 1, refused("INVALID_INPUT"))).at(-1)).toBe("unexpected");
  expect(typesOf(...claimed, ...advance(randomUUID(), 1, refused("LEASE_LOST"))).at(-1)).toBe("answered");
  expect(typesOf(...claimed, ...advance(randomUUID(), 1, refused("TRY_AGAIN"))).at(-1)).toBe("sent");
  const failed = { errors: [{ message: "", extensions: { code: "INTERNAL_SERVER_ERROR" } }] };
  expect(typesOf(...claimed, ...advance(randomUUID(), 1, failed)).at(-1)).toBe("sent");
});
