import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { BudgetExceededError, CapabilityDeniedError, IdempotencyConflictError } from "../../src/errors.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { checkStartQuotas, usedUpForStarts } from "../../src/quotas/admission.ts";
import { deleteQuota } from "../../src/quotas/quota.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { awaitAnswer, FOUND, stall } from "../support/jobs.ts";
import { aWorkspace, minuteAgo, type TestWorkspace, usedAgo } from "../support/quotas.ts";
import { recordsOf } from "../support/records.ts";
import { failWorkflow } from "../support/reports.ts";
import { aggregateAll } from "../support/totals.ts";

/** What quotas refuse, until when, and what they leave alone. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const HOUR = 3_600_000;
const MINUTE = 60_000;
const tokens = (count: number) => ({ ...NO_METRICS, inputTokens: count });

/** Reports so many tokens, of a call that cost as many micro-units. */
async function spend(workspace: TestWorkspace, count: number, jobKind?: "TERMINAL_EXEC") {
  const claim = await workspace.started((await workspace.submitted(jobKind)).jobId);
  const none = { cachedInputTokens: 0, outputTokens: 0, reasoningTokens: 0 };
  const call = { provider: "openai", model: "gpt-5", ...none, inputTokens: count, costMicros: count };
  ok(await advanceWorkflow(engine, { ...aStep(claim, "n"), metrics: { ...tokens(count), usage: [call] } }));
  return claim;
}

function expectRefused(answer: unknown, about: string | RegExp): BudgetExceededError {
  expect(answer).toBeInstanceOf(BudgetExceededError);
  expect(answer).toMatchObject({ code: "BUDGET_EXCEEDED", directive: null, message: expect.stringMatching(about) });
  if (!(answer instanceof BudgetExceededError)) throw new Error("It was not refused.");
  return answer;
}

/** What was used just now leaves the window an hour and a minute after the beginning of its minute. */
function expectInAnHour({ freesAt }: BudgetExceededError): void {
  const minute = (freesAt?.getTime() ?? 0) - HOUR - MINUTE;
  expect([minuteAgo(0).getTime(), minuteAgo(1).getTime()]).toContain(minute);
}

