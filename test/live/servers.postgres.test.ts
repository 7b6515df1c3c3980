import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Database } from "../../src/db/database.ts";
import { openDatabase } from "../../src/db/open.ts";
import { within } from "../../src/db/scope.ts";
import { lockJob } from "../../src/jobs/lock.ts";
import { writeVersion } from "../../src/jobs/store.ts";
import { SYSTEM_ACTOR } from "../../src/log/event.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { WORKSPACE } from "../support/engine.ts";
import { PROTOCOLS, watch } from "../support/live.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Two servers on one database, each with connections of its own: what one of them changes, the other one's subscribers hear. */

let db: TestDatabase;
let here: TestServer;
let otherStorage: Database;
let there: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  otherStorage = await openDatabase(db.location);
  here = await startTestServer(db);
  there = await startTestServer(otherStorage);
});
afterAll(async () => {
  await here.close();
  await there.close();
  await otherStorage.close();
  await db.close();
});

const SUBMIT = graphql(`
  mutation ServersSubmit($protocolId: String!) {
    submitAiJob(input: { jobKind: DOC_EDIT, protocolId: $protocolId }) {
      ... on SubmitAiJobPayload {
        job {
          jobId
        }
      }
    }
  }
`);
const START = graphql(`
  mutation ServersStart($jobId: UUID!) {
    startWorkflow(input: { jobId: $jobId, workerId: "w" }) {
      ... on StartWorkflowPayload {
        claim {
          leaseToken
          workflowRun {
            workflowRunId
          }
        }
      }
    }
  }
`);
const BEAT = graphql(`
  mutation ServersBeat($workflowRunId: UUID!, $leaseToken: String!, $metrics: MetricsDelta!) {
    heartbeatWorkflows(
      input: { heartbeats: [{ workflowRunId: $workflowRunId, leaseToken: $leaseToken, metrics: $metrics }] }
    ) {
      ... on HeartbeatWorkflowsPayload {
        results {
          directive
        }
      }
    }
  }
`);
const COMPLETE = graphql(`
  mutation ServersComplete($workflowRunId: UUID!, $leaseToken: String!) {
    completeWorkflows(input: { completions: [{ workflowRunId: $workflowRunId, leaseToken: $leaseToken }] }) {
      ... on CompleteWorkflowsPayload {
        results {
          __typename
        }
      }
    }
  }
`);

const FIELDS = "kind cursor version job { jobId }";
const ONE = `subscription ($jobId: UUID!, $after: Cursor) { change: aiJobChanged(jobId: $jobId, after: $after) { ${FIELDS} } }`;
const MANY = `subscription ($protocolId: String!) {
  change: aiJobsChanged(filter: { protocolId: $protocolId }) { ${FIELDS} }
}`;
const payload = z.object({
  change: z.object({
    kind: z.enum(["SNAPSHOT", "EVENT"]),
    cursor: z.string(),
    version: z.int(),
    job: z.object({ jobId: z.string() }),
  }),
});
const pick = (data: Record<string, unknown>) => payload.parse(data).change;

async function submit(server: TestServer, protocolId: string): Promise<string> {
  const { submitAiJob } = await server.run(SUBMIT, { protocolId });
  return "job" in submitAiJob ? submitAiJob.job.jobId : "";
}

async function start(server: TestServer, jobId: string) {
  const { startWorkflow } = await server.run(START, { jobId });
  if (!("claim" in startWorkflow)) throw new Error("The job was not started.");
  const { leaseToken, workflowRun } = startWorkflow.claim;
  return { leaseToken, workflowRunId: workflowRun.workflowRunId };
}

const METRICS = { inputTokens: 1 };

