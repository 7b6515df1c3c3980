import { uuidv7 } from "uuidv7";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PrismaClient } from "../../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../../src/engine.ts";
import { IllegalTransitionError, JobPoisonedError } from "../../../src/errors.ts";
import { cancelAiJobs } from "../../../src/jobs/bulk/action.ts";
import { processItems } from "../../../src/jobs/bulk/batch.ts";
import { finishAction, pendingItems } from "../../../src/jobs/bulk/items.ts";
import { resumeBulkActions } from "../../../src/jobs/bulk/shares.ts";
import { cancelAiJob } from "../../../src/jobs/cancel.ts";
import { retryAiJob } from "../../../src/jobs/retry.ts";
import { poisonJob } from "../../../src/security/poison.ts";
import { addQueuedJobs, leftBehind, queuedJobs, settledItems, tally } from "../../support/bulk.ts";
import { openTestDatabase, type TestDatabase } from "../../support/database.ts";
import { engineOn, ok, SOMEBODY, submitted, WORKSPACE } from "../../support/engine.ts";
import { raising, withFault } from "../../support/faults.ts";
import { bringTo, claim, FOUND } from "../../support/jobs.ts";
import { expectSound, recordsOf, recordsOfAll } from "../../support/records.ts";

/** Bulk actions that a server has left half way, and others go on with. */

let db: TestDatabase;
let prisma: PrismaClient;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
  engine = engineOn(db);
});
afterAll(() => db.close());

const actionOf = (id: string) => prisma.bulkAction.findUniqueOrThrow({ where: { id } });

/** Each of these jobs was cancelled once, by the person who asked. */
async function expectCancelledOnce(jobIds: readonly string[]): Promise<void> {
  for (const records of (await recordsOfAll(prisma, jobIds)).values()) {
    expectSound(records);
    expect(records.job).toMatchObject({ state: "CANCELLED", version: 2 });
    expect(records.events.at(-1)).toMatchObject({ ...SOMEBODY, payload: { reason: "cancelled", detail: "enough" } });
  }
}

test("an action of which nothing was done is done, in the name of the person who asked for it", async () => {
  const filter = { protocolId: "none-done" };
  const jobIds = await queuedJobs(engine, 5, filter);
  const id = await leftBehind(prisma, { filter });
  expect(await tally(prisma, { id })).toEqual({ pending: 5 });
  expect(await resumeBulkActions(engine, 0)).toBe(1);
  expect((await settledItems(prisma, { id })).map(({ jobId }) => jobId)).toEqual(jobIds);
  expect(await tally(prisma, { id })).toEqual({ changed: 5 });
  expect((await actionOf(id)).finishedAt).toEqual(expect.any(Date));
  await expectCancelledOnce(jobIds);
});

test("an action of which a part was done is gone on with where it was left", async () => {
  const filter = { protocolId: "part-done" };
  const jobIds = await queuedJobs(engine, 12, filter);
  const id = await leftBehind(prisma, { filter });
  await processItems(engine, await actionOf(id), (await pendingItems(prisma, id, 12)).slice(3, 8));
  expect(await tally(prisma, { id })).toEqual({ changed: 5, pending: 7 });
  const done = await prisma.bulkActionItem.findMany({ where: { bulkActionId: id, NOT: { finishedAt: null } } });
  expect(await resumeBulkActions(engine, 0)).toBe(1);
  expect(await prisma.bulkActionItem.findMany({ where: { bulkActionId: id } })).toEqual(expect.arrayContaining(done));
  expect(await tally(prisma, { id })).toEqual({ changed: 12 });
  await expectCancelledOnce(jobIds);
});

test("an action of which everything was done is only finished", async () => {
  const filter = { protocolId: "all-done" };
  const jobIds = await queuedJobs(engine, 2, filter);
  const id = await leftBehind(prisma, { filter });
  await processItems(engine, await actionOf(id), await pendingItems(prisma, id, 100));
  expect((await actionOf(id)).finishedAt).toBeNull();
  expect(await resumeBulkActions(engine, 0)).toBe(1);
  expect((await actionOf(id)).finishedAt).toEqual(expect.any(Date));
  expect(await resumeBulkActions(engine, 0)).toBe(0);
  await expectCancelledOnce(jobIds);
});

