import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { EngineContext } from "../../src/engine.ts";
import type { AppError } from "../../src/errors.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { MAX_PROGRESS_MESSAGE, type Progress } from "../../src/jobs/progress.ts";
import { retryAiJob } from "../../src/jobs/retry.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { requestUserInput } from "../../src/runs/ask.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { type Heartbeat, heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { recordProgress } from "../../src/runs/record-progress.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import type { Guard } from "../../src/security/guards/guard.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, SOMEBODY, started, WORKSPACE } from "../support/engine.ts";
import { claim, expireLease, FOUND, HOSTILE } from "../support/jobs.ts";
import { expectPoisoned, expectSound, progressIn, recordsOf } from "../support/records.ts";
import {
  aCompletion,
  aFailure,
  aGiveBack,
  aHeartbeat,
  aQuestion,
  failWorkflow,
  releaseWorkflow,
} from "../support/reports.ts";

/** Progress (section 13): what of it is a version at once, what waits, and that the last one is not lost. */

let db: TestDatabase;
/** Its second never passes by itself. */
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db, { progressIntervalMs: 3_600_000 });
});
afterAll(() => db.close());

const records = ({ job }: Claim) => recordsOf(db.prisma, job.jobId);
const half: Progress = { fraction: 0.5, message: "reading" };
const later: Progress = { fraction: 0.75, message: null };

async function beat(held: Claim, more: Partial<Heartbeat>, on = engine) {
  const [answer] = await heartbeatWorkflows(on, [aHeartbeat(held, more)]);
  return answer;
}

/** The second is over for what waits with this run. */
async function secondPasses({ run }: Claim): Promise<void> {
  await db.prisma.$executeRaw`
    UPDATE workflow_runs SET next_progress_at = date_trunc('milliseconds', now()) - interval '1 minute'
    WHERE id = ${run.id}::uuid AND next_progress_at IS NOT NULL`;
}

/** A run whose job says `half`, and with which `later` waits. */
async function waiting(): Promise<Claim> {
  const held = await started(engine);
  await beat(held, { progress: half });
  expect(await beat(held, { progress: later })).toMatchObject({ directive: "CONTINUE", error: null });
  expect(await shown(held)).toEqual(half);
  expect(await waits(held)).toEqual(later);
  return held;
}

async function shown(held: Claim): Promise<Progress | null> {
  const { progressFraction, progressMessage, progressAt } = (await records(held)).job;
  return progressAt && { fraction: progressFraction, message: progressMessage };
}

async function waits(held: Claim): Promise<Progress | null> {
  const run = (await records(held)).runs.find(({ id }) => id === held.run.id);
  return run?.nextProgressAt ? { fraction: run.nextProgressFraction, message: run.nextProgressMessage } : null;
}

/** What the events of a job say of progress, in their order. */
async function told(held: Claim): Promise<readonly Progress[]> {
  return progressIn((await records(held)).events);
}

