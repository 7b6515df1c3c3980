import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { claimAiJobs } from "../../src/claims/claim.ts";
import type { ClaimAiJobs, Claimed } from "../../src/claims/request.ts";
import type { Prisma } from "../../src/db/generated/client/client.ts";
import { newRotation } from "../../src/engine.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { bringTo, HOSTILE } from "../support/jobs.ts";

let database: TestDatabase;
let engine: ReturnType<typeof engineOn>;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());
/** Every test has a workspace of its own, and claims from nothing else unless it says so. */
let workspaceId: string;
beforeEach(() => {
  engine = engineOn(database, { rotation: newRotation() });
  workspaceId = randomUUID();
});

async function submit(more: Parameters<typeof aSubmit>[0] = {}, workspace = workspaceId): Promise<string> {
  return ok(await submitAiJob(engine, workspace, SOMEBODY, aSubmit(more))).job.jobId;
}

function claim(more: Partial<ClaimAiJobs> = {}): Promise<Claimed> {
  return claimAiJobs(engine, {
    workerId: "worker-1",
    leaseSeconds: 30,
    workspaceId,
    jobKinds: null,
    limit: 1,
    ...more,
  });
}

async function taken(more: Partial<ClaimAiJobs> = {}): Promise<string[]> {
  return (await claim(more)).claims.map(({ job }) => job.jobId);
}

describe("a claim", () => {
  test("of nothing that is due takes nothing, and writes nothing", async () => {
    expect(await claim({ limit: 100 })).toEqual({ claims: [], poisoned: [] });
  });

  test("gives each job a run, a lease, an attempt and a token that works", async () => {
    const jobId = await submit();
    const [one] = (await claim({ limit: 5, leaseSeconds: 60 })).claims;
    expect(one?.job).toMatchObject({ jobId, state: "RUNNING", attempt: 1, version: 2, workflowRunId: one?.run.id });
    expect(one?.run).toMatchObject({ jobId, workerId: "worker-1", state: "RUNNING", attempt: 1 });
    const until = (one?.run.leaseExpiresAt?.getTime() ?? 0) - (one?.run.startedAt.getTime() ?? 0);
    expect(until).toBe(60_000);
    const [done] = await completeWorkflows(engine, [
      {
        workflowRunId: one?.run.id ?? "",
        leaseToken: one?.leaseToken ?? "",
        jobOutputs: null,
        writtenEntities: [],
        issues: [],
        metrics: {
          durationMs: 0,
          inputTokens: 0,
          outputTokens: 0,
          tokensPlanner: 0,
          tokensExecutor: 0,
          entitiesRead: 0,
          entitiesWritten: 0,
          validatorsRunCount: 0,
        },
      },
    ]);
    expect(done).toMatchObject({ job: { state: "COMPLETED", version: 3 } });
  });

  test("takes by priority, then by age", async () => {
    const old = await submit();
    const young = await submit();
    const urgent = await submit({ priority: 5 });
    const min = await submit({ priority: -1 });
    expect(await taken({ limit: 2 })).toEqual([urgent, old]);
    expect(await taken({ limit: 9 })).toEqual([young, min]);
  });

  test("takes only kinds that the worker can do", async () => {
    await submit({ jobKind: "DOC_EDIT", priority: 9 });
    const sheet = await submit({ jobKind: "SHEET_TRANSFORM" });
    const terminal = await submit({ jobKind: "TERMINAL_EXEC", priority: 1 });
    expect(await taken({ limit: 9, jobKinds: ["SHEET_TRANSFORM", "TERMINAL_EXEC"] })).toEqual([terminal, sheet]);
  });

  test("leaves what is to run later, and takes it when its time has come, in its order", async () => {
    await submit({ runAfter: new Date(Date.now() + 3_600_000), priority: 9 });
    const due = await submit({ runAfter: new Date(Date.now() - 1000), priority: 3 });
    const ready = await submit({ priority: 1 });
    const urgent = await submit({ priority: 5 });
    expect(await taken({ limit: 9 })).toEqual([urgent, due, ready]);
  });

  test("takes no job twice", async () => {
    const ids = await Promise.all(Array.from({ length: 7 }, () => submit()));
    const all = [...(await taken({ limit: 3 })), ...(await taken({ limit: 3 })), ...(await taken({ limit: 3 }))];
    expect(all.toSorted()).toEqual(ids.toSorted());
    expect(await taken({ limit: 3 })).toEqual([]);
  });

  test("poisons the jobs whose inputs trip a guard, and hands out the others", async () => {
    const clean = await submit({ jobInputs: { text: "A calm text." } });
    const hostile = await submit({ jobInputs: { text: HOSTILE } });
    const { claims, poisoned } = await claim({ limit: 9 });
    expect(claims.map(({ job }) => job.jobId)).toEqual([clean]);
    expect(poisoned.map(({ jobId, state }) => ({ jobId, state }))).toEqual([{ jobId: hostile, state: "POISONED" }]);
  });

  test("fails a job that its profile no longer allows, with the denial on record, and hands out the others", async () => {
    await database.prisma.capabilityProfile.create({
      data: { id: workspaceId, capabilities: ["doc.summarize"], jobKinds: [] },
    });
    const denied = await submit({ capabilityProfileId: workspaceId });
    const allowed = await submit();
    await database.prisma.capabilityProfile.update({ where: { id: workspaceId }, data: { capabilities: [] } });
    expect(await taken({ limit: 9 })).toEqual([allowed]);
    const job = await database.prisma.aiJob.findUniqueOrThrow({ where: { jobId: denied } });
    expect(job).toMatchObject({ state: "FAILED", statusReason: "capability_denied: doc.summarize", version: 2 });
  });

  test("leaves a job that was sent back to the worker that had it, for a while", async () => {
    const jobId = await submit();
    await bringTo(engine, jobId, "QUEUED", {
      preferredWorkerId: "worker-7",
      preferredUntil: new Date(Date.now() + 60_000),
    });
    expect(await taken()).toEqual([]);
    expect(await taken({ workerId: "worker-7" })).toEqual([jobId]);
    const other = await submit();
    await bringTo(engine, other, "QUEUED", { preferredWorkerId: "worker-7", preferredUntil: new Date(0) });
    expect(await taken()).toEqual([other]);
  });
});