describe("an action that is larger than a request waits for", () => {
  const of = (protocolId: string) => ({ filter: { protocolId }, reason: "enough", limit: 100_000 });
  const cancelledOnce = (protocolId: string) =>
    prisma.aiJob.count({ where: { protocolId, state: "CANCELLED", version: 2 } });

  test("is answered after 1,000 jobs, and the rest is done by whoever looks next", async () => {
    await addQueuedJobs(prisma, 2150, "large");
    const action = ok(await cancelAiJobs(engine, WORKSPACE, SOMEBODY, of("large")));
    expect(action).toMatchObject({ total: 2150, succeeded: 1000, failed: 0, finishedAt: null });
    expect(await cancelledOnce("large")).toBe(1000);
    expect(await resumeBulkActions(engine, 0)).toBe(1);
    const done = { total: 2150, succeeded: 2150, failed: 0, finishedAt: expect.any(Date) };
    expect(await actionOf(action.id)).toMatchObject(done);
    expect(await cancelledOnce("large")).toBe(2150);
  });

  test("keeps no small one waiting: each has its turn", async () => {
    await addQueuedJobs(prisma, 3000, "first-and-large");
    const large = await leftBehind(prisma, of("first-and-large"));
    await queuedJobs(engine, 2, { protocolId: "second-and-small" });
    const small = await leftBehind(prisma, of("second-and-small"));
    const stopping = new AbortController();
    let batches = 0;
    const whoStops = { ...engine, notifyCommit: () => void (++batches === 11 && stopping.abort()) };
    await resumeBulkActions(whoStops, 0, stopping.signal);
    // Ten batches of the large one, and then the small one.
    expect(await actionOf(small)).toMatchObject({ succeeded: 2 });
    expect(await actionOf(large)).toMatchObject({ succeeded: 1000, finishedAt: null });
    expect(await resumeBulkActions(engine, 0)).toBe(2);
    expect(await actionOf(large)).toMatchObject({ succeeded: 3000, finishedAt: expect.any(Date) });
  });

  test("is done by several at once, each job once, and counted right", async () => {
    await addQueuedJobs(prisma, 1100, "large-at-once");
    const id = await leftBehind(prisma, of("large-at-once"));
    await Promise.all(Array.from({ length: 3 }, () => resumeBulkActions(engine, 0)));
    expect(await actionOf(id)).toMatchObject({ total: 1100, succeeded: 1100, failed: 0, finishedAt: expect.any(Date) });
    expect(await cancelledOnce("large-at-once")).toBe(1100);
  });
});

test("an action without items is finished", async () => {
  const id = await leftBehind(prisma, { filter: { protocolId: "nobody's" } });
  expect(await resumeBulkActions(engine, 0)).toBe(1);
  expect((await actionOf(id)).finishedAt).toEqual(expect.any(Date));
});

test("an item that was done stays done, whoever comes late to it", async () => {
  const filter = { protocolId: "late" };
  const jobIds = await queuedJobs(engine, 3, filter);
  const id = await leftBehind(prisma, { filter });
  const [action, items] = [await actionOf(id), await pendingItems(prisma, id, 100)];
  await processItems(engine, action, items);
  const before = await prisma.bulkActionItem.findMany({ where: { bulkActionId: id } });
  await processItems(engine, action, items);
  await finishAction(prisma, id);
  const { finishedAt } = await actionOf(id);
  await finishAction(prisma, id);
  expect((await actionOf(id)).finishedAt).toEqual(finishedAt);
  expect(await prisma.bulkActionItem.findMany({ where: { bulkActionId: id } })).toEqual(before);
  await expectCancelledOnce(jobIds);
});

describe("jobs that changed before it was their turn", () => {
  test("are cancelled from where they are now, or left with the error", async () => {
    const filter = { protocolId: "changed-cancel" };
    const [taken = "", cancelled = "", completed = "", poisoned = "", queued = ""] = await queuedJobs(
      engine,
      5,
      filter,
    );
    const id = await leftBehind(prisma, { filter });
    await claim(engine, taken);
    ok(await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId: cancelled, reason: "mine" }));
    await claim(engine, completed);
    await bringTo(engine, completed, "COMPLETED", { jobOutputs: { a: 1 } });
    await poisonJob(engine, WORKSPACE, poisoned, FOUND);
    const late = await submitted(engine, filter);
    const left = [cancelled, completed, poisoned];
    const before = await Promise.all(left.map((jobId) => recordsOf(prisma, jobId)));

    await resumeBulkActions(engine, 0);
    const { job } = await recordsOf(prisma, poisoned);
    expect(await settledItems(prisma, { id })).toEqual([
      { jobId: taken, outcome: "changed" },
      { jobId: cancelled, outcome: new IllegalTransitionError("CANCELLED", "CANCELLED") },
      { jobId: completed, outcome: new IllegalTransitionError("COMPLETED", "CANCELLED") },
      { jobId: poisoned, outcome: new JobPoisonedError(job) },
      { jobId: queued, outcome: "changed" },
    ]);
    expect(await Promise.all(left.map((jobId) => recordsOf(prisma, jobId)))).toEqual(before);
    expect(await recordsOf(prisma, taken)).toMatchObject({
      job: { state: "CANCELLED" },
      runs: [{ state: "CANCELLED" }],
    });
    // It came after the action was asked for.
    expect((await recordsOf(prisma, late.jobId)).job.state).toBe("QUEUED");
  });

  test("are tried again, or left with the error", async () => {
    const filter = { protocolId: "changed-retry", states: ["FAILED"] } as const;
    const [retried = "", poisoned = "", failed = ""] = await queuedJobs(engine, 3, filter);
    for (const jobId of [retried, poisoned, failed]) await bringTo(engine, jobId, "FAILED");
    const id = await leftBehind(prisma, { kind: "RETRY", reason: null, filter });
    ok(await retryAiJob(engine, WORKSPACE, SOMEBODY, retried));
    await poisonJob(engine, WORKSPACE, poisoned, FOUND);
    await resumeBulkActions(engine, 0);
    const { job } = await recordsOf(prisma, poisoned);
    expect(await settledItems(prisma, { id })).toEqual([
      { jobId: retried, outcome: new IllegalTransitionError("QUEUED", "QUEUED") },
      { jobId: poisoned, outcome: new JobPoisonedError(job) },
      { jobId: failed, outcome: "changed" },
    ]);
  });
});

