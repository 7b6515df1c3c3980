import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startWorkflow } from "../../src/claims/start.ts";
import { JobKind } from "../../src/db/generated/client/enums.ts";
import { metricsOf } from "../../src/db/metrics.ts";
import type { EngineContext } from "../../src/engine.ts";
import { IdempotencyConflictError, UnknownCapabilityError } from "../../src/errors.ts";
import type { SubmitAiJob } from "../../src/jobs/draft.ts";
import { type Submitted, submitAiJob } from "../../src/jobs/submit.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY, submitted, WORKSPACE } from "../support/engine.ts";
import { labelsIn } from "../support/labels.ts";
import { expectSound, recordsOf } from "../support/records.ts";

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const submit = (more: Partial<SubmitAiJob>, workspaceId = WORKSPACE) =>
  submitAiJob(engine, workspaceId, SOMEBODY, aSubmit(more));
const jobsIn = (workspaceId: string) => db.prisma.aiJob.count({ where: { workspaceId } });

/** Every value of a submit but those that a test gives by itself: a new one does not compile until it is here. */
const EVERYTHING: Omit<
  SubmitAiJob,
  "parentJobId" | "runAfter" | "tokenBudget" | "costBudgetMicros" | "idempotencyKey"
> = {
  jobKind: "DOC_EDIT",
  protocolId: "edit/2",
  profileId: "careful",
  capabilityProfileId: "default",
  accessMode: "APPLY_SCOPED",
  safetyMode: "STRICT",
  modelTier: "CLOUD",
  entityRefs: [
    { entityKind: "document", entityId: "d-1" },
    { entityKind: "document", entityId: "d-2", selector: "§ 4" },
  ],
  plannedOperations: [
    { opType: "WRITE", target: { entityKind: "document", entityId: "d-1" }, description: "Fix the typing errors." },
    { opType: "READ", target: { entityKind: "document", entityId: "d-2", selector: "§ 4" } },
  ],
  jobInputs: { text: "naïve 日本語 😀", nested: [{ a: null }], n: 2 ** 53 - 1, "": 0 },
  priority: -7,
  maxAttempts: 9,
  labels: [
    { key: "team", value: "search" },
    { key: "env", value: "" },
  ],
};

describe("a job that is submitted", () => {
  test("is stored as it was submitted: queued, version 1, with zero metrics and its one event", async () => {
    const runAfter = new Date("2031-05-06T07:08:09.123Z");
    const { job, deduplicated } = ok(await submit({ ...EVERYTHING, runAfter, idempotencyKey: "everything" }));
    expect(deduplicated).toBe(false);
    const stored = await recordsOf(db.prisma, job.jobId);
    expectSound(stored);
    expect(stored.runs).toEqual([]);
    const { labels, ...columns } = EVERYTHING;
    expect(await labelsIn(db.prisma, job.jobId)).toEqual(labels?.toSorted((one, two) => (one.key < two.key ? -1 : 1)));
    expect(stored.job).toMatchObject({
      ...columns,
      submittedBy: "anonymous",
      labelCount: 2,
      plannedOperations: [
        { opType: "write", target: { entityKind: "document", entityId: "d-1" }, description: "Fix the typing errors." },
        { opType: "read", target: { entityKind: "document", entityId: "d-2", selector: "§ 4" }, description: null },
      ],
      workspaceId: WORKSPACE,
      runAfter,
      idempotencyKey: "everything",
      state: "QUEUED",
      statusReason: "submitted",
      errorMessage: null,
      jobOutputs: null,
      issues: [],
      attempt: 0,
      version: 1,
      workflowRunId: null,
      parentJobId: null,
      completedAt: null,
    });
    expect(Object.values(metricsOf(stored.job)).every((value) => value === 0n)).toBe(true);
    expect(stored.job.createdAt).toEqual(stored.job.updatedAt);
    expect(stored.events).toMatchObject([
      {
        type: "JOB_SUBMITTED",
        actor: "HUMAN",
        actorId: "anonymous",
        state: "QUEUED",
        previousState: null,
        capabilityId: "doc.summarize",
        workflowRunId: null,
        traceId: stored.job.traceId,
        payload: { job_kind: "doc_edit", protocol_id: "edit/2", capability_profile_id: "default" },
      },
    ]);
    // What the caller is given is what is stored.
    expect(job).toMatchObject({ jobId: stored.job.jobId, version: 1, chainHash: stored.job.chainHash });
  });

  test.each(Object.values(JobKind))("as %s gets the profile of its kind where none is named", async (jobKind) => {
    const job = await submitted(engine, { jobKind });
    expect(job.capabilityProfileId).toBe(jobKind === "TERMINAL_EXEC" ? "terminal" : "default");
    const { events } = await recordsOf(db.prisma, job.jobId);
    expect(events[0]?.capabilityId).toBe(jobKind === "TERMINAL_EXEC" ? "term.exec" : "doc.summarize");
  });

  test("keeps a JSON null as no value", async () => {
    const job = await submitted(engine, { jobInputs: null });
    const [row] = await db.prisma.$queryRaw<{ missing: boolean }[]>`
      SELECT job_inputs IS NULL AS missing FROM ai_jobs WHERE job_id = ${job.jobId}::uuid`;
    expect(row).toEqual({ missing: true });
  });

  test("keeps keys such as __proto__ as they are", async () => {
    const jobInputs: SubmitAiJob["jobInputs"] = JSON.parse('{"__proto__":{"polluted":true},"constructor":1}');
    const job = await submitted(engine, { jobInputs });
    const [row] = await db.prisma.$queryRaw<{ stored: string }[]>`
      SELECT job_inputs::text AS stored FROM ai_jobs WHERE job_id = ${job.jobId}::uuid`;
    expect(row?.stored).toBe('{"__proto__": {"polluted": true}, "constructor": 1}');
    expect("polluted" in {}).toBe(false);
  });
});