describe("a heartbeat with progress", () => {
  test("is a version at once where the job has said nothing yet, in the worker's name", async () => {
    const held = await started(engine);
    expect(await beat(held, { progress: half })).toMatchObject({ directive: "CONTINUE", error: null });
    const after = await records(held);
    expectSound(after);
    const event = after.events.at(-1);
    expect(event).toMatchObject({ type: "METRICS_RECORDED", actor: "AGENT", actorId: "worker-1", version: 3 });
    expect(event?.payload).toEqual({ progress: half });
    expect(after.job).toMatchObject({
      version: 3,
      progressFraction: 0.5,
      progressMessage: "reading",
      progressAt: event?.recordedAt,
    });
    expect(await waits(held)).toBeNull();
  });

  test("waits where the job has said something else less than a second ago, and the next replaces it", async () => {
    const held = await waiting();
    const { job } = await records(held);
    const last: Progress = { fraction: null, message: "writing" };
    await beat(held, { progress: last });
    expect(await records(held)).toMatchObject({
      job,
      runs: [
        {
          nextProgressFraction: null,
          nextProgressMessage: "writing",
          nextProgressAt: new Date((job.progressAt?.getTime() ?? 0) + 3_600_000),
        },
      ],
    });
    await secondPasses(held);
    expect(await recordProgress(engine)).toBe(1);
    expect(await told(held)).toEqual([half, last]);
  });

  test("is a version again when the second has passed", async () => {
    const held = await waiting();
    await beat(held, { progress: half }, engineOn(db, { progressIntervalMs: 0 }));
    await beat(held, { progress: later }, engineOn(db, { progressIntervalMs: 0 }));
    expect(await told(held)).toEqual([half, later]);
    expect(await waits(held)).toBeNull();
  });

  test("that the job says already is no news: no version, and it takes back what waits", async () => {
    const held = await waiting();
    const before = await records(held);
    await beat(held, { progress: half }, engineOn(db, { progressIntervalMs: 0 }));
    expect(await waits(held)).toBeNull();
    expect((await records(held)).job).toEqual(before.job);
  });

  test("and metrics is one version with both, and takes what waits where it brings no progress itself", async () => {
    const held = await waiting();
    const metrics = { ...NO_METRICS, durationMs: 5 };
    await beat(held, { metrics });
    expect((await records(held)).events.at(-1)?.payload).toMatchObject({ delta: { durationMs: 5 }, progress: later });
    expect(await waits(held)).toBeNull();
    await beat(held, { metrics, progress: half });
    expect((await records(held)).events.at(-1)?.payload).toMatchObject({ delta: { durationMs: 5 }, progress: half });
    expect(await shown(held)).toEqual(half);
    await beat(held, { metrics });
    expect((await records(held)).events.at(-1)?.payload).not.toHaveProperty("progress");
    expect(await shown(held)).toEqual(half);
    expectSound(await records(held));
  });

  test("without anything new leaves alone what waits", async () => {
    const held = await waiting();
    const { job } = await records(held);
    await beat(held, {});
    expect((await records(held)).job).toEqual(job);
    expect(await waits(held)).toEqual(later);
  });

  test("that is refused its metrics is refused its progress", async () => {
    const held = await started(engine);
    const metrics = { ...NO_METRICS, tokensPlanner: 1 };
    expect(await beat(held, { metrics, progress: half })).toMatchObject({
      directive: "CONTINUE",
      error: { code: "INVALID_INPUT" },
    });
    expect([await shown(held), await waits(held)]).toEqual([null, null]);
  });

  test("that passes a budget is kept with the metrics that pass it, and once", async () => {
    const held = await started(engine, { tokenBudget: 1 });
    await beat(held, { progress: half });
    await beat(held, { progress: later });
    const answer = await beat(held, { metrics: { ...NO_METRICS, inputTokens: 2 } });
    expect(answer).toMatchObject({ directive: "STOP_FAILED", error: { code: "BUDGET_EXCEEDED" } });
    expect(await told(held)).toEqual([half, later]);
    expectSound(await records(held));
  });

  test("has a secret masked, and what masking makes longer cut, also while it waits", async () => {
    const held = await started(engine);
    // Each of them is two characters shorter than its mask.
    const message = "ab://:b@ ".repeat(22).trim();
    const masked = "[redacted] ".repeat(22).slice(0, MAX_PROGRESS_MESSAGE);
    expect(message.length).toBeLessThanOrEqual(MAX_PROGRESS_MESSAGE);
    await beat(held, { progress: { fraction: null, message } });
    expect(await told(held)).toEqual([{ fraction: null, message: masked }]);
    await beat(held, { progress: { fraction: 1, message } });
    expect(await waits(held)).toEqual({ fraction: 1, message: masked });
    expectSound(await records(held));
  });

  test.each([0, 5e-324, 1e-7, 0.1 + 0.2, 1 - Number.EPSILON / 2, 1])(
    "has the fraction %d kept as it is",
    async (fraction) => {
      const held = await started(engine);
      await beat(held, { progress: { fraction, message: null } });
      expect(await shown(held)).toEqual({ fraction, message: null });
      expect(await told(held)).toEqual([{ fraction, message: null }]);
      expectSound(await records(held));
    },
  );
});

describe("the repeat of a heartbeat", () => {
  test("counts once, at once or waiting, and another progress under its id is refused", async () => {
    const held = await started(engine);
    const [first, second] = [randomUUID(), randomUUID()];
    for (let time = 0; time < 2; time++) await beat(held, { reportId: first, progress: half });
    await beat(held, { reportId: second, progress: later });
    await beat(held, { progress: { fraction: 0.9, message: null } });
    expect(await beat(held, { reportId: second, progress: later })).toMatchObject({ error: null });
    expect(await waits(held)).toEqual({ fraction: 0.9, message: null });
    expect(await beat(held, { reportId: first, progress: later })).toMatchObject({
      directive: "CONTINUE",
      error: { code: "INVALID_INPUT" },
    });
    expect(await told(held)).toEqual([half]);
  });

  test("without progress has the hash that it had before there was any", async () => {
    const held = await started(engine);
    const reportId = randomUUID();
    await beat(held, { reportId });
    expect(await beat(held, { reportId, progress: undefined })).toMatchObject({ error: null });
  });
});

