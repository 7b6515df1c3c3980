import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import {
  AppError,
  CapabilityDeniedError,
  IdempotencyConflictError,
  IllegalTransitionError,
  InvalidInputError,
  JobPoisonedError,
  NotFoundError,
} from "../../src/errors.ts";
import type { SubmitAiJob } from "../../src/jobs/draft.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { MAX_DESCENDANTS } from "../../src/jobs/tree.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { bringTo, FOUND } from "../support/jobs.ts";
import { insertChildren } from "../support/plain-sql.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { childIn } from "../support/trees.ts";

/** Submits with a parent (section 4). */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const submit = (more: Partial<SubmitAiJob>, workspaceId = WORKSPACE) =>
  submitAiJob(engine, workspaceId, SOMEBODY, aSubmit(more));
const childrenOf = (parentJobId: string) => db.prisma.aiJob.count({ where: { parentJobId } });

describe("a child", () => {
  test("has its parent's trace, and the job at the top of the tree for its root, at every depth", async () => {
    const root = (await started(engine)).job;
    const child = await submitted(engine, { parentJobId: root.jobId });
    const grandchild = await submitted(engine, { parentJobId: child.jobId });
    const stored = await recordsOf(db.prisma, grandchild.jobId);
    expectSound(stored);
    expect(stored.job).toMatchObject({
      state: "QUEUED",
      version: 1,
      parentJobId: child.jobId,
      rootJobId: root.jobId,
      traceId: root.traceId,
    });
    expect(stored.events).toMatchObject([{ traceId: root.traceId, payload: { parent_job_id: child.jobId } }]);
    expect(child).toMatchObject({ parentJobId: root.jobId, rootJobId: root.jobId, traceId: root.traceId });
    expect(root).toMatchObject({ parentJobId: null, rootJobId: null });
    // What the caller is given is what is stored.
    expect(grandchild).toMatchObject({ rootJobId: root.jobId, chainHash: stored.job.chainHash });
  });

  test("changes nothing of its parent", async () => {
    const { jobId } = (await started(engine)).job;
    const before = await recordsOf(db.prisma, jobId);
    await submitted(engine, { parentJobId: jobId });
    expect(await recordsOf(db.prisma, jobId)).toEqual(before);
  });

  test.each(["QUEUED", "RUNNING", "STALLED", "AWAITING_VALIDATION", "AWAITING_USER"] as const)(
    "of a parent that is %s is stored",
    async (state) => {
      const parentJobId = await childIn(engine, (await submitted(engine)).jobId, state);
      expect(await submitted(engine, { parentJobId })).toMatchObject({ state: "QUEUED", parentJobId });
    },
  );

  test.each(["COMPLETED", "COMPLETED_WITH_ISSUES", "FAILED", "CANCELLED"] as const)(
    "of a parent that is %s is refused, and told that it is the parent that ended",
    async (state) => {
      const parentJobId = await childIn(engine, (await submitted(engine)).jobId, state);
      const answer = await submit({ parentJobId });
      expect(answer).toBeInstanceOf(IllegalTransitionError);
      expect(answer).toMatchObject({
        from: state,
        to: "QUEUED",
        directive: null,
        message: expect.stringContaining(`parent is ${state}`),
      });
      expect(await childrenOf(parentJobId)).toBe(0);
    },
  );

  test("of a parent that is poisoned is refused with JOB_POISONED, and told which job that is", async () => {
    const parentJobId = (await submitted(engine, { jobInputs: { text: "x" } })).jobId;
    await poisonJob(engine, WORKSPACE, parentJobId, FOUND);
    const answer = await submit({ parentJobId });
    expect(answer).toBeInstanceOf(JobPoisonedError);
    expect(answer).toMatchObject({
      message: expect.stringContaining("parent is poisoned"),
      job: { jobId: parentJobId, state: "POISONED", jobInputs: { text: "x" } },
    });
    expect(await childrenOf(parentJobId)).toBe(0);
  });

  test("of a parent that the workspace does not have finds none, and makes no workspace", async () => {
    expect(await submit({ parentJobId: randomUUID() })).toBeInstanceOf(NotFoundError);
    const parentJobId = (await submitted(engine)).jobId;
    const workspaceId = randomUUID();
    expect(await submit({ parentJobId }, workspaceId)).toBeInstanceOf(NotFoundError);
    expect(await childrenOf(parentJobId)).toBe(0);
    expect(await db.prisma.workspace.count({ where: { workspaceId } })).toBe(0);
  });

  test("that is denied keeps its place: it is stored as failed, under its parent", async () => {
    const parent = await submitted(engine);
    const answer = await submit({ parentJobId: parent.jobId, capabilityProfileId: "terminal" });
    expect(answer).toBeInstanceOf(CapabilityDeniedError);
    const job = await db.prisma.aiJob.findFirstOrThrow({ where: { parentJobId: parent.jobId } });
    expect(job).toMatchObject({ state: "FAILED", version: 2, rootJobId: parent.jobId, traceId: parent.traceId });
    const records = await recordsOf(db.prisma, job.jobId);
    expectSound(records);
    expect(records.events).toMatchObject([{ type: "JOB_SUBMITTED" }, { type: "CAPABILITY_ACTION" }]);
  });

  test("that would be denied is refused where its parent has ended: nothing is stored", async () => {
    const parentJobId = await childIn(engine, (await submitted(engine)).jobId, "FAILED");
    const answer = await submit({ parentJobId, capabilityProfileId: "terminal" });
    expect(answer).toBeInstanceOf(IllegalTransitionError);
    expect(await childrenOf(parentJobId)).toBe(0);
  });
});