describe("a workspace", () => {
  test("is made by the first job in it, once, however many come at the same time", async () => {
    const workspaceId = randomUUID();
    const results = await Promise.all(Array.from({ length: 20 }, () => submit({}, workspaceId)));
    expect(new Set(results.map((result) => ok(result).job.jobId)).size).toBe(20);
    expect(await db.prisma.workspace.count({ where: { workspaceId } })).toBe(1);
    expect(await jobsIn(workspaceId)).toBe(20);
  });

  test("is not made by a submit that is refused", async () => {
    const workspaceId = randomUUID();
    const answer = await submit({ capabilityProfileId: "omnipotent" }, workspaceId);
    expect(answer).toBeInstanceOf(UnknownCapabilityError);
    expect(answer).toMatchObject({ code: "UNKNOWN_CAPABILITY", message: expect.stringContaining("HSK-4001") });
    expect(await db.prisma.workspace.count({ where: { workspaceId } })).toBe(0);
  });
});

describe("an idempotency key", () => {
  test("gives the same job back for the same input, whatever the order of its keys, and changes nothing", async () => {
    const key = { idempotencyKey: "same" };
    const first = ok(await submit({ ...key, jobInputs: { a: 1, b: { c: 2, d: [3] } } }));
    const before = await recordsOf(db.prisma, first.job.jobId);
    const again = ok(await submit({ ...key, jobInputs: { b: { d: [3], c: 2 }, a: 1 } }));
    expect(again).toMatchObject({ deduplicated: true, job: { jobId: first.job.jobId } });
    expect(await recordsOf(db.prisma, first.job.jobId)).toEqual(before);
  });

  test("gives the job back as it is by now", async () => {
    const key = { idempotencyKey: "later" };
    const { jobId } = ok(await submit(key)).job;
    await startWorkflow(engine, WORKSPACE, { jobId, workerId: "worker-1", leaseSeconds: 30 });
    expect(ok(await submit(key))).toMatchObject({ deduplicated: true, job: { jobId, state: "RUNNING", attempt: 1 } });
  });

  const others: readonly [string, Partial<SubmitAiJob>][] = [
    ["kind", { jobKind: "DOC_SUMMARIZE" }],
    ["protocol", { protocolId: "edit/3" }],
    ["profile", { profileId: "hasty" }],
    ["capability profile", { capabilityProfileId: null }],
    ["access mode", { accessMode: "PREVIEW_ONLY" }],
    ["safety mode", { safetyMode: "NORMAL" }],
    ["model tier", { modelTier: "LOCAL" }],
    ["entities", { entityRefs: [] }],
    ["operations", { plannedOperations: [] }],
    ["inputs", { jobInputs: { text: "other" } }],
    ["priority", { priority: 0 }],
    ["due time", { runAfter: new Date("2030-01-01T00:00:00.001Z") }],
    ["attempts", { maxAttempts: 8 }],
  ];
  test.each(others)("with another %s is a conflict, and makes no job", async (name, other) => {
    const workspaceId = randomUUID();
    const runAfter = new Date("2030-01-01T00:00:00.000Z");
    const first = { ...EVERYTHING, runAfter, idempotencyKey: name };
    ok(await submit(first, workspaceId));
    expect(await submit({ ...first, ...other }, workspaceId)).toBeInstanceOf(IdempotencyConflictError);
    expect(ok(await submit(first, workspaceId)).deduplicated).toBe(true);
    expect(await jobsIn(workspaceId)).toBe(1);
  });

  test("is of its workspace: another one's makes another job", async () => {
    const idempotencyKey = "everywhere";
    const [one, two] = [randomUUID(), randomUUID()];
    const first = ok(await submit({ idempotencyKey }, one));
    const second = ok(await submit({ idempotencyKey, priority: 3 }, two));
    expect(second).toMatchObject({ deduplicated: false, job: { workspaceId: two } });
    expect(second.job.jobId).not.toBe(first.job.jobId);
  });

  test("sent 20 times at once makes one job", async () => {
    const workspaceId = randomUUID();
    const same = { idempotencyKey: "at once", jobInputs: { text: "x" } };
    const results = await Promise.all(Array.from({ length: 20 }, () => submit(same, workspaceId)));
    const all = results.map((result): Submitted => ok(result));
    const made = new Set(all.map(({ job }) => job.jobId));
    expect(made.size).toBe(1);
    expect(all.filter(({ deduplicated }) => !deduplicated)).toHaveLength(1);
    expect(await jobsIn(workspaceId)).toBe(1);
    for (const jobId of made) expectSound(await recordsOf(db.prisma, jobId));
  });

  test("sent 20 times at once with two inputs makes one job; the other input is told of the conflict", async () => {
    const workspaceId = randomUUID();
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) => submit({ idempotencyKey: "two", priority: index % 2 }, workspaceId)),
    );
    const conflicts = results.map((result) => result instanceof IdempotencyConflictError);
    expect(conflicts.filter(Boolean)).toHaveLength(10);
    // All of one input were answered alike.
    expect(new Set(conflicts.filter((_, index) => index % 2 === 0)).size).toBe(1);
    expect(await jobsIn(workspaceId)).toBe(1);
  });
});
