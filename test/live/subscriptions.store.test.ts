import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { startWorkflow } from "../../src/claims/start.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY, submitted, WORKSPACE } from "../support/engine.ts";
import { type Operation, PROTOCOLS, type Protocol, watch } from "../support/live.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

const FIELDS = "kind cursor version state previousState matchesFilter job { jobId } event { type version }";
const ONE = `subscription ($jobId: UUID!, $after: Cursor) { change: aiJobChanged(jobId: $jobId, after: $after) { ${FIELDS} } }`;
const MANY = `subscription ($filter: AiJobFilter, $after: Cursor) { change: aiJobsChanged(filter: $filter, after: $after) { ${FIELDS} } }`;

const payload = z.object({
  change: z.object({
    kind: z.enum(["SNAPSHOT", "EVENT"]),
    cursor: z.string(),
    version: z.int(),
    state: z.string(),
    previousState: z.string().nullable(),
    matchesFilter: z.boolean(),
    job: z.object({ jobId: z.string() }),
    event: z.object({ type: z.string(), version: z.int() }).nullable(),
  }),
});

let db: TestDatabase;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

function subscribe(protocol: Protocol, operation: Operation) {
  return watch(protocol, server.url, operation, (data) => payload.parse(data).change);
}

/**
 * An engine that tells no feed of what it commits, as another server would not: what a subscriber hears of it, it
 * hears from the log.
 */
function elsewhere() {
  return engineOn(db);
}

async function take(jobId: string): Promise<Claim> {
  const claim = ok(await startWorkflow(elsewhere(), WORKSPACE, { jobId, workerId: "w", leaseSeconds: 60 }));
  if (!("leaseToken" in claim)) throw new Error("The job was poisoned instead of started.");
  return claim;
}

async function report({ run, leaseToken }: Claim): Promise<void> {
  const metrics = { ...NO_METRICS, inputTokens: 1 };
  await heartbeatWorkflows(elsewhere(), [{ workflowRunId: run.id, leaseToken, leaseSeconds: 60, metrics }]);
}

async function complete({ run, leaseToken }: Claim): Promise<void> {
  const completion = { jobOutputs: null, writtenEntities: [], issues: [], metrics: NO_METRICS };
  await completeWorkflows(elsewhere(), [{ ...completion, workflowRunId: run.id, leaseToken }]);
}

describe.each(PROTOCOLS)("over %s", (protocol) => {
  test("a job's subscriber gets one snapshot, then every event once, in order", async () => {
    const { jobId } = await submitted(elsewhere());
    await using changes = subscribe(protocol, { query: ONE, variables: { jobId } });
    await changes.until((seen) => seen.length === 1);
    const claim = await take(jobId);
    for (let beat = 0; beat < 5; beat++) await report(claim);
    await complete(claim);
    const seen = await changes.until((all) => all.some(({ state }) => state === "COMPLETED"));
    expect(seen[0]).toMatchObject({ kind: "SNAPSHOT", version: 1, state: "QUEUED", event: null });
    expect(seen.slice(1).map(({ kind, version, event }) => [kind, version, event?.type])).toEqual([
      ["EVENT", 2, "STATE_CHANGED"],
      ...[3, 4, 5, 6, 7].map((version) => ["EVENT", version, "METRICS_RECORDED"]),
      ["EVENT", 8, "STATE_CHANGED"],
    ]);
  });

  test("a poisoning reaches the subscriber", async () => {
    const { jobId } = await submitted(elsewhere());
    await using changes = subscribe(protocol, { query: ONE, variables: { jobId } });
    await changes.until((seen) => seen.length === 1);
    await poisonJob(elsewhere(), WORKSPACE, jobId, {
      violationType: "PROMPT_INJECTION",
      aceCode: "ACE-014",
      guardName: "a person",
      trigger: "line 1",
      description: "It gives orders.",
      sourceId: null,
    });
    const seen = await changes.until((all) => all.length === 2);
    expect(seen[1]).toMatchObject({
      state: "POISONED",
      previousState: "QUEUED",
      event: { type: "SECURITY_VIOLATION" },
    });
  });

  test("after a cursor there is no snapshot, and what follows it comes once", async () => {
    const { jobId } = await submitted(elsewhere());
    const claim = await take(jobId);
    const cursor = await (async () => {
      await using first = subscribe(protocol, { query: ONE, variables: { jobId } });
      const [snapshot] = await first.until((seen) => seen.length === 1);
      return snapshot?.cursor;
    })();
    for (let beat = 0; beat < 3; beat++) await report(claim);
    await using resumed = subscribe(protocol, { query: ONE, variables: { jobId, after: cursor } });
    await resumed.until((seen) => seen.length === 3);
    await report(claim);
    const seen = await resumed.until((all) => all.length === 4);
    expect(seen.map(({ kind, version }) => [kind, version])).toEqual([3, 4, 5, 6].map((version) => ["EVENT", version]));
  });

  test("a list's subscriber gets snapshots of what matches, and is told once when a job leaves the filter", async () => {
    const protocolId = randomUUID();
    const { jobId } = await submitted(elsewhere(), { protocolId });
    await submitted(elsewhere(), { protocolId: "another" });
    const filter = { protocolId, states: ["QUEUED", "RUNNING"] };
    await using changes = subscribe(protocol, { query: MANY, variables: { filter } });
    await changes.until((seen) => seen.length === 1);
    const claim = await take(jobId);
    await complete(claim);
    const later = await submitted(elsewhere(), { protocolId });
    const seen = await changes.until((all) => all.some(({ job }) => job.jobId === later.jobId));
    expect(seen.map(({ kind, state, matchesFilter }) => [kind, state, matchesFilter])).toEqual([
      ["SNAPSHOT", "QUEUED", true],
      ["EVENT", "RUNNING", true],
      ["EVENT", "COMPLETED", false],
      ["EVENT", "QUEUED", true],
    ]);
  });

  test("another workspace's jobs are never heard of", async () => {
    const workspaceId = randomUUID();
    await using theirs = subscribe(protocol, { query: MANY, workspaceId });
    await using ours = subscribe(protocol, { query: MANY, variables: { filter: { states: ["CANCELLED"] } } });
    const mine = await submitted(elsewhere());
    await cancelAiJob(elsewhere(), WORKSPACE, SOMEBODY, { jobId: mine.jobId, reason: "test" });
    await ours.until((seen) => seen.some(({ job }) => job.jobId === mine.jobId));
    const own = ok(await submitAiJob(elsewhere(), workspaceId, SOMEBODY, aSubmit())).job;
    const seen = await theirs.until((all) => all.length > 0);
    expect(seen.map(({ job }) => job.jobId)).toEqual([own.jobId]);
  });

  test("a job that does not exist, or is another workspace's, is NOT_FOUND", async () => {
    await using unknown = subscribe(protocol, { query: ONE, variables: { jobId: randomUUID() } });
    await expect(unknown.until((seen) => seen.length > 0)).rejects.toThrow(/NOT_FOUND|no job/);
    const { jobId } = await submitted(elsewhere());
    await using foreign = subscribe(protocol, { query: ONE, variables: { jobId }, workspaceId: randomUUID() });
    await expect(foreign.until((seen) => seen.length > 0)).rejects.toThrow(/NOT_FOUND|no job/);
  });

  test("a cursor that is malformed or of another log is refused", async () => {
    const { jobId } = await submitted(elsewhere());
    await using malformed = subscribe(protocol, { query: ONE, variables: { jobId, after: "no cursor" } });
    await expect(malformed.until((seen) => seen.length > 0)).rejects.toThrow(/INVALID_INPUT|not a cursor/);
    const foreign = Buffer.from(`1 ${randomUUID()} 1 ${jobId} 1 ${"0".repeat(16)}`).toString("base64url");
    await using expired = subscribe(protocol, { query: ONE, variables: { jobId, after: foreign } });
    await expect(expired.until((seen) => seen.length > 0)).rejects.toThrow(/CURSOR_EXPIRED|does not go on/);
  });
});

