import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PrismaClient } from "../../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../../src/engine.ts";
import {
  BudgetExceededError,
  IllegalTransitionError,
  InvalidInputError,
  JobPoisonedError,
  TryAgainError,
} from "../../../src/errors.ts";
import { cancelAiJobs, retryAiJobs } from "../../../src/jobs/bulk/action.ts";
import { cancelAiJob } from "../../../src/jobs/cancel.ts";
import type { JobFilter } from "../../../src/jobs/filter.ts";
import { listJobs } from "../../../src/jobs/list.ts";
import { checkRetryable, retryAiJob } from "../../../src/jobs/retry.ts";
import { submitAiJob } from "../../../src/jobs/submit.ts";
import { poisonJob } from "../../../src/security/poison.ts";
import { queuedJobs, settledItems, tally } from "../../support/bulk.ts";
import { openTestDatabase, type TestDatabase } from "../../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../../support/engine.ts";
import { raising, withFault } from "../../support/faults.ts";
import { aBusyJob, awaitAnswer, bringTo, FOUND, stall } from "../../support/jobs.ts";
import { expectSound, recordsOf } from "../../support/records.ts";

/** Bulk actions: which jobs they are about, what they do to each, and what is kept of it. */

let db: TestDatabase;
let prisma: PrismaClient;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = (jobId: string) => recordsOf(prisma, jobId);

async function cancelAll(filter: JobFilter, more: { limit?: number; reason?: string } = {}, workspaceId = WORKSPACE) {
  return ok(await cancelAiJobs(engine, workspaceId, SOMEBODY, { filter, reason: "enough", limit: 100, ...more }));
}

async function retryAll(filter: JobFilter, limit = 100) {
  return ok(await retryAiJobs(engine, WORKSPACE, SOMEBODY, { filter, limit }));
}

/** One job of this protocol in each state, oldest first in the order of this table. */
async function oneInEachState(protocolId: string) {
  const more = { protocolId };
  const end = async (state: "COMPLETED" | "COMPLETED_WITH_ISSUES" | "FAILED" | "CANCELLED") =>
    (await bringTo(engine, (await started(engine, more)).job.jobId, state)).jobId;
  const poisoned = async () => {
    const { jobId } = await submitted(engine, more);
    await poisonJob(engine, WORKSPACE, jobId, FOUND);
    return jobId;
  };
  return {
    QUEUED: (await submitted(engine, more)).jobId,
    RUNNING: (await aBusyJob(engine, more)).job.jobId,
    COMPLETED: await end("COMPLETED"),
    STALLED: (await stall(engine, await started(engine, more))).jobId,
    POISONED: await poisoned(),
    AWAITING_VALIDATION: (await awaitAnswer(engine, await started(engine, more), "AWAITING_VALIDATION")).jobId,
    COMPLETED_WITH_ISSUES: await end("COMPLETED_WITH_ISSUES"),
    AWAITING_USER: (await awaitAnswer(engine, await started(engine, more), "AWAITING_USER")).jobId,
    FAILED: await end("FAILED"),
    CANCELLED: await end("CANCELLED"),
  };
}

const ALL = [
  "QUEUED",
  "RUNNING",
  "STALLED",
  "AWAITING_VALIDATION",
  "AWAITING_USER",
  "COMPLETED",
  "COMPLETED_WITH_ISSUES",
  "FAILED",
  "CANCELLED",
  "POISONED",
] as const;

/** As an action keeps it: a command is its principal's. */
const BY_SOMEBODY = { actor: SOMEBODY.actor, actorId: SOMEBODY.actorId };

