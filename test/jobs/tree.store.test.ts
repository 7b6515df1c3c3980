import { afterAll, beforeAll, expect, test } from "vitest";
import { Prisma } from "../../src/db/generated/client/client.ts";
import { inTransaction } from "../../src/db/transaction.ts";
import type { EngineContext } from "../../src/engine.ts";
import { lockJobSummaries, lockJobs } from "../../src/jobs/lock.ts";
import { writeVersion } from "../../src/jobs/store.ts";
import { lockTree } from "../../src/jobs/tree.ts";
import { SYSTEM_ACTOR } from "../../src/log/event.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { EVERYWHERE, engineOn, started, submitted } from "../support/engine.ts";
import { awaitAnswer, claim } from "../support/jobs.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { childIn } from "../support/trees.ts";

/** Trees are locked without the documents of their descendants: a thousand of those may not fit into memory. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const DOCUMENT = { text: "a document, which may be megabytes" };
const DOCUMENTS = ["jobInputs", "jobOutputs", "entityRefs", "plannedOperations"];

test("a tree's own job comes with its documents, its descendants without any", async () => {
  const root = await submitted(engine, { jobInputs: DOCUMENT });
  const child = await submitted(engine, { jobInputs: DOCUMENT, parentJobId: root.jobId });
  const grandchild = await submitted(engine, { jobInputs: DOCUMENT, parentJobId: child.jobId });
  const tree = await inTransaction(engine, EVERYWHERE, (tx) => lockTree(tx, root.jobId, "POISONED"));
  expect(tree?.job).toMatchObject({ jobId: root.jobId, jobInputs: DOCUMENT, jobOutputs: null, entityRefs: [] });
  expect(tree?.descendants.map(({ jobId }) => jobId)).toEqual([child.jobId, grandchild.jobId]);
  for (const job of tree?.descendants ?? []) {
    expect(Object.keys(job).filter((field) => DOCUMENTS.includes(field))).toEqual([]);
    expect(job).toMatchObject({ state: "QUEUED", capabilities: ["doc.read", "doc.summarize"] });
  }
});

test("what is locked beside a job is in the order of ids, and may become what is asked", async () => {
  const root = (await submitted(engine)).jobId;
  const [queued, failed] = [await childIn(engine, root, "QUEUED"), await childIn(engine, root, "FAILED")];
  await childIn(engine, root, "COMPLETED");
  const running = await childIn(engine, queued, "RUNNING");
  const below = async (to: "CANCELLED" | "POISONED") => {
    const tree = await inTransaction(engine, EVERYWHERE, (tx) => lockTree(tx, root, to));
    return tree?.descendants.map(({ jobId }) => jobId);
  };
  expect(await below("POISONED")).toEqual([queued, failed, running].toSorted());
  expect(await below("CANCELLED")).toEqual([queued, running].toSorted());
});

test("a change of a job that was locked without its documents keeps them", async () => {
  const submit = { jobInputs: DOCUMENT, entityRefs: [{ entityKind: "document", entityId: "d-1" }] };
  const { jobId } = await awaitAnswer(engine, await started(engine, submit), "AWAITING_USER");
  const before = await recordsOf(db.prisma, jobId);
  expect(before.job.jobOutputs).not.toBeNull();
  await inTransaction(engine, EVERYWHERE, async (tx) => {
    const [job] = await lockJobSummaries(tx, Prisma.sql`job_id = ${jobId}::uuid`);
    if (!job) throw new Error("There is no such job.");
    const event = { type: "STATE_CHANGED" as const, by: SYSTEM_ACTOR, payload: { reason: "looked at" } };
    const { job: after } = await writeVersion(tx, { job, set: { statusReason: "looked at" }, event });
    await writeVersion(tx, { job: after, set: { issues: ["one"] }, event });
  });
  const after = await recordsOf(db.prisma, jobId);
  expectSound(after);
  const { jobOutputs, jobInputs, entityRefs } = before.job;
  const version = before.job.version + 2;
  expect(after.job).toMatchObject({ jobOutputs, jobInputs, entityRefs, issues: ["one"], version });
});

test("a change that names no outputs of a job that was locked with them keeps them, one that clears them clears them", async () => {
  const { jobId } = await submitted(engine);
  await awaitAnswer(engine, await claim(engine, jobId), "AWAITING_USER");
  const change = (set: { readonly jobOutputs?: null; readonly statusReason: string }) =>
    inTransaction(engine, EVERYWHERE, async (tx) => {
      const job = (await lockJobs(tx, Prisma.sql`job_id = ${jobId}::uuid`)).get(jobId);
      if (!job) throw new Error("There is no such job.");
      const event = { type: "STATE_CHANGED" as const, by: SYSTEM_ACTOR, payload: { reason: set.statusReason } };
      return (await writeVersion(tx, { job, set, event })).job.jobOutputs;
    });
  expect(await change({ statusReason: "kept" })).toEqual({ summary: "draft" });
  expect((await recordsOf(db.prisma, jobId)).job.jobOutputs).toEqual({ summary: "draft" });
  expect(await change({ statusReason: "cleared", jobOutputs: null })).toBeNull();
  expect((await recordsOf(db.prisma, jobId)).job.jobOutputs).toBeNull();
});