describe("workspaces have their turns", () => {
  const everywhere = { workspaceId: null } as const;

  test("one with many jobs leaves room for the others", async () => {
    // What other tests of this file left queued would have its turn, too.
    await claim({ ...everywhere, limit: 100 });
    const [big, small, tiny] = [randomUUID(), randomUUID(), randomUUID()];
    for (let at = 0; at < 12; at++) await submit({ priority: 9 }, big);
    for (let at = 0; at < 3; at++) await submit({}, small);
    await submit({}, tiny);
    const { claims } = await claim({ ...everywhere, limit: 7 });
    const count = (id: string) => claims.filter(({ job }) => job.workspaceId === id).length;
    expect([count(big), count(small), count(tiny)]).toEqual([3, 3, 1]);
    expect((await claim({ ...everywhere, limit: 100 })).claims).toHaveLength(9);
  });

  test("one after the other where a claim takes one job only", async () => {
    const ids = [randomUUID(), randomUUID(), randomUUID()].toSorted();
    for (const id of ids) for (let at = 0; at < 3; at++) await submit({}, id);
    const order: string[] = [];
    for (let at = 0; at < 9; at++) {
      const [one] = (await claim({ ...everywhere, limit: 1 })).claims;
      order.push(one?.job.workspaceId ?? "none");
    }
    expect(order).toEqual([...ids, ...ids, ...ids]);
  });

  test("a worker that names one gets nothing of the others", async () => {
    await submit({}, randomUUID());
    expect(await taken({ limit: 100 })).toEqual([]);
  });
});

describe("quotas", () => {
  async function limit(more: Partial<Prisma.QuotaUncheckedCreateInput>): Promise<void> {
    const id = randomUUID();
    await database.prisma.quota.create({
      data: { id, workspaceId, resource: "ACTIVE_JOBS", max: 2n, ...more },
    });
  }

  test("a claim takes no more than a quota of active jobs lets it, and passes over its workspace after that", async () => {
    for (let at = 0; at < 5; at++) await submit();
    await limit({});
    expect(await taken({ limit: 9 })).toHaveLength(2);
    expect(await taken({ limit: 9 })).toHaveLength(0);
    const other = randomUUID();
    const jobId = await submit({}, other);
    const { claims } = await claim({ workspaceId: null, limit: 100 });
    expect(claims.map(({ job }) => job.workspaceId)).not.toContain(workspaceId);
    expect(claims.map(({ job }) => job.jobId)).toContain(jobId);
  });

  test("one of a capability profile holds back the jobs of that profile only", async () => {
    await submit();
    const terminal = await submit({ jobKind: "TERMINAL_EXEC" });
    await limit({ capabilityProfileId: "default", max: 0n });
    expect(await taken({ limit: 9 })).toEqual([terminal]);
  });

  test("racing claims do not pass it", async () => {
    for (let at = 0; at < 12; at++) await submit();
    await limit({ max: 3n });
    const all = await Promise.all(Array.from({ length: 8 }, () => taken({ limit: 2 })));
    expect(all.flat()).toHaveLength(3);
  });
});

describe("the number of statements", () => {
  test.each([1, 10, 100])("of a claim of %i jobs does not grow with them", async (limit) => {
    for (let at = 0; at < limit; at++) await submit({ jobInputs: { text: "calm" } });
    database.statements();
    expect((await claim({ limit })).claims).toHaveLength(limit);
    expect(database.statements().length).toBeLessThanOrEqual(7);
  });
});