describe("each job of a bulk action", () => {
  test("is cancelled as cancelAiJob would, and the action is kept with what was asked for", async () => {
    const jobs = await oneInEachState("cancel-each");
    const alone = await submitted(engine);
    ok(await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId: alone.jobId, reason: "no: Bearer 0123456789abcdef" }));
    const expected = (await records(alone.jobId)).events.at(-1);
    const filter = { protocolId: "cancel-each", createdAfter: new Date(0), kinds: ["DOC_SUMMARIZE"] } as const;
    const action = await cancelAll(filter, { reason: "no: Bearer 0123456789abcdef" });

    expect(action).toMatchObject({
      workspaceId: WORKSPACE,
      kind: "CANCEL",
      reason: "no: [redacted]",
      filter: { protocol_id: "cancel-each", created_after: "1970-01-01T00:00:00.000Z", kinds: ["doc_summarize"] },
      ...BY_SOMEBODY,
      finishedAt: expect.any(Date),
    });
    const cancelled = [jobs.QUEUED, jobs.RUNNING, jobs.STALLED, jobs.AWAITING_VALIDATION, jobs.AWAITING_USER];
    expect(await settledItems(prisma, action)).toEqual(cancelled.map((jobId) => ({ jobId, outcome: "changed" })));
    for (const jobId of cancelled) {
      const after = await records(jobId);
      expectSound(after);
      expect(after.job).toMatchObject({ state: "CANCELLED", statusReason: "cancelled", jobOutputs: null });
      const { type, actor, actorId, payload } = expected ?? {};
      expect(after.events.at(-1)).toMatchObject({ type, actor, actorId, payload, state: "CANCELLED" });
      for (const { finishedAt } of [...after.runs, ...after.nodes]) expect(finishedAt).not.toBeNull();
    }
  });

  test("is tried again as retryAiJob would", async () => {
    const jobs = await oneInEachState("retry-each");
    const action = await retryAll({ protocolId: "retry-each" });
    expect(action).toMatchObject({ kind: "RETRY", reason: null, ...BY_SOMEBODY, finishedAt: expect.any(Date) });
    const retried = [jobs.STALLED, jobs.FAILED];
    expect(await settledItems(prisma, action)).toEqual(retried.map((jobId) => ({ jobId, outcome: "changed" })));
    for (const jobId of retried) {
      const after = await records(jobId);
      expectSound(after);
      expect(after.job).toMatchObject({ state: "QUEUED", statusReason: "retried", errorMessage: null, runAfter: null });
      expect(after.events.at(-1)).toMatchObject({
        type: "STATE_CHANGED",
        payload: { reason: "retried" },
        ...BY_SOMEBODY,
      });
    }
  });

  test("that cannot be cancelled, in a state that was asked for, is left as it is, with the error", async () => {
    const jobs = await oneInEachState("cancel-refused");
    const stays = ["COMPLETED", "COMPLETED_WITH_ISSUES", "FAILED", "CANCELLED"] as const;
    const before = await Promise.all([...stays, "POISONED" as const].map((state) => records(jobs[state])));
    const action = await cancelAll({ protocolId: "cancel-refused", states: ALL });
    const outcomes = new Map((await settledItems(prisma, action)).map(({ jobId, outcome }) => [jobId, outcome]));
    expect(outcomes.size).toBe(10);
    for (const state of stays) {
      expect(outcomes.get(jobs[state])).toEqual(new IllegalTransitionError(state, "CANCELLED"));
      expect(outcomes.get(jobs[state])).toMatchObject({ from: state, to: "CANCELLED", directive: null });
    }
    const { job } = await records(jobs.POISONED);
    expect(outcomes.get(jobs.POISONED)).toEqual(new JobPoisonedError(job));
    expect(await Promise.all([...stays, "POISONED" as const].map((state) => records(jobs[state])))).toEqual(before);
    expect(await tally(prisma, action)).toEqual({ changed: 5, ILLEGAL_TRANSITION: 4, JOB_POISONED: 1 });
  });

  test("that cannot be tried again, in a state that was asked for, is left as it is, with the error", async () => {
    const jobs = await oneInEachState("retry-refused");
    const { jobId: spent } = await submitted(engine, { protocolId: "retry-refused", tokenBudget: 100 });
    await bringTo(engine, spent, "FAILED", { inputTokens: 101n, totalTokens: 101n });
    const alone = checkRetryable((await records(spent)).job);
    const action = await retryAll({ protocolId: "retry-refused", states: ALL });
    const outcomes = new Map((await settledItems(prisma, action)).map(({ jobId, outcome }) => [jobId, outcome]));
    expect(outcomes.get(spent)).toBeInstanceOf(BudgetExceededError);
    expect(outcomes.get(spent)).toEqual(alone);
    expect(outcomes.get(jobs.RUNNING)).toEqual(new IllegalTransitionError("RUNNING", "QUEUED"));
    expect(await tally(prisma, action)).toEqual({
      changed: 2,
      ILLEGAL_TRANSITION: 7,
      JOB_POISONED: 1,
      BUDGET_EXCEEDED: 1,
    });
  });
});

