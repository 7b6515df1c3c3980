import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { claimAiJobs } from "../../src/claims/claim.ts";
import type { EngineContext } from "../../src/engine.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { retryAiJob } from "../../src/jobs/retry.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { ChildrenHints, wakeParents } from "../../src/runs/children.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { raising, withFault } from "../support/faults.ts";
import { claim } from "../support/jobs.ts";
import { recordsOf } from "../support/records.ts";
import { aGiveBack, releaseWorkflow } from "../support/reports.ts";

/** Jobs that their workers give back, and what they then wait for (section 13). */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = (jobId: string) => recordsOf(db.prisma, jobId);
const giveBack = async (held: Claim, more = {}) => ok(await releaseWorkflow(engine, aGiveBack(held, more)));
const cancel = (jobId: string) => cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId, reason: "enough" });

describe("a job that is given back", () => {
  test("is charged nothing, however often, and is claimed before younger ones", async () => {
    const protocolId = "deploys";
    const held = await started(engine, { maxAttempts: 2, priority: 9, protocolId });
    const younger = await submitted(engine, { priority: 9, protocolId });
    for (let deploy = 1; deploy <= 5; deploy++) {
      const latest = deploy === 1 ? held : await claim(engine, held.job.jobId);
      const { job, run } = await giveBack(latest, { reason: "deploy with Bearer abcdefgh12345678" });
      expect(job).toMatchObject({
        state: "QUEUED",
        statusReason: "released",
        attempt: deploy,
        unchargedAttempts: deploy,
      });
      expect(run).toMatchObject({ state: "CANCELLED", endReason: "released", errorMessage: "deploy with [redacted]" });
    }
    const request = { workspaceId: WORKSPACE, workerId: "w", jobKinds: null, limit: 2, leaseSeconds: 60 };
    const { claims } = await claimAiJobs(engine, request);
    expect(claims.map(({ job }) => job.jobId)).toEqual([held.job.jobId, younger.jobId]);
  });

  test("waits for the time that its worker said, and a time that has passed is none", async () => {
    const held = await started(engine);
    const runAfter = new Date(Date.now() + 3_600_000);
    expect((await giveBack(held, { runAfter })).job.runAfter).toEqual(runAfter);
    const other = await started(engine);
    expect((await giveBack(other, { runAfter: new Date(0) })).job.runAfter).toBeNull();
  });

  test("ends its open steps, and keeps those that succeeded for the next run's dependsOn", async () => {
    const held = await started(engine);
    ok(await advanceWorkflow(engine, aStep(held, "read")));
    ok(await advanceWorkflow(engine, aStep(held, "read", { outcome: "SUCCEEDED", outputPayload: { words: 7 } })));
    ok(await advanceWorkflow(engine, aStep(held, "write")));
    await giveBack(held);
    expect((await records(held.job.jobId)).nodes.map(({ nodeId, state }) => [nodeId, state])).toEqual([
      ["read", "COMPLETED"],
      ["write", "CANCELLED"],
    ]);
    const next = await claim(engine, held.job.jobId);
    ok(await advanceWorkflow(engine, aStep(next, "check", { dependsOn: ["read"] })));
    const unfinished = await advanceWorkflow(engine, aStep(next, "send", { dependsOn: ["write"] }));
    expect(unfinished).toMatchObject({ code: "INVALID_INPUT" });
  });

  test("fails the hundredth time, unless a step succeeded in between", async () => {
    let held = await started(engine, { maxAttempts: 1 });
    const { jobId } = held.job;
    const again = async () => {
      held = await claim(engine, jobId);
    };
    await giveBack(held);
    await again();
    ok(await advanceWorkflow(engine, aStep(held, "n")));
    ok(await advanceWorkflow(engine, aStep(held, "n", { outcome: "SUCCEEDED" })));
    for (let times = 1; times < 100; times++) {
      expect((await giveBack(held)).job.state).toBe("QUEUED");
      await again();
    }
    const { job, run } = await giveBack(held);
    expect(job).toMatchObject({ state: "FAILED", statusReason: "released_too_often", endedAt: expect.any(Date) });
    expect(run).toMatchObject({ state: "FAILED", endReason: "released_too_often" });
    ok(await retryAiJob(engine, WORKSPACE, SOMEBODY, jobId));
    await again();
    expect((await giveBack(held)).job).toMatchObject({ state: "QUEUED", releases: 1 });
  }, 120_000);
});

describe("a job that waits for its children", () => {
  test("is claimed by nobody until all have ended, and then is due at once", async () => {
    const held = await started(engine);
    const { jobId } = held.job;
    const first = await submitted(engine, { parentJobId: jobId });
    const second = await submitted(engine, { parentJobId: jobId });
    expect((await giveBack(held, { untilChildrenEnd: true })).job).toMatchObject({
      state: "QUEUED",
      waitsFor: "CHILDREN",
    });
    ok(await cancel(first.jobId));
    expect(await wakeParents(engine)).toBe(0);
    await expect(claim(engine, jobId)).rejects.toThrow("waits for its children");
    ok(await cancel(second.jobId));
    expect(await wakeParents(engine, [jobId])).toBe(1);
    expect((await records(jobId)).events.at(-1)).toMatchObject({
      type: "STATE_CHANGED",
      actor: "SYSTEM",
      state: "QUEUED",
      previousState: "QUEUED",
      payload: { reason: "children_ended" },
    });
    expect((await claim(engine, jobId)).job.state).toBe("RUNNING");
    expect(await wakeParents(engine)).toBe(0);
  });

  test("is woken by the end of its last child, without a sweep; and at once where it has none", async () => {
    const woken: string[][] = [];
    const hints = new ChildrenHints(
      async (ids) => {
        woken.push([...ids]);
        await wakeParents(engine, ids);
      },
      (error) => expect.unreachable(String(error)),
    );
    const hinting = { ...engine, childrenEnded: (ids: readonly string[]) => hints.hint(ids) };
    const alone = await started(engine);
    ok(await releaseWorkflow(hinting, aGiveBack(alone, { untilChildrenEnd: true })));
    await hints.idle();
    expect((await records(alone.job.jobId)).job).toMatchObject({ state: "QUEUED", waitsFor: null });
    const held = await started(engine);
    const child = await submitted(engine, { parentJobId: held.job.jobId });
    ok(await releaseWorkflow(hinting, aGiveBack(held, { untilChildrenEnd: true })));
    ok(await cancelAiJob(hinting, WORKSPACE, SOMEBODY, { jobId: child.jobId, reason: "enough" }));
    await hints.idle();
    expect((await records(held.job.jobId)).job).toMatchObject({ statusReason: "children_ended", waitsFor: null });
    expect(woken.flat()).toContain(held.job.jobId);
  });

  test("gets no hint of a child whose end was rolled back", async () => {
    const held = await started(engine);
    const child = await submitted(engine, { parentJobId: held.job.jobId });
    const hinted: string[] = [];
    const hinting = { ...engine, childrenEnded: (ids: readonly string[]) => hinted.push(...ids) };
    const end = () => cancelAiJob(hinting, WORKSPACE, SOMEBODY, { jobId: child.jobId, reason: "enough" });
    const atCommit = { at: "at COMMIT, when the job is checked", on: "ai_jobs", when: "COMMIT" } as const;
    await expect(withFault(db, atCommit, await raising(db, "P0001"), end)).rejects.toThrow("injected by a test");
    expect(hinted).toEqual([]);
    ok(await end());
    expect(hinted).toEqual([held.job.jobId]);
  });
});
