import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startWorkflow } from "../../src/claims/start.ts";
import type { EngineContext } from "../../src/engine.ts";
import { AppError, JobPoisonedError, LeaseLostError, TryAgainError } from "../../src/errors.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { statesBefore } from "../../src/jobs/state.ts";
import { MAX_DESCENDANTS } from "../../src/jobs/tree.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSnippet, aStep, engineOn, ok, started, submitted, WORKSPACE } from "../support/engine.ts";
import { faultCalls, raising, withFault } from "../support/faults.ts";
import { aBusyJob, bringTo, FOUND, HOSTILE } from "../support/jobs.ts";
import { insertChildren } from "../support/plain-sql.ts";
import { expectPoisoned, type Records, recordsOfAll, violationsIn } from "../support/records.ts";
import { aJobTree, childIn, manyBelow } from "../support/trees.ts";

/** Poisoning a parent poisons its descendants (section 5). */

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

describe("poisoning a job", () => {
  test("poisons every descendant that has not completed, been cancelled or poisoned, whatever is above it", async () => {
    const { rootId, children, grandchildren, all } = await aJobTree(engine);
    const before = await recordsOf(all);
    const outcome = await poisonJob(engine, WORKSPACE, rootId, FOUND, { guardsRun: 2 });
    const validatorsRunCount = of(before, rootId).job.validatorsRunCount + 2n;
    expect(outcome).toMatchObject({ action: "POISONED", job: { jobId: rootId, validatorsRunCount } });
    const after = await recordsOf(all);
    const poisoned = [...statesBefore("POISONED").map((state) => children[state]), ...grandchildren];
    expect(poisoned).toHaveLength(16);
    for (const jobId of [rootId, ...poisoned]) expectPoisoned(of(after, jobId), of(before, jobId));
    for (const state of ["COMPLETED", "COMPLETED_WITH_ISSUES", "CANCELLED", "POISONED"] as const) {
      expect(of(after, children[state])).toEqual(of(before, children[state]));
    }
  });

  test("tells of each descendant by an event of its own, which names the job where it was found", async () => {
    const rootId = (await started(engine)).job.jobId;
    const failed = await childIn(engine, rootId, "FAILED");
    const awaiting = await childIn(engine, rootId, "AWAITING_USER");
    const running = await childIn(engine, awaiting, "RUNNING");
    await poisonJob(engine, WORKSPACE, rootId, FOUND, { guardsRun: 2 });
    const after = await recordsOf([rootId, failed, awaiting, running]);
    const payload = {
      violation_type: "export",
      description: "This source may not leave.",
      source_id: "doc-1",
      trigger: "paragraph 3",
      guard_name: "a person",
      ace_code: "ACE-013",
      action_taken: "poisoned",
    };
    const transition = (from: string) => ({ job_state_transition: `${from} -> poisoned` });
    const root = of(after, rootId);
    expect(root.events.at(-1)?.payload).toEqual({ ...payload, ...transition("running") });
    for (const [jobId, from] of [
      [failed, "failed"],
      [awaiting, "awaiting_user"],
      [running, "running"],
    ] as const) {
      const { job, runs, events } = of(after, jobId);
      expect(violationsIn({ job, runs, events, labels: [], nodes: [], questions: [] })).toHaveLength(1);
      expect(events.at(-1)?.payload).toEqual({ ...payload, source_job_id: rootId, ...transition(from) });
      expect(job).toMatchObject({
        statusReason: "poisoned: export",
        errorMessage: `a person (ACE-013): This source may not leave. Found in job ${rootId}, which this one descends from.`,
        // The guards ran over the content of the other job.
        validatorsRunCount: 0n,
      });
    }
    // One transaction, and so one place in the log.
    expect(new Set([...after.values()].map(({ job }) => job.orderXid)).size).toBe(1);
  });

  test("poisons nothing above it, and nothing beside it", async () => {
    const root = (await started(engine)).job.jobId;
    const [source, beside] = [await childIn(engine, root, "RUNNING"), await childIn(engine, root, "RUNNING")];
    const below = await childIn(engine, source, "RUNNING");
    const nephew = await childIn(engine, beside, "QUEUED");
    const all = [root, source, beside, below, nephew];
    const before = await recordsOf(all);
    await poisonJob(engine, WORKSPACE, source, FOUND);
    const after = await recordsOf(all);
    for (const jobId of [source, below]) expectPoisoned(of(after, jobId), of(before, jobId));
    for (const jobId of [root, beside, nephew]) expect(of(after, jobId)).toEqual(of(before, jobId));
    expect(of(after, below).events.at(-1)?.payload).toMatchObject({ source_job_id: source });
  });

  test.each(["COMPLETED", "COMPLETED_WITH_ISSUES", "CANCELLED", "POISONED"] as const)(
    "that is %s already leaves what is below it alone",
    async (state) => {
      const below: string[] = [];
      const root = (await submitted(engine)).jobId;
      const jobId = await childIn(engine, root, state, async (parent) => {
        below.push(await childIn(engine, parent, "RUNNING"));
      });
      const before = await recordsOf(below);
      const { action } = await poisonJob(engine, WORKSPACE, jobId, FOUND);
      expect(action).toBe(state === "POISONED" ? "ALREADY_POISONED" : "RECORDED");
      expect(await recordsOf(below)).toEqual(before);
    },
  );

  test("that a precondition keeps from it leaves what is below it alone; the precondition sees the job that was named", async () => {
    const rootId = (await started(engine)).job.jobId;
    const all = [rootId, await childIn(engine, rootId, "QUEUED"), await childIn(engine, rootId, "RUNNING")];
    const before = await recordsOf(all);
    const refusal = new LeaseLostError();
    const seen: string[] = [];
    const outcome = await poisonJob(engine, WORKSPACE, rootId, FOUND, {
      precondition: async (_tx, job) => {
        seen.push(job.jobId);
        return refusal;
      },
    });
    expect(outcome).toEqual({ action: "REFUSED", refusal });
    expect(seen).toEqual([rootId]);
    expect(await recordsOf(all)).toEqual(before);
  });

  test("takes as many statements for 200 descendants as for two", async () => {
    const poison = async (count: number) => {
      const { jobId } = (await aBusyJob(engine)).job;
      const below = await manyBelow(db.prisma, jobId, count);
      db.statements();
      expect(await poisonJob(engine, WORKSPACE, jobId, FOUND)).toMatchObject({ action: "POISONED" });
      const statements = db.statements().length;
      const records = await recordsOf(below);
      expect([...records.values()].filter(({ job }) => job.state === "POISONED")).toHaveLength(2 * count);
      return statements;
    };
    const forTwo = await poison(1);
    expect(forTwo).toBeGreaterThan(5);
    expect(await poison(100)).toBe(forTwo);
  });

  test("poisons as many descendants as a job can have", async () => {
    const { jobId } = await submitted(engine);
    await db.prisma.$transaction((tx) => insertChildren(tx, jobId, MAX_DESCENDANTS));
    expect(await poisonJob(engine, WORKSPACE, jobId, FOUND)).toMatchObject({ action: "POISONED" });
    const poisoned = { rootJobId: jobId, state: "POISONED", version: 2 } as const;
    expect(await db.prisma.aiJob.count({ where: poisoned })).toBe(MAX_DESCENDANTS);
  });

  test("keeps nothing, of any of them, where the event of one descendant fails; it can be sent again", async () => {
    const rootId = (await aBusyJob(engine)).job.jobId;
    const child = await childIn(engine, rootId, "RUNNING");
    const all = [rootId, child, await childIn(engine, rootId, "QUEUED"), await childIn(engine, child, "STALLED")];
    const before = await recordsOf(all);
    const point = { at: "", on: "flight_recorder_events", when: "AFTER ROW" } as const;
    const fault = await raising(db, "40001");
    const body = `IF NEW.job_id = '${child}' THEN ${fault}; END IF`;
    await withFault(db, point, body, () =>
      expect(poisonJob(engine, WORKSPACE, rootId, FOUND)).rejects.toThrow(TryAgainError),
    );
    expect(await faultCalls(db)).toBe(4);
    expect(await recordsOf(all)).toEqual(before);
    expect(await poisonJob(engine, WORKSPACE, rootId, FOUND)).toMatchObject({ action: "POISONED" });
    const after = await recordsOf(all);
    for (const jobId of all) expectPoisoned(of(after, jobId), of(before, jobId));
  });
});