describe("the sweep", () => {
  test("records what waits when its second has passed, once, in the worker's name", async () => {
    const held = await waiting();
    expect(await recordProgress(engine)).toBe(0);
    expect(await shown(held)).toEqual(half);
    await secondPasses(held);
    const counts = await Promise.all([recordProgress(engine), recordProgress(engine)]);
    expect(counts.toSorted()).toEqual([0, 1]);
    const after = await records(held);
    expectSound(after);
    expect(await shown(held)).toEqual(later);
    expect(await waits(held)).toBeNull();
    const event = after.events.at(-1);
    expect(event).toMatchObject({ type: "METRICS_RECORDED", actor: "AGENT", actorId: "worker-1" });
    expect(event?.payload).toEqual({ progress: later });
    expect(after.job.progressAt).toEqual(event?.recordedAt);
    expect(await recordProgress(engine)).toBe(0);
  });

  test("records that of many jobs, more than one batch", async () => {
    const many: Claim[] = [];
    for (let made = 0; made < 101; made++) many.push(await started(engine));
    for (const progress of [half, later])
      await heartbeatWorkflows(
        engine,
        many.map((held) => aHeartbeat(held, { progress })),
      );
    await db.prisma.$executeRaw`
      UPDATE workflow_runs SET next_progress_at = date_trunc('milliseconds', now()) - interval '1 minute'
      WHERE next_progress_at IS NOT NULL AND id = ANY(${many.map(({ run }) => run.id)}::uuid[])`;
    expect(await recordProgress(engine)).toBe(101);
    for (const held of [many[0], many[100]]) expect(held && (await shown(held))).toEqual(later);
  });
});

describe("a step with progress", () => {
  test("is said at once, whatever was said when, and takes back what waits", async () => {
    const held = await waiting();
    const progress: Progress = { fraction: 0.8, message: "calling" };
    ok(await advanceWorkflow(engine, { ...aStep(held, "read"), progress }));
    const after = await records(held);
    expectSound(after);
    expect(after.events.at(-1)).toMatchObject({
      type: "NODE_CHANGED",
      payload: { steps: [{ node_id: "read" }], progress },
    });
    expect([await shown(held), await waits(held)]).toEqual([progress, null]);
  });

  test("and one without takes what waits", async () => {
    const held = await waiting();
    ok(await advanceWorkflow(engine, aStep(held, "read")));
    expect([await shown(held), await waits(held)]).toEqual([later, null]);
    expect(await told(held)).toEqual([half, later]);
  });

  test("that passes a budget says it once", async () => {
    const held = await started(engine, { tokenBudget: 1 });
    await beat(held, { progress: half });
    await beat(held, { progress: later });
    const metrics = { ...NO_METRICS, inputTokens: 2 };
    expect(await advanceWorkflow(engine, { ...aStep(held, "read"), metrics })).toMatchObject({
      code: "BUDGET_EXCEEDED",
    });
    expect(await told(held)).toEqual([half, later]);
  });
});

describe("the end of a run", () => {
  type End = (held: Claim) => Promise<unknown>;
  const ends: readonly (readonly [string, End])[] = [
    ["a completion", async (held) => ok((await completeWorkflows(engine, [aCompletion(held)]))[0])],
    ["a failure", async (held) => ok(await failWorkflow(engine, aFailure(held)))],
    ["a release", async (held) => ok(await releaseWorkflow(engine, aGiveBack(held)))],
    ["a question", async (held) => ok(await requestUserInput(engine, aQuestion(held)))],
    ["a report that breaks the access mode", (held) => beat(held, { metrics: { ...NO_METRICS, entitiesWritten: 1 } })],
    [
      "a lost lease",
      async (held) => {
        await expireLease(engine, held);
        await recoverStalledRuns(engine);
      },
    ],
  ];
  test.each(ends)("by %s takes what waits along, in one version", async (_, end) => {
    const held = await waiting();
    const before = await records(held);
    await end(held);
    const after = await records(held);
    expectSound(after);
    expect(after.runs[0]?.state).not.toBe("RUNNING");
    expect([await shown(held), await waits(held)]).toEqual([later, null]);
    expect(await told(held)).toEqual([half, later]);
    expect(after.events[before.events.length]?.payload).toMatchObject({ progress: later });
    await secondPasses(held);
    expect(await recordProgress(engine)).toBe(0);
  });

  test("by a cancellation lets it go, and the job says what it said", async () => {
    const held = await waiting();
    ok(await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId: held.job.jobId, reason: "enough" }));
    expect([await shown(held), await waits(held)]).toEqual([half, null]);
    expect(await recordProgress(engine)).toBe(0);
  });

  test("by a poisoning takes all of it away", async () => {
    const held = await waiting();
    const before = await records(held);
    await poisonJob(engine, WORKSPACE, held.job.jobId, FOUND);
    expectPoisoned(await records(held), before);
    expect([await shown(held), await waits(held)]).toEqual([null, null]);
  });
});