describe("a sweep", () => {
  test("leaves an action alone of which something was heard not long ago", async () => {
    const filter = { protocolId: "busy" };
    await queuedJobs(engine, 2, filter);
    const id = await leftBehind(prisma, { filter });
    expect(await resumeBulkActions(engine, 3600)).toBe(0);
    expect(await tally(prisma, { id })).toEqual({ pending: 2 });
    await prisma.$executeRaw`ALTER TABLE bulk_actions DISABLE TRIGGER USER`;
    await prisma.$executeRaw`
      UPDATE bulk_actions SET created_at = created_at - interval '2 hours' WHERE id = ${id}::uuid`;
    await prisma.$executeRaw`ALTER TABLE bulk_actions ENABLE TRIGGER USER`;
    await processItems(engine, await actionOf(id), (await pendingItems(prisma, id, 1)) ?? []);
    expect(await resumeBulkActions(engine, 3600)).toBe(0);
    expect(await tally(prisma, { id })).toEqual({ changed: 1, pending: 1 });
    expect(await resumeBulkActions(engine, 0)).toBe(1);
    expect(await tally(prisma, { id })).toEqual({ changed: 2 });
  });

  test("goes on with the others where one action cannot be finished, and says so", async () => {
    const filter = { protocolId: "stuck" };
    await queuedJobs(engine, 2, filter);
    const [stuck, other] = [await leftBehind(prisma, { filter }), await leftBehind(prisma, { filter })];
    const point = { at: "when items are written", on: "bulk_action_items", when: "BEFORE ROW" } as const;
    const body = `IF NEW.bulk_action_id = '${stuck}' THEN ${await raising(db, "P0001")}; END IF`;
    const sweep = withFault(db, point, body, () => resumeBulkActions(engine, 0));
    await expect(sweep).rejects.toMatchObject({ message: "Bulk actions still unfinished: 1." });
    expect(await tally(prisma, { id: other })).toEqual({ changed: 2 });
    expect(await tally(prisma, { id: stuck })).toEqual({ pending: 2 });
    expect(await resumeBulkActions(engine, 0)).toBe(1);
    expect(await tally(prisma, { id: stuck })).toEqual({ ILLEGAL_TRANSITION: 2 });
  });

  test("that is stopped does no further batch, and leaves the rest to the next one", async () => {
    const filter = { protocolId: "stopped" };
    const jobIds = await queuedJobs(engine, 120, filter);
    const id = await leftBehind(prisma, { filter });
    const stopping = new AbortController();
    // The first commit of the sweep is that of its first batch.
    const whoStops = { ...engine, notifyCommit: () => stopping.abort() };
    expect(await resumeBulkActions(whoStops, 0, stopping.signal)).toBe(0);
    expect(await tally(prisma, { id })).toEqual({ changed: 100, pending: 20 });
    expect(await resumeBulkActions(engine, 0)).toBe(1);
    await expectCancelledOnce(jobIds);
  });

  test("of several at once does each item once", async () => {
    const filter = { protocolId: "at-once" };
    const jobIds = await queuedJobs(engine, 120, filter);
    const id = await leftBehind(prisma, { id: uuidv7(), filter });
    await Promise.all(Array.from({ length: 4 }, () => resumeBulkActions(engine, 0)));
    expect(await tally(prisma, { id })).toEqual({ changed: 120 });
    await expectCancelledOnce(jobIds);
  });
});
