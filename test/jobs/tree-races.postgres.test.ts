import { randomUUID } from "node:crypto";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { startWorkflow } from "../../src/claims/start.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../src/engine.ts";
import { AppError } from "../../src/errors.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { MAX_DESCENDANTS } from "../../src/jobs/tree.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { anotherClient, connectTo, interruptibleClient } from "../support/interrupt.ts";
import { FOUND } from "../support/jobs.ts";
import { childOf, insertChildren, insertJob, outcomeOf } from "../support/plain-sql.ts";
import { expectSound, recordsOf, recordsOfAll, violationsIn } from "../support/records.ts";

/** Trees that grow, end and are poisoned at the same time, by several servers. */

let db: TestDatabase;
let url: string;
let other: PrismaClient;
let admin: pg.Client;
/** Two servers, as the database sees them: connections of their own. */
let engines: readonly [EngineContext, EngineContext];
beforeAll(async () => {
  db = await openTestDatabase();
  url = db.url;
  other = anotherClient(url, 6);
  admin = await connectTo(url);
  engines = [engineOn(db), engineOn({ ...db, prisma: other })];
});
afterAll(async () => {
  await admin.end();
  await other.$disconnect();
  await db.close();
});

const submitUnder = (engine: EngineContext, parentJobId: string) =>
  submitAiJob(engine, WORKSPACE, SOMEBODY, aSubmit({ parentJobId }));
const jobsBelow = (rootJobId: string) => other.aiJob.findMany({ where: { rootJobId } });
const cancel = (engine: EngineContext, jobId: string) =>
  cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId, reason: "enough", includeChildren: true });

/** A few turns of the event loop, another number in each round: who starts first does not settle who is first. */
async function rotation(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function told(result: unknown): string {
  return result instanceof AppError ? result.code : "done";
}

/** Returns when a transaction waits for a lock that another one has. */
async function somebodyWaits(): Promise<void> {
  await vi.waitFor(
    async () => {
      const { rows } = await admin.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
      );
      expect(rows.length).toBeGreaterThan(0);
    },
    { timeout: 10_000, interval: 20 },
  );
}

interface Held<T> {
  readonly answer: Promise<T>;
  release(): void;
  end(): Promise<void>;
}

/** Does `work` on a server whose transaction stops before the first statement that matches, until it is released. */
async function heldBefore<T>(statement: RegExp, work: (engine: EngineContext) => Promise<T>): Promise<Held<T>> {
  let release: () => void = () => undefined;
  let reached: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const there = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const prisma = interruptibleClient(url, async (sql) => {
    if (!statement.test(sql)) return;
    reached();
    await released;
  });
  const answer = work(engineOn({ ...db, prisma }));
  await Promise.race([there, answer]);
  return { answer, release, end: () => prisma.$disconnect() };
}

describe("a submit that has its place while its tree is taken", () => {
  const takers = [
    {
      name: "poisoned",
      take: async (root: string) => (await poisonJob(engines[0], WORKSPACE, root, FOUND)).action,
      becomes: "POISONED",
      answers: "POISONED",
      tells: { source_job_id: expect.any(String) },
    },
    {
      name: "cancelled with its children",
      take: async (root: string) => ok(await cancel(engines[0], root)).state,
      becomes: "CANCELLED",
      answers: "CANCELLED",
      tells: { cancelled_with: expect.any(String) },
    },
  ] as const;

  test.each(takers)("is found, at every depth, before the tree is $name", async ({ take, becomes, answers, tells }) => {
    for (const depth of [0, 1, 3]) {
      const root = (await started(engines[0])).job.jobId;
      let parent = root;
      for (let level = 0; level < depth; level++) parent = (await submitted(engines[0], { parentJobId: parent })).jobId;
      const submit = await heldBefore(/INSERT INTO ai_jobs/, (engine) => submitUnder(engine, parent));
      const taking = take(root);
      await somebodyWaits();
      submit.release();
      const { job } = ok(await submit.answer);
      expect(await taking).toBe(answers);
      await submit.end();
      const records = await recordsOf(other, job.jobId);
      expectSound(records);
      expect(records.job).toMatchObject({ state: becomes, parentJobId: parent });
      expect(records.events.at(-1)?.payload).toMatchObject(tells);
      expect((await jobsBelow(root)).map(({ state }) => state)).toEqual(Array(depth + 1).fill(becomes));
    }
  });

  test.each(takers)("that comes later than it is $name is refused", async ({ becomes }) => {
    const root = (await submitted(engines[0])).jobId;
    const parentJobId = (await submitted(engines[0], { parentJobId: root })).jobId;
    const taking = await heldBefore<unknown>(/^COMMIT$/, (engine) =>
      becomes === "POISONED" ? poisonJob(engine, WORKSPACE, root, FOUND) : cancel(engine, root),
    );
    const submit = submitUnder(engines[1], parentJobId);
    await somebodyWaits();
    taking.release();
    await taking.answer;
    await taking.end();
    expect(told(await submit)).toBe(becomes === "POISONED" ? "JOB_POISONED" : "ILLEGAL_TRANSITION");
    expect(await jobsBelow(root)).toHaveLength(1);
  });
});