test("a submit without a parent is one statement that writes, and no transaction", async () => {
  await submit({});
  db.statements();
  await submit({});
  expect(db.statements()).toEqual([
    expect.stringContaining("FROM capability_profiles"),
    expect.stringContaining("INSERT INTO ai_jobs"),
  ]);
});

describe("an idempotency key", () => {
  const ends: readonly (readonly [string, (jobId: string) => Promise<unknown>])[] = [
    ["cancelled", (jobId) => bringTo(engine, jobId, "CANCELLED")],
    ["poisoned", (jobId) => poisonJob(engine, WORKSPACE, jobId, FOUND)],
  ];
  test.each(ends)("gives the same child back, even if its parent is %s by now", async (name, end) => {
    const parentJobId = (await submitted(engine)).jobId;
    const input = { parentJobId, idempotencyKey: `child of ${name}` };
    const { jobId } = ok(await submit(input)).job;
    expect(ok(await submit(input))).toMatchObject({ deduplicated: true, job: { jobId } });
    await end(parentJobId);
    expect(ok(await submit(input))).toMatchObject({ deduplicated: true, job: { jobId } });
    expect(await submit({ ...input, priority: 5 })).toBeInstanceOf(IdempotencyConflictError);
    expect(await childrenOf(parentJobId)).toBe(1);
  });

  test("with another parent, or with none, is a conflict", async () => {
    const [one, two] = [await submitted(engine), await submitted(engine)];
    const key = { idempotencyKey: "parents" };
    ok(await submit({ ...key, parentJobId: one.jobId }));
    expect(await submit({ ...key, parentJobId: two.jobId })).toBeInstanceOf(IdempotencyConflictError);
    expect(await submit({ ...key, parentJobId: randomUUID() })).toBeInstanceOf(IdempotencyConflictError);
    expect(await submit(key)).toBeInstanceOf(IdempotencyConflictError);
    expect(await childrenOf(two.jobId)).toBe(0);
  });

  test("sent 20 times at once makes one child", async () => {
    const parentJobId = (await submitted(engine)).jobId;
    const input = { parentJobId, idempotencyKey: "children at once" };
    const results = await Promise.all(Array.from({ length: 20 }, () => submit(input)));
    const all = results.map((result) => ok(result));
    expect(new Set(all.map(({ job }) => job.jobId)).size).toBe(1);
    expect(all.filter(({ deduplicated }) => !deduplicated)).toHaveLength(1);
    expect(await childrenOf(parentJobId)).toBe(1);
  });
});

describe("a root", () => {
  const isTooMany = (answer: unknown) => answer instanceof InvalidInputError;

  test("has 1,000 descendants at most, however many submits come at once, under whatever parent", async () => {
    const root = await submitted(engine);
    const child = await submitted(engine, { parentJobId: root.jobId });
    await db.prisma.$transaction((tx) => insertChildren(tx, root.jobId, MAX_DESCENDANTS - 11));
    const parents = Array.from({ length: 30 }, (_, index) => (index % 2 === 0 ? root.jobId : child.jobId));
    const answers = await Promise.all(parents.map((parentJobId) => submit({ parentJobId })));
    const refused = answers.filter((answer) => answer instanceof AppError);
    expect(refused.filter(isTooMany)).toHaveLength(20);
    expect(refused).toHaveLength(20);
    expect(refused[0]).toMatchObject({ inputPath: ["input", "parentJobId"], message: expect.stringContaining("1000") });
    expect(await db.prisma.aiJob.count({ where: { rootJobId: root.jobId } })).toBe(MAX_DESCENDANTS);
  });

  test("that has all its descendants still gives back those that a key has made", async () => {
    const { jobId: parentJobId } = await submitted(engine);
    const input = { parentJobId, idempotencyKey: "the last one" };
    await db.prisma.$transaction((tx) => insertChildren(tx, parentJobId, MAX_DESCENDANTS - 1));
    const answers = await Promise.all(Array.from({ length: 5 }, () => submit(input)));
    const made = answers.map((answer) => ok(answer));
    expect(made.filter(({ deduplicated }) => !deduplicated)).toHaveLength(1);
    expect(new Set(made.map(({ job }) => job.jobId)).size).toBe(1);
    expect(isTooMany(await submit({ parentJobId }))).toBe(true);
  });

  test("counts those that were denied, and those that have ended", async () => {
    const { jobId: parentJobId } = await submitted(engine);
    await db.prisma.$transaction((tx) => insertChildren(tx, parentJobId, MAX_DESCENDANTS - 2));
    await childIn(engine, parentJobId, "COMPLETED");
    expect(await submit({ parentJobId, capabilityProfileId: "terminal" })).toBeInstanceOf(CapabilityDeniedError);
    expect(isTooMany(await submit({ parentJobId }))).toBe(true);
    expect(isTooMany(await submit({ parentJobId, capabilityProfileId: "terminal" }))).toBe(true);
  });
});