describe("the next run of a job", () => {
  test("begins without progress, and its first waits for the second of the run before", async () => {
    const held = await waiting();
    ok(await failWorkflow(engine, aFailure(held, { retryable: false })));
    ok(await retryAiJob(engine, WORKSPACE, SOMEBODY, held.job.jobId));
    expect(await shown(held)).toEqual(later);
    const next = await claim(engine, held.job.jobId);
    expect(await shown(next)).toBeNull();
    await beat(next, { progress: half });
    expect([await shown(next), await waits(next)]).toEqual([null, half]);
    await secondPasses(next);
    expect(await recordProgress(engine)).toBe(1);
    expect(await told(next)).toEqual([half, later, half]);
  });
});

describe("guards", () => {
  const blind: Guard = {
    name: "Blind",
    check: () => Promise.reject(new Error("broken")),
  };

  test("poison a job for the message of a heartbeat, before anything of it is kept, and leave the others of the call", async () => {
    const [held, other] = [await waiting(), await started(engine)];
    const before = await records(held);
    const answers = await heartbeatWorkflows(engine, [
      aHeartbeat(held, { progress: { fraction: 0.9, message: HOSTILE } }),
      aHeartbeat(other, { progress: half }),
    ]);
    expect(answers).toMatchObject([
      { workflowRunId: held.run.id, directive: "STOP_POISONED", leaseExpiresAt: null, error: { code: "JOB_POISONED" } },
      { workflowRunId: other.run.id, directive: "CONTINUE", error: null },
    ]);
    expectPoisoned(await records(held), before);
    const { events } = await records(held);
    expect(events.filter(({ payload }) => JSON.stringify(payload).includes(HOSTILE))).toEqual([]);
    expect(await shown(other)).toEqual(half);
  });

  test("poison a job for the progress of a step", async () => {
    const held = await started(engine);
    const progress = { fraction: null, message: HOSTILE };
    expect(await advanceWorkflow(engine, { ...aStep(held, "read"), progress })).toMatchObject({
      job: { state: "POISONED" },
      violation: { trigger: expect.stringContaining("progress.message") },
    });
  });

  test("that cannot decide have nothing of the heartbeat kept; its lease is renewed", async () => {
    const held = await started(engine);
    const reportId = randomUUID();
    const metrics = { ...NO_METRICS, durationMs: 7 };
    const report = { reportId, metrics, progress: half, leaseSeconds: 600 };
    const answer = await beat(held, report, { ...engine, guards: [blind] });
    expect(answer).toMatchObject({ directive: "CONTINUE", error: { code: "GUARD_FAILED", guardName: "Blind" } });
    const after = await records(held);
    expect(after.runs[0]?.leaseExpiresAt).toEqual(answer?.leaseExpiresAt);
    expect(after.events.at(-1)).toMatchObject({ type: "DIAGNOSTIC" });
    expect(after.job).toMatchObject({ durationMs: 0n, progressAt: null });
    expect(await beat(held, report)).toMatchObject({ error: null });
    expect(await shown(held)).toEqual(half);
  });

  test("do not look at a heartbeat without a message, nor at the repeat of one with", async () => {
    const held = await started(engine);
    const reportId = randomUUID();
    await beat(held, { reportId, progress: half });
    const on = { ...engine, guards: [blind] };
    for (const progress of [undefined, { fraction: 0.9, message: null }])
      expect(await beat(held, { progress }, on)).toMatchObject({ error: null });
    expect(await beat(held, { reportId, progress: half }, on)).toMatchObject({ error: null });
  });

  test("do not look at what a worker without the lease sends, which is refused", async () => {
    const held = await started(engine);
    const answer = await beat(held, { leaseToken: "A".repeat(43), progress: { fraction: null, message: HOSTILE } });
    expect(answer).toMatchObject({ directive: "STOP_LEASE_LOST", error: { code: "LEASE_LOST" } });
    expect((await records(held)).job.state).toBe("RUNNING");
    await poisonJob(engine, WORKSPACE, held.job.jobId, FOUND);
    const error: Partial<AppError> = { code: "JOB_POISONED" };
    expect(await beat(held, { progress: half })).toMatchObject({ directive: "STOP_POISONED", error });
  });
});