test("a job that is submitted under one that the poisoning has not seen yet is found as well", async () => {
  const root = (await submitted(engines[0])).jobId;
  const child = (await submitted(engines[0], { parentJobId: root })).jobId;
  // The poisoning waits for the child, which a submit holds: what that one stores is not among what was known before.
  const first = await heldBefore(/^COMMIT$/, (engine) => submitUnder(engine, child));
  const poisoning = heldBefore(/job_id <> /, (engine) => poisonJob(engine, WORKSPACE, root, FOUND));
  await somebodyWaits();
  first.release();
  const { jobId: unseen } = ok(await first.answer).job;
  // And before it looks again, the next one has its place below that.
  const { answer, release, end } = await poisoning;
  const second = await heldBefore(/INSERT INTO ai_jobs/, (engine) => submitUnder(engine, unseen));
  release();
  await somebodyWaits();
  second.release();
  const { jobId: last } = ok(await second.answer).job;
  expect(await answer).toMatchObject({ action: "POISONED" });
  const states = new Map((await jobsBelow(root)).map(({ jobId, state }) => [jobId, state]));
  expect(states).toEqual(new Map([child, unseen, last].map((jobId) => [jobId, "POISONED"])));
  await Promise.all([first.end(), second.end(), end()]);
});

test("children and grandchildren race the poisoning of their root: afterwards none of them is left out", async () => {
  const outcomes = { stored: 0, refused: 0 };
  for (let round = 0; round < 60; round++) {
    const root = (await started(engines[0])).job.jobId;
    const child = (await submitted(engines[0], { parentJobId: root })).jobId;
    const [mine, theirs] = round % 2 === 0 ? engines : [engines[1], engines[0]];
    const submits = Array.from({ length: 4 }, async (_, index) => {
      await rotation((round + index * 3) % 12);
      return submitUnder(index % 2 === 0 ? mine : theirs, index < 2 ? root : child);
    });
    const poisoning = rotation((round * 5) % 12).then(() => poisonJob(mine, WORKSPACE, root, FOUND));
    const answers = await Promise.all(submits);
    expect(await poisoning).toMatchObject({ action: "POISONED" });
    for (const answer of answers) {
      expect(["done", "JOB_POISONED"]).toContain(told(answer));
      outcomes[told(answer) === "done" ? "stored" : "refused"] += 1;
    }
    const below = await recordsOfAll(
      other,
      (await jobsBelow(root)).map(({ jobId }) => jobId),
    );
    expect(below.size).toBe(1 + answers.filter((answer) => told(answer) === "done").length);
    for (const records of below.values()) {
      expectSound(records);
      expect(records.job.state).toBe("POISONED");
      expect(violationsIn(records)).toMatchObject([{ payload: { source_job_id: root } }]);
    }
  }
  expect(outcomes.stored).toBeGreaterThan(0);
  expect(outcomes.refused).toBeGreaterThan(0);
});