describe("a filter", () => {
  const nothing: readonly (readonly [string, JobFilter])[] = [
    ["is empty", {}],
    ["has nothing but nulls", { states: null, kinds: null, protocolId: null, parentJobId: null, createdAfter: null }],
    ["has an empty list of states", { states: [] }],
    ["has an empty list of kinds", { kinds: [] }],
    ["has an empty list beside something else", { states: [], protocolId: "refused" }],
  ];

  test.each(nothing)("that %s is refused, and nothing is kept", async (_, filter) => {
    const { jobId } = await submitted(engine, { protocolId: "refused" });
    const before = await prisma.bulkAction.count();
    const answers = [
      await cancelAiJobs(engine, WORKSPACE, SOMEBODY, { filter, reason: "enough", limit: 100 }),
      await retryAiJobs(engine, WORKSPACE, SOMEBODY, { filter, limit: 100 }),
    ];
    for (const answer of answers) {
      expect(answer).toBeInstanceOf(InvalidInputError);
      expect(answer).toMatchObject({ inputPath: ["input", "filter"] });
    }
    expect(await prisma.bulkAction.count()).toBe(before);
    expect((await records(jobId)).job.version).toBe(1);
  });

  test("finds what the list of jobs finds with it, oldest first", async () => {
    const kinds = ["DOC_EDIT", "SHEET_TRANSFORM", "ASR_TRANSCRIBE"] as const;
    const jobs = [];
    for (let index = 0; index < 12; index++) {
      const protocolId = index % 2 === 0 ? "found-even" : "found-odd";
      jobs.push(await submitted(engine, { protocolId, jobKind: kinds[index % 3] ?? "DOC_EDIT" }));
      // No two of them in one millisecond: the filter tells them apart by it.
      await sleep(2);
    }
    const createdAfter = jobs[2]?.createdAt ?? new Date();
    const createdBefore = jobs[9]?.createdAt ?? new Date();
    const narrow: readonly [number, JobFilter][] = [
      [1, { protocolId: "found-odd", createdBefore: jobs[2]?.createdAt ?? null }],
      [1, { protocolId: "found-even", kinds: ["ASR_TRANSCRIBE"], createdAfter, createdBefore }],
      [2, { protocolId: "found-even", states: ["QUEUED", "QUEUED"], kinds: ["DOC_EDIT"] }],
      [2, { kinds: ["SHEET_TRANSFORM"], createdAfter, createdBefore }],
      [6, { createdAfter: new Date((jobs[0]?.createdAt.getTime() ?? 0) - 1), kinds }],
    ];
    for (const [count, filter] of narrow) {
      const listed = await listJobs(
        prisma,
        WORKSPACE,
        { ...filter, states: ["QUEUED"] },
        { limit: 100, fromEnd: false },
        ["jobId"],
      );
      const found = (await settledItems(prisma, await cancelAll(filter))).map(({ jobId }) => jobId);
      expect(found).toEqual(listed.map(({ jobId }) => jobId).toReversed());
      expect(found).toHaveLength(count);
    }
  });

  test("with a limit takes the oldest jobs that can be changed, and no others use it up", async () => {
    const [first, ...rest] = await queuedJobs(engine, 6, { protocolId: "limited" });
    await bringTo(engine, first ?? "", "CANCELLED");
    const action = await cancelAll({ protocolId: "limited" }, { limit: 3 });
    expect((await settledItems(prisma, action)).map(({ jobId }) => jobId)).toEqual(rest.slice(0, 3));
    expect((await records(rest[3] ?? "")).job.state).toBe("QUEUED");
  });

  test("with a limit passes over jobs whose budget is spent: no retry of all would ever come past them", async () => {
    const more = { protocolId: "spent", tokenBudget: 100 };
    const [spent = "", exact = "", ...rest] = await queuedJobs(engine, 3, more);
    await bringTo(engine, spent, "FAILED", { inputTokens: 101n, totalTokens: 101n });
    await bringTo(engine, exact, "FAILED", { inputTokens: 100n, totalTokens: 100n });
    await bringTo(engine, rest[0] ?? "", "FAILED");
    const action = await retryAll({ protocolId: "spent" }, 2);
    const retried = [exact, rest[0]].map((jobId) => ({ jobId, outcome: "changed" }));
    expect(await settledItems(prisma, action)).toEqual(retried);
    expect((await records(spent)).job.state).toBe("FAILED");
  });

  test("that matches nothing makes an action without items, finished at once", async () => {
    const action = await cancelAll({ protocolId: "nobody's" });
    expect(action.finishedAt).toEqual(expect.any(Date));
    expect(await settledItems(prisma, action)).toEqual([]);
  });

  test("reaches no job of another workspace, nor of one that there is not yet", async () => {
    const protocolId = "apart";
    const { jobId } = await submitted(engine, { protocolId });
    const theirs = randomUUID();
    const none = await cancelAll({ protocolId }, {}, theirs);
    expect(none).toMatchObject({ workspaceId: theirs, finishedAt: expect.any(Date) });
    expect(await settledItems(prisma, none)).toEqual([]);
    const { job } = ok(await submitAiJob(engine, theirs, SOMEBODY, aSubmit({ protocolId })));
    expect(await tally(prisma, await cancelAll({ protocolId }, {}, theirs))).toEqual({ changed: 1 });
    expect((await records(job.jobId)).job.state).toBe("CANCELLED");
    expect((await records(jobId)).job.state).toBe("QUEUED");
  });
});

