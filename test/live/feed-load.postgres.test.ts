import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { Prisma } from "../../src/db/generated/client/client.ts";
import { inTransaction } from "../../src/db/transaction.ts";
import { lockJobs } from "../../src/jobs/lock.ts";
import { writeVersion } from "../../src/jobs/store.ts";
import { Feed } from "../../src/live/feed.ts";
import { SYSTEM_ACTOR } from "../../src/log/event.ts";
import { openTestDatabase, serverSide } from "../support/database.ts";
import { EVERYWHERE } from "../support/engine.ts";
import { insertJob } from "../support/plain-sql.ts";

/** Many writers at once, each of which holds its transaction open for a while. */

const JOBS = 5;
const WRITERS = 6;
const WRITES = 20;

test("a subscriber gets every event once, and each job's versions in order, whoever commits when", async () => {
  const db = await openTestDatabase();
  const { prisma } = db;
  const feed = new Feed({ database: serverSide(db), pollMs: 20, onError: () => undefined });
  const jobIds = Array.from({ length: JOBS }, () => randomUUID());
  const workspaceId = randomUUID();
  await prisma.workspace.create({ data: { workspaceId } });
  const subscriber = await feed.subscribe({ workspaceId });
  await prisma.$transaction(async (tx) => {
    for (const id of jobIds) await insertJob(tx, id, { job: { workspace_id: `'${workspaceId}'` } });
  });

  /** The place of each new version in the log, in the order in which they were committed. */
  const committed: bigint[] = [];
  const writing = Array.from({ length: WRITERS }, async (_, writer) => {
    for (let write = 0; write < WRITES; write++) {
      const jobId = jobIds[(writer + write * 3) % JOBS] ?? "";
      const place = await inTransaction({ prisma, notifyCommit: () => feed.notify() }, EVERYWHERE, async (tx) => {
        // The transaction has its id, and others with later ids go first.
        await tx.$executeRaw`SELECT pg_current_xact_id(), pg_sleep(random() * 0.02)`;
        const job = (await lockJobs(tx, Prisma.sql`job_id = ${jobId}::uuid`)).get(jobId);
        if (!job) throw new Error("There is no such job.");
        const event = { type: "STATE_CHANGED", by: SYSTEM_ACTOR, payload: { reason: "touched" } } as const;
        return (await writeVersion(tx, { job, set: {}, event })).event.orderXid;
      });
      committed.push(place);
    }
  });

  const total = JOBS + WRITERS * WRITES;
  const seen: string[] = [];
  for await (const { event } of subscriber) {
    seen.push(`${event.jobId} ${event.version}`);
    if (seen.length === total) break;
  }
  await Promise.all(writing);

  // Otherwise this would prove nothing: some did commit after others that stand behind them in the log.
  expect(committed.some((place, index) => place < (committed[index - 1] ?? 0n))).toBe(true);
  expect(new Set(seen).size).toBe(total);
  const events = await prisma.flightRecorderEvent.findMany({ where: { workspaceId }, orderBy: { version: "asc" } });
  expect(events).toHaveLength(total);
  for (const jobId of jobIds) {
    const ofJob = events.filter((event) => event.jobId === jobId).map(({ version }) => `${jobId} ${version}`);
    expect(seen.filter((one) => one.startsWith(jobId))).toEqual(ofJob);
  }
  await feed.close();
  await db.close();
});
