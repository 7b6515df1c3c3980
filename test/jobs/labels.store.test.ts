import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { claimAiJobs } from "../../src/claims/claim.ts";
import { startWorkflow } from "../../src/claims/start.ts";
import type { EngineContext } from "../../src/engine.ts";
import { CapabilityDeniedError, IdempotencyConflictError } from "../../src/errors.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY, submitted, WORKSPACE } from "../support/engine.ts";
import { HOSTILE } from "../support/jobs.ts";
import { labelsIn } from "../support/labels.ts";

/** Labels as a submit writes them, as children get them, and as guards see them (section 14). */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const TEAM = { key: "team", value: "search" };
const ENV = { key: "env", value: "" };

const labelsOf = ({ jobId }: { readonly jobId: string }) => labelsIn(db.prisma, jobId);

describe("a submit with labels", () => {
  test("is one statement that writes, as one without, which looks at none", async () => {
    await submitted(engine);
    await submitted(engine, { labels: [TEAM, ENV] });
    db.statements();
    await submitted(engine);
    const [, plain = ""] = db.statements();
    await submitted(engine, { labels: [TEAM, ENV] });
    const statements = db.statements();
    expect(statements).toHaveLength(2);
    expect(statements[1]).toContain("INSERT INTO job_labels");
    expect(plain).toContain("INSERT INTO ai_jobs");
    expect(plain).not.toContain("job_labels");
  });

  test("that is sent again with its labels in another order is the same, and with others another one", async () => {
    const idempotencyKey = "the labelled one";
    const first = await submitted(engine, { idempotencyKey, labels: [TEAM, ENV] });
    const again = await submitAiJob(engine, WORKSPACE, SOMEBODY, aSubmit({ idempotencyKey, labels: [ENV, TEAM] }));
    expect(again).toMatchObject({ deduplicated: true, job: { jobId: first.jobId } });
    for (const labels of [null, [TEAM], [TEAM, { ...ENV, value: "prod" }]])
      expect(await submitAiJob(engine, WORKSPACE, SOMEBODY, aSubmit({ idempotencyKey, labels }))).toBeInstanceOf(
        IdempotencyConflictError,
      );
    expect(await labelsOf(first)).toEqual([ENV, TEAM]);
  });

  test("that is denied keeps them with the failed job", async () => {
    const denied = await submitAiJob(
      engine,
      WORKSPACE,
      SOMEBODY,
      aSubmit({ jobKind: "TERMINAL_EXEC", capabilityProfileId: "default", labels: [TEAM] }),
    );
    if (!(denied instanceof CapabilityDeniedError)) throw new Error("The default profile grants no terminal.");
    expect(await labelsOf(denied.job)).toEqual([TEAM]);
  });
});

describe("a child", () => {
  test("without labels gets all of its parent's, at every depth, and its own list time", async () => {
    const parent = await submitted(engine, { labels: [TEAM, ENV] });
    const child = await submitted(engine, { parentJobId: parent.jobId });
    const grandchild = await submitted(engine, { parentJobId: child.jobId });
    for (const job of [child, grandchild]) {
      expect(job.labelCount).toBe(2);
      expect(await labelsOf(job)).toEqual([ENV, TEAM]);
      const rows = await db.prisma.jobLabel.findMany({ where: { jobId: job.jobId } });
      expect(rows.map(({ createdAt }) => createdAt)).toEqual([job.createdAt, job.createdAt]);
    }
  });

  test("with labels has these alone, and its parent keeps its own", async () => {
    const parent = await submitted(engine, { labels: [TEAM, ENV] });
    const own = { key: "team", value: "billing" };
    expect(await labelsOf(await submitted(engine, { parentJobId: parent.jobId, labels: [own] }))).toEqual([own]);
    expect(await labelsOf(parent)).toEqual([ENV, TEAM]);
  });

  test("of a parent without labels has none", async () => {
    const parent = await submitted(engine);
    expect(await labelsOf(await submitted(engine, { parentJobId: parent.jobId }))).toEqual([]);
  });
});

describe("labels that say what a model must do", () => {
  const places = [
    ["in a value", { key: "team", value: HOSTILE }],
    ["in a value whose key is a word of JavaScript's", { key: "__proto__", value: HOSTILE }],
  ] as const;
  test.each(places)("%s poison the job before a worker has it", async (_where, label) => {
    const job = await submitted(engine, { labels: [TEAM, label].slice(label.key === "team" ? 1 : 0) });
    const outcome = await startWorkflow(engine, WORKSPACE, { jobId: job.jobId, workerId: "w", leaseSeconds: 30 });
    expect(outcome).toMatchObject({ job: { state: "POISONED", statusReason: "poisoned: prompt_injection" } });
  });

  test("are found by a claim, in an inherited one, too", async () => {
    const workspaceId = randomUUID();
    const submit = async (more: Parameters<typeof aSubmit>[0]) =>
      ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit(more))).job.jobId;
    const parent = await submit({
      labels: [{ key: "team", value: HOSTILE }],
      runAfter: new Date("2200-01-01T00:00:00Z"),
    });
    const child = await submit({ parentJobId: parent });
    const calm = await submit({ labels: [TEAM] });
    const request = { workerId: "w", leaseSeconds: 30, workspaceId, jobKinds: null, limit: 10 };
    const claimed = await claimAiJobs(engine, request);
    expect(claimed.poisoned.map(({ jobId }) => jobId)).toEqual([child]);
    expect(claimed.claims.map(({ job }) => job.jobId)).toEqual([calm]);
  });
});