describe.each([
  ["before the aggregation", async () => undefined],
  ["after it", () => aggregateAll(db.prisma)],
])("a quota, %s,", (_, aggregate) => {
  test("of submitted jobs refuses the submit after the last of them, and stores nothing of it", async () => {
    const workspace = aWorkspace(engine);
    await workspace.quota("JOBS", 2);
    const { jobId } = await workspace.submitted();
    await workspace.submitted();
    await aggregate();
    expectInAnHour(
      expectRefused(await workspace.submit(), /^ACE-001: the workspace's quota of 2 submitted jobs in 3600 s/),
    );
    expect(await workspace.jobs()).toBe(2);
    // What is there may be started.
    await workspace.started(jobId);
  });

  test.each([
    ["TOKENS", "tokens"],
    ["COST", "micro-units of cost"],
  ] as const)("of %s refuses submits and starts once they were reported", async (resource, noun) => {
    const workspace = aWorkspace(engine);
    const waiting = await workspace.submitted();
    await workspace.quota(resource, 100);
    await spend(workspace, 99);
    await workspace.submitted();
    await spend(workspace, 1);
    await aggregate();
    expectInAnHour(expectRefused(await workspace.submit(), `quota of 100 ${noun} in 3600 s is used up`));
    const before = await recordsOf(db.prisma, waiting.jobId);
    expectInAnHour(expectRefused(await workspace.start(waiting.jobId), `quota of 100 ${noun} in 3600 s is used up`));
    expect(await recordsOf(db.prisma, waiting.jobId)).toEqual(before);
  });

  test("of active jobs refuses the next start, and nobody can tell until when; submits go on", async () => {
    const workspace = aWorkspace(engine);
    await workspace.quota("ACTIVE_JOBS", 1);
    const { run } = await workspace.started((await workspace.submitted()).jobId);
    const waiting = await workspace.submitted();
    await aggregate();
    const before = await recordsOf(db.prisma, waiting.jobId);
    const refused = expectRefused(await workspace.start(waiting.jobId), "quota of 1 active jobs is used up");
    expect(refused.freesAt).toBeNull();
    expect(await recordsOf(db.prisma, waiting.jobId)).toEqual(before);
    ok(await cancelAiJob(engine, workspace.workspaceId, SOMEBODY, { jobId: run.jobId, reason: "make room" }));
    await workspace.started(waiting.jobId);
  });
});

describe("an active job", () => {
  const ways = {
    running: async () => undefined,
    awaiting_validation: (claim) => awaitAnswer(engine, claim, "AWAITING_VALIDATION"),
    awaiting_user: (claim) => awaitAnswer(engine, claim, "AWAITING_USER"),
    stalled: (claim) => stall(engine, claim),
    failed: ({ run, leaseToken }) => {
      const failure = { errorMessage: "no", retryable: false, metrics: NO_METRICS };
      return failWorkflow(engine, { workflowRunId: run.id, leaseToken, ...failure });
    },
    poisoned: ({ job }) => poisonJob(engine, job.workspaceId, job.jobId, FOUND),
  } satisfies Record<string, (claim: Awaited<ReturnType<TestWorkspace["started"]>>) => Promise<unknown>>;

  test.each([
    ["running", "counts"],
    ["awaiting_validation", "counts"],
    ["awaiting_user", "does not count"],
    ["stalled", "is none"],
    ["failed", "is none"],
    ["poisoned", "is none"],
  ] as const)("that is %s %s", async (state, says) => {
    const workspace = aWorkspace(engine);
    await workspace.quota("ACTIVE_JOBS", 1);
    await ways[state](await workspace.started((await workspace.submitted()).jobId));
    const answer = await workspace.start((await workspace.submitted()).jobId);
    expect(answer instanceof BudgetExceededError).toBe(says === "counts");
  });
});

describe("what was used a while ago", () => {
  test("counts while a part of its minute is in the window, and no longer", async () => {
    const workspace = aWorkspace(engine);
    await usedAgo(db.prisma, workspace, 61, { tokens: 1000, jobs: 1000 });
    await usedAgo(db.prisma, workspace, 59, { tokens: 30, jobs: 3 });
    await usedAgo(db.prisma, workspace, 10, { tokens: 40, jobs: 4 });
    expect(await workspace.quota("TOKENS", 1)).toMatchObject({ used: 70n });
    expect(await workspace.quota("JOBS", 1)).toMatchObject({ used: 7n });
    expect(await workspace.quota("JOBS", 1, { windowSeconds: 1800 })).toMatchObject({ used: 4n });
    expect(await workspace.quota("JOBS", 1, { windowSeconds: 24 * 3600 })).toMatchObject({ used: 1007n });
  });

  test.each([
    [1, 10],
    [40, 10],
    [41, 30],
    [50, 30],
    [51, 50],
    [80, 50],
  ])("tells when there is room for one more of %i tokens: when the minute %i ago has left", async (max, minutes) => {
    const workspace = aWorkspace(engine);
    for (const [ago, count] of [
      [50, 30],
      [30, 10],
      [20, 0],
      [10, 40],
    ] as const) {
      await usedAgo(db.prisma, workspace, ago, { tokens: count });
    }
    const left = minuteAgo(minutes).getTime() + MINUTE + HOUR;
    const quota = await workspace.quota("TOKENS", max);
    // This minute may have passed into the next meanwhile.
    expect([left, left - MINUTE]).toContain(quota.freesAt?.getTime());
    expect(expectRefused(await workspace.submit(), "tokens").freesAt).toEqual(quota.freesAt);
  });

  test("by jobs of both profiles in one minute is one sum for the workspace", async () => {
    const workspace = aWorkspace(engine);
    const minute = await usedAgo(db.prisma, workspace, 10, { jobs: 3 });
    await usedAgo(db.prisma, workspace, 5, { jobs: 1 });
    await db.prisma.usageMinute.create({
      data: { workspaceId: workspace.workspaceId, capabilityProfileId: "terminal", minute, jobs: 4 },
    });
    const freesAt = new Date(minute.getTime() + MINUTE + HOUR);
    expect(await workspace.quota("JOBS", 4)).toMatchObject({ used: 8n, freesAt });
    expect(await workspace.quota("JOBS", 8)).toMatchObject({ used: 8n, freesAt });
    expect(await workspace.quota("JOBS", 9)).toMatchObject({ used: 8n, freesAt: null });
  });
});

test("a quota of 0 refuses, and nobody can tell until when", async () => {
  const workspace = aWorkspace(engine);
  const { jobId } = await workspace.submitted();
  await workspace.quota("JOBS", 0);
  expect(expectRefused(await workspace.submit(), "quota of 0 submitted jobs").freesAt).toBeNull();
  await workspace.started(jobId);
  const other = aWorkspace(engine);
  await other.quota("ACTIVE_JOBS", 0);
  expect(expectRefused(await other.start((await other.submitted()).jobId), "quota of 0 active").freesAt).toBeNull();
});

describe("a quota of a capability profile", () => {
  test.each(["JOBS", "TOKENS", "COST", "ACTIVE_JOBS"] as const)(
    "of %s is about jobs of this profile alone",
    async (resource) => {
      const workspace = aWorkspace(engine);
      const waiting = { default: await workspace.submitted(), terminal: await workspace.submitted("TERMINAL_EXEC") };
      await spend(workspace, 10, "TERMINAL_EXEC");
      await workspace.quota(resource, 1, { capabilityProfileId: "terminal" });
      const answers = {
        submit: await workspace.submit("TERMINAL_EXEC"),
        start: await workspace.start(waiting.terminal.jobId),
      };
      const about = "the capability profile terminal's quota of 1 ";
      if (resource !== "ACTIVE_JOBS") expectRefused(answers.submit, about);
      if (resource !== "JOBS") expectRefused(answers.start, about);
      await workspace.submitted();
      await workspace.started(waiting.default.jobId);
    },
  );

  test("and one of the workspace hold both: the one that frees last tells when", async () => {
    const workspace = aWorkspace(engine);
    const late = await usedAgo(db.prisma, workspace, 5, { jobs: 2, capabilityProfileId: "terminal" });
    await workspace.quota("JOBS", 2, { capabilityProfileId: "terminal" });
    await workspace.quota("JOBS", 1, { windowSeconds: 1800 });
    const both = expectRefused(await workspace.submit("TERMINAL_EXEC"), /terminal's quota .*; the workspace's quota/);
    expect(both.freesAt).toEqual(new Date(late.getTime() + MINUTE + HOUR));
    const one = expectRefused(
      await workspace.submit(),
      /^ACE-001: the workspace's quota of 1 submitted jobs in 1800 s/,
    );
    expect(one.freesAt).toEqual(new Date(late.getTime() + MINUTE + HOUR / 2));
    await workspace.quota("JOBS", 0, { windowSeconds: 1800 });
    expect(expectRefused(await workspace.submit("TERMINAL_EXEC"), "terminal").freesAt).toBeNull();
  });
});

test("a quota is about its own workspace alone, and about nothing once it is deleted", async () => {
  const [workspace, other] = [aWorkspace(engine), aWorkspace(engine)];
  const { id } = await workspace.quota("JOBS", 1);
  await workspace.submitted();
  expectRefused(await workspace.submit(), "JOBS|submitted jobs");
  await other.submitted();
  await other.submitted();
  ok(await deleteQuota(engine, workspace.workspaceId, id));
  await workspace.submitted();
});

test("what a running job reports is recorded, whatever was spent", async () => {
  const workspace = aWorkspace(engine);
  const held = await spend(workspace, 100);
  const { jobId } = held.job;
  await workspace.quota("TOKENS", 50);
  await workspace.quota("JOBS", 0);
  await workspace.quota("ACTIVE_JOBS", 0);
  const holder = { workflowRunId: held.run.id, leaseToken: held.leaseToken };
  const [beat] = await heartbeatWorkflows(engine, [{ ...holder, leaseSeconds: 60, metrics: tokens(7) }]);
  expect(beat).toMatchObject({ directive: "CONTINUE", error: null });
  ok(await advanceWorkflow(engine, { ...aStep(held, "n", { outcome: "SUCCEEDED" }), metrics: tokens(5) }));
  const end = { ...holder, jobOutputs: { a: 1 }, writtenEntities: [], issues: [], metrics: tokens(3) };
  expect(await completeWorkflows(engine, [end])).toMatchObject([{ job: { state: "COMPLETED", inputTokens: 115n } }]);
  expect((await recordsOf(db.prisma, jobId)).job).toMatchObject({ state: "COMPLETED", totalTokens: 115n });
  expect(await workspace.quota("TOKENS", 50)).toMatchObject({ used: 115n });
});

describe("with a used-up quota of submitted jobs, a submit", () => {
  test("that is sent again gives its job back; another one with its key is a conflict", async () => {
    const workspace = aWorkspace(engine);
    await workspace.quota("JOBS", 1);
    const first = ok(await workspace.submit("DOC_EDIT", "key"));
    const again = ok(await workspace.submit("DOC_EDIT", "key"));
    expect(again).toMatchObject({ deduplicated: true, job: { jobId: first.job.jobId } });
    expect(await workspace.submit("ASR_TRANSCRIBE", "key")).toBeInstanceOf(IdempotencyConflictError);
    expectRefused(await workspace.submit("DOC_EDIT", "another key"), "submitted jobs");
    expect(await workspace.jobs()).toBe(1);
  });

  test("that would be denied is refused before: a denial is a job, too, and counts as one", async () => {
    const workspace = aWorkspace(engine);
    await workspace.quota("JOBS", 1);
    await db.prisma.$executeRaw`UPDATE capability_profiles SET capabilities = '{}' WHERE id = 'terminal'`;
    expect(await workspace.submit("TERMINAL_EXEC")).toBeInstanceOf(CapabilityDeniedError);
    expectRefused(await workspace.submit("TERMINAL_EXEC"), "submitted jobs");
    await db.prisma.$executeRaw`UPDATE capability_profiles SET capabilities = '{term.exec}' WHERE id = 'terminal'`;
    expect(await workspace.jobs()).toBe(1);
  });
});

describe("what comes at once", () => {
  test("50 submits against a quota of 10 are 10 jobs", async () => {
    const workspace = aWorkspace(engine);
    await workspace.quota("JOBS", 10);
    const answers = await Promise.all(Array.from({ length: 50 }, () => workspace.submit()));
    const refused = answers.filter((answer) => answer instanceof BudgetExceededError);
    expect(answers.filter((answer) => "job" in answer)).toHaveLength(10);
    expect(refused).toHaveLength(40);
    expect(await workspace.jobs()).toBe(10);
  });

  test("20 starts against a quota of 5 are 5 running jobs", async () => {
    const workspace = aWorkspace(engine);
    await workspace.quota("ACTIVE_JOBS", 5);
    const jobs = await Promise.all(Array.from({ length: 20 }, () => workspace.submitted()));
    const answers = await Promise.all(jobs.map(({ jobId }) => workspace.start(jobId)));
    expect(answers.filter((answer) => "leaseToken" in answer)).toHaveLength(5);
    expect(answers.filter((answer) => answer instanceof BudgetExceededError)).toHaveLength(15);
    const where = { workspaceId: workspace.workspaceId, state: "RUNNING" } as const;
    expect(await db.prisma.aiJob.count({ where })).toBe(5);
  });
});

async function cost(work: () => Promise<unknown>): Promise<number> {
  db.statements();
  await work();
  return db.statements().filter((sql) => !/^(BEGIN|COMMIT|--)/.test(sql)).length;
}

describe("the statements", () => {
  test("of a submit where no quota is about it are two: its profile, and the job", async () => {
    const workspace = aWorkspace(engine);
    await workspace.quota("ACTIVE_JOBS", 5);
    await workspace.quota("JOBS", 5, { capabilityProfileId: "terminal" });
    expect(await cost(() => workspace.submitted())).toBe(2);
    expect(await cost(() => workspace.submitted("TERMINAL_EXEC"))).toBe(4);
  });

  test("of many starts are one where no quota is about them, else two", async () => {
    const workspace = aWorkspace(engine);
    const jobs = await Promise.all(Array.from({ length: 30 }, () => workspace.submitted()));
    const judge = () => db.prisma.$transaction((tx) => checkStartQuotas(tx, jobs));
    await workspace.quota("JOBS", 1);
    expect(await cost(judge)).toBe(1);
    await workspace.quota("ACTIVE_JOBS", 3);
    await workspace.quota("TOKENS", 1000);
    expect(await cost(judge)).toBe(2);
    expect((await judge()).map((refusal) => refusal === null)).toEqual(jobs.map((_, index) => index < 3));
  });
});

test("a claim is told whom to pass over: workspaces, and profiles in them, that may start nothing now", async () => {
  const { prisma } = db;
  const [one, two, idle, free] = [aWorkspace(engine), aWorkspace(engine), aWorkspace(engine), aWorkspace(engine)];
  const pairs = async (...workspaces: readonly TestWorkspace[]) => {
    const usedUp = await usedUpForStarts(
      prisma,
      workspaces.map(({ workspaceId }) => workspaceId),
    );
    return usedUp.map((quota) => [quota.workspaceId, quota.capabilityProfileId]);
  };
  await one.submitted();
  await spend(one, 10);
  await one.quota("TOKENS", 10);
  await one.quota("JOBS", 0);
  await two.submitted();
  await spend(two, 10, "TERMINAL_EXEC");
  await two.quota("ACTIVE_JOBS", 1, { capabilityProfileId: "terminal" });
  await two.quota("ACTIVE_JOBS", 2);
  await idle.quota("ACTIVE_JOBS", 0);
  await free.submitted();
  await free.quota("JOBS", 0);

  expect(await pairs(one)).toEqual([[one.workspaceId, null]]);
  expect(await pairs(two)).toEqual([[two.workspaceId, "terminal"]]);
  expect(await pairs(free)).toEqual([]);
  const everywhere = await pairs(one, two, idle, free);
  expect(everywhere).toHaveLength(3);
  expect(everywhere).toEqual(
    expect.arrayContaining([
      [one.workspaceId, null],
      [two.workspaceId, "terminal"],
      [idle.workspaceId, null],
    ]),
  );
  expect(await cost(() => pairs(one, two, idle, free))).toBe(1);
});