test("the same action again finds each job as the first one left it", async () => {
  const jobIds = await queuedJobs(engine, 3, { protocolId: "twice" });
  expect(await tally(prisma, await cancelAll({ protocolId: "twice" }))).toEqual({ changed: 3 });
  expect(await tally(prisma, await cancelAll({ protocolId: "twice" }))).toEqual({});
  const again = await cancelAll({ protocolId: "twice", states: ["CANCELLED"] });
  expect(await tally(prisma, again)).toEqual({ ILLEGAL_TRANSITION: 3 });
  for (const jobId of jobIds) expect((await records(jobId)).job.version).toBe(2);
});

describe("the statements of a bulk action", () => {
  const bulk = {
    cancels: (protocolId: string, limit: number) => cancelAll({ protocolId }, { limit }),
    retries: (protocolId: string, limit: number) => retryAll({ protocolId }, limit),
  };

  test.each(["cancels", "retries"] as const)("are as many for 100 jobs as for one, where it %s them", async (verb) => {
    const protocolId = `count-${verb}`;
    const jobIds = await queuedJobs(engine, 101, { protocolId });
    if (verb === "retries") for (const jobId of jobIds) await bringTo(engine, jobId, "FAILED");
    const cost = async (limit: number) => {
      db.statements();
      const action = await bulk[verb](protocolId, limit);
      const received = db.statements();
      expect(await tally(prisma, action)).toEqual({ changed: limit });
      return received.length;
    };
    const forOne = await cost(1);
    expect(forOne).toBeGreaterThan(5);
    expect(await cost(100)).toBe(forOne);
  });

  test("lock 100 jobs at a time, and then their items", async () => {
    await queuedJobs(engine, 250, { protocolId: "batches" });
    db.statements();
    const action = await cancelAll({ protocolId: "batches" }, { limit: 1000 });
    const received = db.statements();
    // In each of them the jobs are locked first, then the items (section 4).
    const locks = received.flatMap((sql) => /FROM (\w+)\s+WHERE[^]*FOR (NO KEY )?UPDATE/.exec(sql)?.[1] ?? []);
    expect(locks).toEqual(Array.from({ length: 3 }, () => ["ai_jobs", "bulk_action_items"]).flat());
    expect(await tally(prisma, action)).toEqual({ changed: 250 });
    const items = await prisma.bulkActionItem.findMany({ where: { bulkActionId: action.id } });
    expect(items.map(({ position }) => position).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 250 }, (_, index) => index + 1),
    );
  });
});

describe("a database that has no time", () => {
  test("for storing it keeps nothing of the action", async () => {
    const [jobId = ""] = await queuedJobs(engine, 1, { protocolId: "no-time" });
    const before = await prisma.bulkAction.count();
    const point = { at: "when it is stored", on: "bulk_actions", when: "BEFORE ROW" } as const;
    const body = await raising(db, "40001");
    const sent = withFault(db, point, body, () => cancelAll({ protocolId: "no-time" }));
    await expect(sent).rejects.toBeInstanceOf(TryAgainError);
    expect(await prisma.bulkAction.count()).toBe(before);
    expect((await records(jobId)).job.version).toBe(1);
  });

  test("for a part of it leaves the rest to do, and the caller gets the action, unfinished", async () => {
    const jobIds = await queuedJobs(engine, 130, { protocolId: "half-time" });
    const point = { at: "when items are written", on: "bulk_action_items", when: "BEFORE ROW" } as const;
    const body = `IF NEW.position > 100 THEN ${await raising(db, "55P03")}; END IF`;
    const action = await withFault(db, point, body, () => cancelAll({ protocolId: "half-time" }, { limit: 1000 }));
    expect(action.finishedAt).toBeNull();
    expect(await tally(prisma, action)).toEqual({ changed: 100, pending: 30 });
    for (const [index, jobId] of jobIds.entries()) {
      const after = await records(jobId);
      expectSound(after);
      // Nothing of the batch that gave way was kept, of its jobs either.
      expect(after.job.state).toBe(index < 100 ? "CANCELLED" : "QUEUED");
    }
  });
});

test("a retry of jobs that failed leads to another attempt of each", async () => {
  const jobIds = await queuedJobs(engine, 3, { protocolId: "failed-all" });
  for (const jobId of jobIds) await bringTo(engine, jobId, "FAILED");
  const action = await retryAll({ protocolId: "failed-all", states: ["FAILED"] });
  expect(await tally(prisma, action)).toEqual({ changed: 3 });
  expect(await retryAiJob(engine, WORKSPACE, SOMEBODY, jobIds[0] ?? "")).toBeInstanceOf(IllegalTransitionError);
});