test("two poisonings of overlapping trees, from different jobs at once, never block each other for good", async () => {
  for (let round = 0; round < 30; round++) {
    // Ids in no order, so that a tree's order is not that of its ids.
    const root = (await submitted(engines[0])).jobId;
    await other.$transaction((tx) => insertChildren(tx, root, 12));
    const [middle] = await jobsBelow(root);
    if (!middle) throw new Error("There are no children.");
    await other.$transaction((tx) => insertChildren(tx, middle.jobId, 12));
    db.statements();
    const [whole, part, again] = await Promise.all([
      rotation(round % 5).then(() => poisonJob(engines[0], WORKSPACE, root, FOUND)),
      rotation((round * 3) % 5).then(() => poisonJob(engines[1], WORKSPACE, middle.jobId, FOUND)),
      rotation((round * 7) % 5).then(() => poisonJob(engines[1], WORKSPACE, root, FOUND)),
    ]);
    expect([whole.action, again.action].toSorted()).toEqual(["ALREADY_POISONED", "POISONED"]);
    expect(["ALREADY_POISONED", "POISONED"]).toContain(part.action);
    // A deadlock would have been tried again: a ROLLBACK.
    expect(db.statements().filter((sql) => sql.startsWith("ROLLBACK"))).toEqual([]);
    const below = await jobsBelow(root);
    expect(below).toHaveLength(24);
    const records = await recordsOfAll(other, [root, ...below.map(({ jobId }) => jobId)]);
    for (const [jobId, one] of records) {
      expect(one.job).toMatchObject({ state: "POISONED", version: 2 });
      const [violation] = violationsIn(one);
      const sources = jobId === root ? [undefined] : [root, middle.jobId, undefined];
      expect(sources).toContain(sourceOf(violation?.payload));
    }
  }
});

function sourceOf(payload: unknown): unknown {
  return typeof payload === "object" && payload !== null && "source_job_id" in payload
    ? payload.source_job_id
    : undefined;
}

test("a completion of a child and the poisoning of its parent: the child is one or the other, and its worker knows", async () => {
  const outcomes = { COMPLETED: 0, POISONED: 0 };
  for (let round = 0; round < 60; round++) {
    const root = (await started(engines[0])).job.jobId;
    const { job, run, leaseToken } = await started(engines[0], { parentJobId: root });
    const nothing = { writtenEntities: [], issues: [] };
    const metrics = { durationMs: 0, inputTokens: 0, outputTokens: 0, tokensPlanner: 0, tokensExecutor: 0 };
    const report = { ...nothing, metrics: { ...metrics, entitiesRead: 0, entitiesWritten: 0, validatorsRunCount: 0 } };
    const completion = { ...report, workflowRunId: run.id, leaseToken, jobOutputs: { summary: "text" } };
    const [[result], poisoning] = await Promise.all([
      rotation(round % 7).then(() => completeWorkflows(engines[1], [completion])),
      rotation((round * 3) % 7).then(() => poisonJob(engines[0], WORKSPACE, root, FOUND)),
    ]);
    expect(poisoning.action).toBe("POISONED");
    const after = await recordsOf(other, job.jobId);
    expectSound(after);
    const state = told(result) === "done" ? "COMPLETED" : "POISONED";
    outcomes[state] += 1;
    expect(told(result)).toBe(state === "COMPLETED" ? "done" : "JOB_POISONED");
    expect(after.job).toMatchObject({ state, jobOutputs: state === "COMPLETED" ? { summary: "text" } : null });
    expect(after.runs).toMatchObject([{ state, leaseExpiresAt: null }]);
  }
  expect(outcomes.COMPLETED).toBeGreaterThan(0);
  expect(outcomes.POISONED).toBeGreaterThan(0);
});

test("a start of a child and the poisoning of its parent: a run that was made is poisoned, or none was made", async () => {
  for (let round = 0; round < 40; round++) {
    const root = (await submitted(engines[0])).jobId;
    const { jobId } = await submitted(engines[0], { parentJobId: root });
    const [result, poisoning] = await Promise.all([
      rotation(round % 7).then(() => startWorkflow(engines[1], WORKSPACE, { jobId, workerId: "w", leaseSeconds: 30 })),
      rotation((round * 3) % 7).then(() => poisonJob(engines[0], WORKSPACE, root, FOUND)),
    ]);
    expect(poisoning.action).toBe("POISONED");
    const after = await recordsOf(other, jobId);
    expectSound(after);
    expect(after.job.state).toBe("POISONED");
    expect(after.runs.map(({ state }) => state)).toEqual(told(result) === "done" ? ["POISONED"] : []);
    expect(["done", "JOB_POISONED"]).toContain(told(result));
  }
});

