import { afterAll, beforeAll, expect, test } from "vitest";
import type { FlightRecorderEvent } from "../../src/db/generated/client/client.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { CHAIN_START, hashEvent } from "../../src/log/hash.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, aSubmit, engineOn, ok, SOMEBODY, started, WORKSPACE } from "../support/engine.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await openTestDatabase();
});
afterAll(() => db.close());

const violation = {
  violationType: "EXPORT",
  aceCode: "ACE-013",
  guardName: "a person — 何か",
  trigger: 'line "1"\\',
  description: 'É 1e21 \u2028 "quoted"',
  sourceId: null,
} as const;

/** A job that nearly everything happened to. */
async function eventful(): Promise<string> {
  const engine = engineOn(db);
  const claim = await started(engine);
  const { run, leaseToken } = claim;
  ok(await advanceWorkflow(engine, aStep(claim, "nöde", { nodeType: "llm_call", inputPayload: { a: 1 } })));
  const failed = { nodeType: "llm_call", outcome: "FAILED", errorMessage: "Bearer abcdefgh12345678" } as const;
  ok(await advanceWorkflow(engine, aStep(claim, "nöde", failed)));
  const metrics = { ...NO_METRICS, inputTokens: 3_000_000_000, durationMs: Number.MAX_SAFE_INTEGER };
  await heartbeatWorkflows(engine, [{ workflowRunId: run.id, leaseToken, leaseSeconds: 30, metrics }]);
  const completion = { jobOutputs: { summary: "short" }, writtenEntities: [], issues: ["a typo"], metrics: NO_METRICS };
  await completeWorkflows(engine, [{ ...completion, workflowRunId: run.id, leaseToken }]);
  await poisonJob(engine, WORKSPACE, claim.job.jobId, violation);
  return claim.job.jobId;
}

function eventsOf(jobId: string): Promise<FlightRecorderEvent[]> {
  return db.prisma.flightRecorderEvent.findMany({ where: { jobId }, orderBy: { version: "asc" } });
}

/** The hash as it follows from what is stored. */
function recomputed({ hash: _stored, ...event }: FlightRecorderEvent): string {
  return hashEvent(event);
}

test("every event's hash follows from what is stored, each names the one before, and the job keeps the head", async () => {
  const jobId = await eventful();
  const events = await eventsOf(jobId);
  expect(events.map(({ type }) => type)).toEqual([
    "JOB_SUBMITTED",
    "STATE_CHANGED",
    "LLM_INFERENCE",
    "LLM_INFERENCE",
    "METRICS_RECORDED",
    "STATE_CHANGED",
    "SECURITY_VIOLATION",
  ]);
  expect(events.map(recomputed)).toEqual(events.map(({ hash }) => hash));
  expect(events.map(({ prevHash }) => prevHash)).toEqual([CHAIN_START, ...events.slice(0, -1).map(({ hash }) => hash)]);
  const job = await db.prisma.aiJob.findUniqueOrThrow({ where: { jobId } });
  expect(job).toMatchObject({ version: events.length, chainHash: events.at(-1)?.hash });
});

test("the chain of a denied submit is whole, too: two versions of one transaction", async () => {
  const submit = aSubmit({ jobKind: "TERMINAL_EXEC", capabilityProfileId: "default" });
  const denied = await submitAiJob(engineOn(db), WORKSPACE, SOMEBODY, submit);
  expect(denied).toMatchObject({ code: "CAPABILITY_DENIED", job: { version: 2, state: "FAILED" } });
  if (!("job" in denied)) throw new Error("The denial carries no job.");
  const events = await eventsOf(denied.job.jobId);
  expect(events.map(({ type, state }) => [type, state])).toEqual([
    ["JOB_SUBMITTED", "QUEUED"],
    ["CAPABILITY_ACTION", "FAILED"],
  ]);
  expect(events.map(recomputed)).toEqual(events.map(({ hash }) => hash));
  expect(events[1]?.prevHash).toBe(events[0]?.hash);
});

test("a change of any field changes the hash", async () => {
  const [, second] = await eventsOf(await eventful());
  if (!second) throw new Error("There is no second event.");
  const { hash, ...event } = second;
  const changes: Partial<FlightRecorderEvent>[] = [
    { eventId: "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b" },
    { jobId: "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b" },
    { version: 3 },
    { orderXid: event.orderXid + 1n },
    { workspaceId: "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b" },
    { traceId: "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b" },
    { workflowRunId: null },
    { type: "DIAGNOSTIC" },
    { actor: "HUMAN" },
    { actorId: "somebody else" },
    { principalId: "somebody else" },
    { state: "COMPLETED" },
    { previousState: null },
    { totalTokens: 1n },
    { validatorsRunCount: 9n },
    { capabilityId: null },
    { payload: { reason: "another" } },
    { recordedAt: new Date(event.recordedAt.getTime() + 1) },
    { prevHash: CHAIN_START },
  ];
  expect(hashEvent(event)).toBe(hash);
  expect(new Set(changes.map((change) => hashEvent({ ...event, ...change }))).size).toBe(changes.length);
  for (const change of changes) expect(hashEvent({ ...event, ...change })).not.toBe(hash);
});

test("secrets are masked before they are recorded", async () => {
  const events = await eventsOf(await eventful());
  const text = JSON.stringify(events.map(({ payload }) => payload));
  expect(text).not.toContain("abcdefgh12345678");
  expect(text).toContain("[redacted]");
});