describe("when a guard finds something in a parent", () => {
  test("while it starts, its queued children are poisoned as well, and nobody gets them", async () => {
    const { jobId: parentJobId } = await submitted(engine, { jobInputs: { text: HOSTILE } });
    const child = await submitted(engine, { parentJobId });
    const start = (jobId: string) => startWorkflow(engine, WORKSPACE, { jobId, workerId: "w", leaseSeconds: 30 });
    expect(await start(parentJobId)).toMatchObject({ violation: { aceCode: "ACE-014" } });
    expect(await start(child.jobId)).toBeInstanceOf(JobPoisonedError);
  });

  test("while it runs, workers that are busy with descendants are told STOP_POISONED at their next call", async () => {
    const parent = await started(engine);
    const child = await aBusyJob(engine, { parentJobId: parent.job.jobId });
    const grandchild = await started(engine, { parentJobId: child.job.jobId });
    const retrievedSnippets = [aSnippet(HOSTILE, "mail-7")];
    const answer = ok(await advanceWorkflow(engine, { ...aStep(parent, "read"), retrievedSnippets }));
    expect(answer).toMatchObject({ violation: { sourceId: "mail-7" }, job: { jobId: parent.job.jobId } });

    const late = await advanceWorkflow(engine, aStep(child, "write", { outcome: "SUCCEEDED" }));
    expect(late).toBeInstanceOf(JobPoisonedError);
    expect(late).toMatchObject({ directive: "STOP_POISONED" });
    const { run, leaseToken } = grandchild;
    const heartbeat = { workflowRunId: run.id, leaseToken, leaseSeconds: 30, metrics: NO_METRICS };
    const [beat] = await heartbeatWorkflows(engine, [heartbeat]);
    expect(beat).toMatchObject({ directive: "STOP_POISONED", leaseExpiresAt: null });
  });

  test("whose worker has lost its lease, nothing of the tree is poisoned", async () => {
    const parent = await started(engine);
    const child = await submitted(engine, { parentJobId: parent.job.jobId });
    await bringTo(engine, parent.job.jobId, "FAILED");
    const before = await recordsOf([parent.job.jobId, child.jobId]);
    const retrievedSnippets = [aSnippet(HOSTILE, "mail-7")];
    expect(await advanceWorkflow(engine, { ...aStep(parent, "read"), retrievedSnippets })).toBeInstanceOf(AppError);
    expect(await recordsOf([parent.job.jobId, child.jobId])).toEqual(before);
  });
});