describe.each(PROTOCOLS)("over %s", (protocol) => {
  test("a subscriber hears once, in order, what another server's workers do", async () => {
    const jobId = await submit(there, "heard");
    await using changes = watch(protocol, here.url, { query: ONE, variables: { jobId } }, pick);
    await changes.until((seen) => seen.length === 1);
    const claim = await start(there, jobId);
    for (let beat = 0; beat < 3; beat++) await there.run(BEAT, { ...claim, metrics: METRICS });
    await there.run(COMPLETE, claim);
    const seen = await changes.until((all) => all.length >= 6);
    expect(seen.map(({ kind, version }) => `${kind} ${version}`)).toEqual([
      "SNAPSHOT 1",
      ...[2, 3, 4, 5, 6].map((version) => `EVENT ${version}`),
    ]);
  });

  test("a subscriber whose server is gone goes on at another one, and misses nothing", async () => {
    const jobId = await submit(here, "gone");
    const claim = await start(here, jobId);
    const going = await startTestServer(otherStorage);
    await using before = watch(protocol, going.url, { query: ONE, variables: { jobId } }, pick);
    await before.until((seen) => seen.length === 1);
    await here.run(BEAT, { ...claim, metrics: METRICS });
    const seen = await before.until((all) => all.length === 2);
    await going.close();
    for (let beat = 0; beat < 3; beat++) await here.run(BEAT, { ...claim, metrics: METRICS });
    const after = seen.at(-1)?.cursor;
    await using resumed = watch(protocol, there.url, { query: ONE, variables: { jobId, after } }, pick);
    await resumed.until((all) => all.length >= 3);
    await here.run(COMPLETE, claim);
    const rest = await resumed.until((all) => all.length >= 4);
    expect(rest.map(({ kind, version }) => `${kind} ${version}`)).toEqual(
      [4, 5, 6, 7].map((version) => `EVENT ${version}`),
    );
  });
});

test("a change is heard when it has committed, and not before; one that was rolled back is never heard", async () => {
  const jobId = await submit(there, "held");
  await using changes = watch("graphql-sse", here.url, { query: ONE, variables: { jobId } }, pick);
  await changes.until((seen) => seen.length === 1);

  await expect(change(jobId, "rolled back", () => Promise.reject(new Error("rolled back")))).rejects.toThrow("rolled");
  await change(jobId, "committed late", async () => {
    db.statements();
    await untilLogIsRead(3);
    expect(changes.seen).toHaveLength(1);
  });
  const seen = await changes.until((all) => all.length >= 2);
  expect(seen.map(({ version }) => version)).toEqual([1, 2]);
  const event = await db.prisma.flightRecorderEvent.findFirst({ where: { jobId, version: 2 } });
  expect(event?.payload).toEqual({ reason: "committed late" });
});

/** A new version of a job, its transaction being held open until `hold` has ended. */
function change(jobId: string, reason: string, hold: () => Promise<void>): Promise<void> {
  return within([WORKSPACE], () =>
    otherStorage.prisma.$transaction(async (tx) => {
      const job = await lockJob(tx, WORKSPACE, jobId);
      if (!job) throw new Error("There is no such job.");
      const event = { type: "STATE_CHANGED" as const, by: SYSTEM_ACTOR, payload: { reason } };
      await writeVersion(tx, { job, set: { statusReason: reason }, event });
      await hold();
    }),
  );
}

/** Waits until this server's feed has looked into the log so many times more. */
async function untilLogIsRead(times: number): Promise<void> {
  const deadline = AbortSignal.timeout(10_000);
  for (let reads = 0; reads < times; ) {
    deadline.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 10));
    reads += db.statements().filter((sql) => sql.includes("FROM flight_recorder_events")).length;
  }
}

test("200 changes by writers at both servers: the record of every subscriber of both is the log", async () => {
  const protocolId = randomUUID();
  const operation = { query: MANY, variables: { protocolId } };
  await using first = watch("graphql-sse", here.url, operation, pick);
  await using second = watch("graphql-ws", here.url, operation, pick);
  await using third = watch("graphql-sse", there.url, operation, pick);
  const anchor = await submit(here, protocolId);
  for (const each of [first, second, third]) await each.until((seen) => seen.length > 0);

  const writer = async (server: TestServer, other: TestServer) => {
    for (let round = 0; round < 5; round++) {
      const claim = await start(other, await submit(server, protocolId));
      for (let beat = 0; beat < 5; beat++) await server.run(BEAT, { ...claim, metrics: METRICS });
      await other.run(COMPLETE, claim);
    }
  };
  await Promise.all([
    writer(here, there),
    writer(there, here),
    writer(here, here),
    writer(there, there),
    writer(here, there),
  ]);

  const log = await db.prisma.flightRecorderEvent.findMany({
    where: { job: { protocolId }, jobId: { not: anchor } },
    orderBy: [{ orderXid: "asc" }, { jobId: "asc" }, { version: "asc" }],
  });
  const expected = log.map(({ jobId, version }) => `${jobId} ${version}`);
  expect(expected).toHaveLength(5 * 5 * 8);
  for (const each of [first, second, third]) {
    const others = (seen: typeof first.seen) => seen.filter(({ job }) => job.jobId !== anchor);
    const seen = await each.until((all) => others(all).length >= expected.length);
    expect(others(seen).map(({ kind, job, version }) => `${kind} ${job.jobId} ${version}`)).toEqual(
      expected.map((change) => `EVENT ${change}`),
    );
  }
});
