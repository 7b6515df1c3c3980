import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Prisma } from "../../src/db/generated/client/client.ts";
import { inTransaction } from "../../src/db/transaction.ts";
import type { EngineContext } from "../../src/engine.ts";
import { IllegalTransitionError, JobPoisonedError, NotFoundError } from "../../src/errors.ts";
import { cancelAiJob, cancelLockedJobs } from "../../src/jobs/cancel.ts";
import { lockJobs } from "../../src/jobs/lock.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { statesBefore } from "../../src/jobs/state.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { EVERYWHERE, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { aBusyJob } from "../support/jobs.ts";
import { expectSound, type Records, recordsOfAll } from "../support/records.ts";
import { aJobTree, childIn, manyBelow } from "../support/trees.ts";

/** Cancelling a parent can include its children. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const recordsOf = (jobIds: readonly string[]) => recordsOfAll(db.prisma, jobIds);

function of(all: ReadonlyMap<string, Records>, jobId: string): Records {
  const records = all.get(jobId);
  if (!records) throw new Error("A job was lost.");
  return records;
}

function cancel(jobId: string, includeChildren: boolean, workspaceId = WORKSPACE) {
  const reason = "no longer needed: Bearer 0123456789abcdef";
  return cancelAiJob(engine, workspaceId, SOMEBODY, { jobId, reason, includeChildren });
}

function expectCancelled(after: Records, before: Records, payload: object): void {
  expectSound(after);
  const cancelled = { state: "CANCELLED", statusReason: "cancelled", jobOutputs: null, runAfter: null };
  const { jobInputs, entityRefs, plannedOperations, errorMessage } = before.job;
  expect(after.job).toMatchObject({ ...cancelled, jobInputs, entityRefs, plannedOperations, errorMessage });
  expect(after.job.version).toBe(before.job.version + 1);
  for (const kind of ["runs", "nodes"] as const) {
    expect(after[kind].map(({ state }) => state)).toEqual(
      before[kind].map(({ state, finishedAt }) => (finishedAt === null ? "CANCELLED" : state)),
    );
    for (const { finishedAt } of after[kind]) expect(finishedAt).not.toBeNull();
  }
  const event = after.events.at(-1);
  expect(event).toMatchObject({ type: "STATE_CHANGED", actor: "HUMAN", previousState: before.job.state });
  expect(event?.payload).toEqual({ reason: "cancelled", detail: "no longer needed: [redacted]", ...payload });
}

describe("a cancellation that includes children", () => {
  test("cancels every descendant that may be cancelled, whatever is above it; the others stand", async () => {
    const { rootId, children, grandchildren, all } = await aJobTree(engine);
    const before = await recordsOf(all);
    const answer = ok(await cancel(rootId, true));
    expect(answer).toMatchObject({ jobId: rootId, state: "CANCELLED" });
    const after = await recordsOf(all);
    expectCancelled(of(after, rootId), of(before, rootId), {});
    const cancelled = [...statesBefore("CANCELLED").map((state) => children[state]), ...grandchildren];
    expect(cancelled).toHaveLength(15);
    for (const jobId of cancelled) expectCancelled(of(after, jobId), of(before, jobId), { cancelled_with: rootId });
    for (const state of ["COMPLETED", "COMPLETED_WITH_ISSUES", "FAILED", "CANCELLED", "POISONED"] as const) {
      expect(of(after, children[state])).toEqual(of(before, children[state]));
    }
    // One transaction, and so one place in the log.
    expect(new Set([rootId, ...cancelled].map((id) => of(after, id).job.orderXid)).size).toBe(1);
  });

  test("cancels nothing above the job, and nothing beside it", async () => {
    const root = (await started(engine)).job.jobId;
    const [named, beside] = [await childIn(engine, root, "RUNNING"), await childIn(engine, root, "RUNNING")];
    const below = await childIn(engine, named, "QUEUED");
    const before = await recordsOf([root, beside]);
    ok(await cancel(named, true));
    expect(await recordsOf([root, beside])).toEqual(before);
    expect(of(await recordsOf([below]), below).job.state).toBe("CANCELLED");
  });

  test.each(["COMPLETED", "COMPLETED_WITH_ISSUES", "FAILED", "CANCELLED", "POISONED"] as const)(
    "of a job that is %s is refused, and changes nothing below it",
    async (state) => {
      const below: string[] = [];
      const jobId = await childIn(engine, (await submitted(engine)).jobId, state, async (parent) => {
        below.push(await childIn(engine, parent, "RUNNING"));
      });
      const before = await recordsOf([jobId, ...below]);
      const answer = await cancel(jobId, true);
      expect(answer).toBeInstanceOf(state === "POISONED" ? JobPoisonedError : IllegalTransitionError);
      expect(await recordsOf([jobId, ...below])).toEqual(before);
    },
  );

  test("of another workspace's job, or of none, finds none, and changes nothing below it", async () => {
    const { jobId } = await submitted(engine);
    const child = await submitted(engine, { parentJobId: jobId });
    const before = await recordsOf([jobId, child.jobId]);
    expect(await cancel(jobId, true, randomUUID())).toBeInstanceOf(NotFoundError);
    expect(await cancel(randomUUID(), true)).toBeInstanceOf(NotFoundError);
    expect(await recordsOf([jobId, child.jobId])).toEqual(before);
  });

  test("takes as many statements for 200 descendants as for two", async () => {
    const measure = async (count: number) => {
      const { jobId } = (await aBusyJob(engine)).job;
      const below = await manyBelow(db.prisma, jobId, count);
      await aBusyJob(engine, { parentJobId: jobId });
      db.statements();
      ok(await cancel(jobId, true));
      const statements = db.statements().length;
      const states = [...(await recordsOf(below)).values()].map(({ job }) => job.state);
      expect(states).toEqual(below.map(() => "CANCELLED"));
      return statements;
    };
    const forTwo = await measure(1);
    expect(forTwo).toBeGreaterThan(3);
    expect(await measure(100)).toBe(forTwo);
  });

  test("tells a worker that is busy with a descendant STOP_CANCELLED at its next call", async () => {
    const { jobId } = await submitted(engine);
    const { run, leaseToken } = await started(engine, { parentJobId: jobId });
    ok(await cancel(jobId, true));
    const heartbeat = { workflowRunId: run.id, leaseToken, leaseSeconds: 30, metrics: NO_METRICS };
    const [beat] = await heartbeatWorkflows(engine, [heartbeat]);
    expect(beat).toMatchObject({ directive: "STOP_CANCELLED", leaseExpiresAt: null });
  });
});

test("a cancellation that does not include children leaves them as they are", async () => {
  const root = (await started(engine)).job.jobId;
  const child = await childIn(engine, root, "RUNNING");
  const below = [child, await childIn(engine, root, "QUEUED"), await childIn(engine, child, "QUEUED")];
  const before = await recordsOf(below);
  ok(await cancel(root, false));
  expect(await recordsOf(below)).toEqual(before);
});

test("jobs that are locked are cancelled together, each with its own event, in as many statements for 20 as for one", async () => {
  const cancelAll = async (jobIds: readonly string[]) => {
    db.statements();
    const cancelled = await inTransaction(engine, EVERYWHERE, async (tx) => {
      const jobs = [...(await lockJobs(tx, Prisma.sql`job_id = ANY(${jobIds}::uuid[])`)).values()];
      return cancelLockedJobs(tx, jobs, SOMEBODY, "no longer needed: [redacted]");
    });
    const statements = db.statements().length;
    expect(cancelled.map(({ job: { jobId, state } }) => [jobId, state])).toEqual(
      jobIds.toSorted().map((id) => [id, "CANCELLED"]),
    );
    return statements;
  };
  const one = (await aBusyJob(engine)).job.jobId;
  const many = [(await aBusyJob(engine)).job.jobId];
  for (let count = 1; count < 20; count++) many.push((await submitted(engine)).jobId);
  const before = await recordsOf([one, ...many]);
  const forOne = await cancelAll([one]);
  expect(await cancelAll(many)).toBe(forOne);
  const after = await recordsOf([one, ...many]);
  for (const jobId of [one, ...many]) expectCancelled(of(after, jobId), of(before, jobId), {});
});