test("a cancellation with children and a poisoning of the same tree: one of them has the root, none is left out", async () => {
  for (let round = 0; round < 40; round++) {
    const root = (await submitted(engines[0])).jobId;
    await other.$transaction((tx) => insertChildren(tx, root, 8));
    const [cancelled, poisoning] = await Promise.all([
      rotation(round % 7).then(() => cancel(engines[1], root)),
      rotation((round * 3) % 7).then(() => poisonJob(engines[0], WORKSPACE, root, FOUND)),
    ]);
    const first = told(cancelled) === "done" ? "CANCELLED" : "POISONED";
    expect(poisoning.action).toBe(first === "POISONED" ? "POISONED" : "RECORDED");
    expect(["done", "JOB_POISONED"]).toContain(told(cancelled));
    expect((await jobsBelow(root)).map(({ state }) => state)).toEqual(Array(8).fill(first));
  }
});

test("of 40 submits at once, by two servers, a root gets as many as there is room for, and no more", async () => {
  for (const room of [1, 7]) {
    const root = (await submitted(engines[0])).jobId;
    const child = (await submitted(engines[0], { parentJobId: root })).jobId;
    await other.$transaction((tx) => insertChildren(tx, child, MAX_DESCENDANTS - 1 - room));
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        submitUnder(engines[index % 2] ?? engines[0], index % 4 < 2 ? root : child),
      ),
    );
    expect(answers.filter((answer) => told(answer) === "done")).toHaveLength(room);
    expect(answers.filter((answer) => told(answer) === "INVALID_INPUT")).toHaveLength(40 - room);
    expect(await jobsBelow(root)).toHaveLength(MAX_DESCENDANTS);
  }
});

test("by plain SQL a root gets no more, either: whoever waited for another's child counts it", async () => {
  const root = (await submitted(engines[0])).jobId;
  const child = (await submitted(engines[0], { parentJobId: root })).jobId;
  await other.$transaction((tx) => insertChildren(tx, root, MAX_DESCENDANTS - 4));
  const insert = (parent: string, index: number) =>
    outcomeOf(index % 2 === 0 ? db.prisma : other, (tx) => insertJob(tx, randomUUID(), { job: childOf(parent) }));
  const outcomes = await Promise.all(
    Array.from({ length: 12 }, (_, index) => insert(index % 3 === 0 ? root : child, index)),
  );
  expect(outcomes.filter((outcome) => outcome === "committed")).toHaveLength(3);
  expect(outcomes.filter((outcome) => outcome === "AJ003")).toHaveLength(9);
  expect(await jobsBelow(root)).toHaveLength(MAX_DESCENDANTS);
});

test("a child inserted by plain SQL is waited for as well: the poisoning of its parent finds it", async () => {
  const root = (await submitted(engines[0])).jobId;
  let commit: () => void = () => undefined;
  let inserted: () => void = () => undefined;
  const committed = new Promise<void>((resolve) => {
    commit = resolve;
  });
  const there = new Promise<void>((resolve) => {
    inserted = resolve;
  });
  const jobId = randomUUID();
  const inserting = outcomeOf(other, async (tx) => {
    await insertJob(tx, jobId, { job: childOf(root) });
    inserted();
    await committed;
  });
  await there;
  const poisoning = poisonJob(engines[0], WORKSPACE, root, FOUND);
  await somebodyWaits();
  commit();
  expect(await inserting).toBe("committed");
  expect(await poisoning).toMatchObject({ action: "POISONED" });
  expect((await jobsBelow(root)).map(({ state }) => state)).toEqual(["POISONED"]);
});

test("a submit that takes long keeps no other tree waiting", async () => {
  const [root, another] = [await submitted(engines[0]), await submitted(engines[0])];
  const submit = await heldBefore(/^COMMIT$/, (engine) => submitUnder(engine, root.jobId));
  expect(told(await submitUnder(engines[1], another.jobId))).toBe("done");
  submit.release();
  expect(told(await submit.answer)).toBe("done");
  await submit.end();
});
