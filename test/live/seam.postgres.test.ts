import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { Prisma } from "../../src/db/generated/client/client.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { lockJobs } from "../../src/jobs/lock.ts";
import { writeVersion } from "../../src/jobs/store.ts";
import { SYSTEM_ACTOR } from "../../src/log/event.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { PROTOCOLS, type Protocol, watch } from "../support/live.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Snapshots tell what the feed, which waits for older transactions, has not come to: nobody is told that again. */

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
let protocolId: string;
beforeEach(() => {
  protocolId = crypto.randomUUID();
});

const QUERY = `subscription ($filter: AiJobFilter, $after: Cursor) {
  change: aiJobsChanged(filter: $filter, after: $after) { kind cursor version job { jobId } } }`;
const payload = z.object({
  change: z.object({ kind: z.string(), cursor: z.string(), version: z.int(), job: z.object({ jobId: z.string() }) }),
});

function subscribe(protocol: Protocol, after?: string) {
  const variables = { filter: { protocolId }, ...(after === undefined ? {} : { after }) };
  return watch(protocol, server.url, { query: QUERY, variables }, (data) => payload.parse(data).change);
}

type Changes = readonly z.infer<typeof payload>["change"][];

function told(seen: Changes): readonly (readonly [string, string, number])[] {
  return seen.map(({ kind, version, job }) => [kind, job.jobId, version]);
}

/** A transaction that has an id, so that the feed waits for it, and does its work when it is to commit. */
async function openTransaction(work: (tx: Prisma.TransactionClient) => Promise<void> = async () => undefined) {
  let end: () => void = () => undefined;
  const ending = new Promise<void>((resolve) => {
    end = resolve;
  });
  let begun: () => void = () => undefined;
  const isOpen = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const done = db.prisma.$transaction(
    async (tx) => {
      await tx.$queryRaw`SELECT pg_current_xact_id()::text`;
      begun();
      await ending;
      await work(tx);
    },
    { timeout: 60_000 },
  );
  await isOpen;
  return {
    commit: () => {
      end();
      return done;
    },
  };
}

/** One more version of a job. */
async function touch(tx: Prisma.TransactionClient, jobId: string): Promise<void> {
  const job = (await lockJobs(tx, Prisma.sql`job_id = ${jobId}::uuid`)).get(jobId);
  if (!job) throw new Error("There is no such job.");
  await writeVersion(tx, {
    job,
    set: {},
    event: { type: "STATE_CHANGED", by: SYSTEM_ACTOR, payload: { reason: "touched" } },
  });
}

function cancel(jobId: string) {
  return cancelAiJob(engineOn(db), WORKSPACE, SOMEBODY, { jobId, reason: "test" });
}

test.each(PROTOCOLS)(
  "who goes on from a snapshot, or from an event after it, is told nothing twice: %s",
  async (protocol) => {
    const engine = engineOn(db);
    const { jobId: early } = await submitted(engine, { protocolId });
    const first = await openTransaction((tx) => touch(tx, early));
    const second = await openTransaction();
    const { jobId: late } = (await started(engine, { protocolId })).job;

    const cursors: string[] = [];
    const go = async (after: string | undefined, count: number) => {
      await using changes = subscribe(protocol, after);
      const seen = await changes.until((all) => all.length >= count);
      cursors.push(seen.at(-1)?.cursor ?? "");
      return told(seen);
    };
    expect(await go(undefined, 2)).toEqual([
      ["SNAPSHOT", late, 2],
      ["SNAPSHOT", early, 1],
    ]);
    await first.commit();
    expect(await go(cursors[0], 1)).toEqual([["EVENT", early, 2]]);
    await second.commit();
    await cancel(late);
    // From the snapshot, and from the event that came before what the snapshot had told.
    expect(await go(cursors[0], 2)).toEqual([
      ["EVENT", early, 2],
      ["EVENT", late, 3],
    ]);
    expect(await go(cursors[1], 1)).toEqual([["EVENT", late, 3]]);
  },
);

test("who got only the first of the snapshots is told of the others by their events", async () => {
  const engine = engineOn(db);
  const open = await openTransaction();
  const { jobId: one } = await submitted(engine, { protocolId });
  const { jobId: two } = await submitted(engine, { protocolId });
  const [snapshot] = await (async () => {
    await using changes = subscribe("graphql-ws");
    return [...(await changes.until((seen) => seen.length === 2))];
  })();
  expect(snapshot?.job.jobId).toBe(two);
  await open.commit();
  await cancel(two);
  await using rest = subscribe("graphql-ws", snapshot?.cursor);
  expect(told(await rest.until((seen) => seen.length >= 2))).toEqual([
    ["EVENT", one, 1],
    ["EVENT", two, 2],
  ]);
});

test("a job's own subscription that goes on from the list's is told nothing twice, either", async () => {
  const open = await openTransaction();
  const { jobId } = (await started(engineOn(db), { protocolId })).job;
  const [snapshot] = await (async () => {
    await using changes = subscribe("graphql-ws");
    return [...(await changes.until((seen) => seen.length === 1))];
  })();
  await open.commit();
  await cancel(jobId);
  const query = `subscription ($jobId: UUID!, $after: Cursor) {
    change: aiJobChanged(jobId: $jobId, after: $after) { kind cursor version job { jobId } } }`;
  const variables = { jobId, after: snapshot?.cursor };
  await using changes = watch("graphql-ws", server.url, { query, variables }, (data) => payload.parse(data).change);
  expect(told(await changes.until((seen) => seen.length >= 1))).toEqual([["EVENT", jobId, 3]]);
});

test.each(PROTOCOLS)(
  "who comes while jobs are being submitted is told each version once, over %s",
  async (protocol) => {
    let isWriting = true;
    const engine = engineOn(db, { notifyCommit: () => server.feed.notify() });
    const write = async () => {
      for (let count = 0; isWriting && count < 90; count++) await submitted(engine, { protocolId });
    };
    const writers = write();
    const subscribers = [];
    for (let count = 0; count < 60; count++) {
      subscribers.push(subscribe(protocol));
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 15));
    }
    isWriting = false;
    await writers;
    const last = await submitted(engine, { protocolId });
    for (const subscriber of subscribers) {
      const seen = told(await subscriber.until((changes) => changes.some(({ job }) => job.jobId === last.jobId)));
      const versions = seen.map(([, jobId, version]) => `${jobId} ${version}`);
      expect(versions.length).toBe(new Set(versions).size);
      await subscriber[Symbol.asyncDispose]();
    }
  },
);