test("in a burst of writers every subscriber's record equals the log", async () => {
  const protocolId = randomUUID();
  const operation = { query: MANY, variables: { filter: { protocolId } } };
  await using first = subscribe("graphql-sse", operation);
  await using second = subscribe("graphql-ws", operation);
  const anchor = await submitted(elsewhere(), { protocolId });
  await Promise.all([first, second].map((each) => each.until((seen) => seen.length > 0)));

  const writer = async () => {
    for (let round = 0; round < 5; round++) {
      const { jobId } = await submitted(elsewhere(), { protocolId });
      const claim = await take(jobId);
      await report(claim);
      await complete(claim);
    }
  };
  await Promise.all(Array.from({ length: 6 }, writer));

  const log = await db.prisma.flightRecorderEvent.findMany({
    where: { job: { protocolId }, jobId: { not: anchor.jobId } },
    orderBy: [{ orderXid: "asc" }, { jobId: "asc" }, { version: "asc" }],
  });
  const expected = log.map(({ jobId, version }) => `${jobId} ${version}`);
  expect(expected).toHaveLength(6 * 5 * 4);
  for (const each of [first, second]) {
    const others = (seen: typeof first.seen) => seen.filter(({ job }) => job.jobId !== anchor.jobId);
    const seen = await each.until((all) => others(all).length >= expected.length);
    expect(others(seen).map(({ job, version }) => `${job.jobId} ${version}`)).toEqual(expected);
  }
});

test("when the last subscriber has gone, the log is not read any more", async () => {
  const { jobId } = await submitted(elsewhere());
  {
    await using changes = subscribe("graphql-sse", { query: ONE, variables: { jobId } });
    await changes.until((seen) => seen.length === 1);
  }
  const isRead = (sql: string) => sql.includes("FROM flight_recorder_events");
  const deadline = AbortSignal.timeout(10_000);
  // The reader looks every 100 ms while somebody listens: three quiet looks in a row, and it has stopped.
  for (let quiet = 0; quiet < 3; ) {
    deadline.throwIfAborted();
    db.statements();
    await new Promise((resolve) => setTimeout(resolve, 150));
    quiet = db.statements().some(isRead) ? 0 : quiet + 1;
  }
  expect(db.statements().filter(isRead)).toEqual([]);
});

test("a server that closes ends its streams", async () => {
  const other = await startTestServer(db);
  const { jobId } = await submitted(elsewhere());
  const pick = (data: Record<string, unknown>) => payload.parse(data).change;
  await using changes = watch("graphql-sse", other.url, { query: ONE, variables: { jobId } }, pick);
  await changes.until((seen) => seen.length === 1);
  await other.close();
  await expect(changes.until((seen) => seen.length > 1)).rejects.toThrow("Connection closed");
});
