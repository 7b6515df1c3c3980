import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { Transaction } from "../../src/db/transaction.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { WORKSPACE } from "../support/engine.ts";
import {
  addOtherWorkspace,
  type Columns,
  change,
  everythingOf,
  insertJob,
  jobIn,
  OTHER_WORKSPACE,
  outcomeOf,
  poisonedJobWithRunLeft,
  runningJob,
  update,
} from "../support/plain-sql.ts";

/** What the workflow engine keeps beside jobs, runs and nodes, against any other writer. */

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
  await addOtherWorkspace(prisma);
});
afterAll(() => db.close());

async function expectRefused(code: string, work: (tx: Transaction) => Promise<unknown>, jobId: string) {
  const before = [await everythingOf(prisma, jobId), await prisma.workerReport.findMany()];
  expect(await outcomeOf(prisma, work)).toBe(code);
  expect([await everythingOf(prisma, jobId), await prisma.workerReport.findMany()]).toEqual(before);
}

function insertReport(tx: Transaction, runId: string, otherwise: Columns = {}): Promise<number> {
  const columns: Columns = {
    workspace_id: `'${WORKSPACE}'`,
    workflow_run_id: `'${runId}'`,
    report_id: "gen_random_uuid()",
    report_hash: "sha256('report')",
    recorded_at: "now()",
    ...otherwise,
  };
  return tx.$executeRawUnsafe(
    `INSERT INTO worker_reports (${Object.keys(columns).join(", ")}) VALUES (${Object.values(columns).join(", ")})`,
  );
}

describe("a worker's report", () => {
  test("is kept, once under its id in one run, and under the same id in another", async () => {
    const [one, other] = [await runningJob(prisma), await runningJob(prisma)];
    const report_id = `'${randomUUID()}'`;
    expect(await outcomeOf(prisma, (tx) => insertReport(tx, one.runId, { report_id }))).toBe("committed");
    expect(await outcomeOf(prisma, (tx) => insertReport(tx, other.runId, { report_id }))).toBe("committed");
    await expectRefused("23505", (tx) => insertReport(tx, one.runId, { report_id }), one.jobId);
  });

  test.each([
    ["UPDATE", "UPDATE worker_reports SET report_hash = sha256('another')"],
    ["UPDATE that changes nothing", "UPDATE worker_reports SET policy_violation_code = policy_violation_code"],
    ["DELETE", "DELETE FROM worker_reports"],
  ])("stays as it is: %s", async (_, sql) => {
    const { jobId, runId } = await runningJob(prisma);
    await prisma.$transaction((tx) => insertReport(tx, runId));
    await expectRefused("AJ005", (tx) => tx.$executeRawUnsafe(`${sql} WHERE workflow_run_id = '${runId}'`), jobId);
  });

  test("is not truncated away", async () => {
    const { jobId, runId } = await runningJob(prisma);
    await prisma.$transaction((tx) => insertReport(tx, runId));
    await expectRefused("AJ005", (tx) => tx.$executeRawUnsafe("TRUNCATE worker_reports CASCADE"), jobId);
  });

  test("is not added to a run of a poisoned job", async () => {
    const { jobId, runId } = await poisonedJobWithRunLeft(prisma);
    await expectRefused("AJ004", (tx) => insertReport(tx, runId), jobId);
  });

  const impossible: readonly (readonly [string, string, Columns])[] = [
    ["with a hash that is no SHA-256", "23514", { report_hash: "'hash'" }],
    ["without a hash", "23502", { report_hash: "NULL" }],
    ["of a policy violation without its detail", "23514", { policy_violation_code: "'BUDGET_EXCEEDED'" }],
    ["of a policy violation without its code", "23514", { policy_violation_detail: "'too much'" }],
    ["of no run", "23503", { workflow_run_id: "gen_random_uuid()" }],
    ["of another workspace than its run's", "23503", { workspace_id: `'${OTHER_WORKSPACE}'` }],
  ];
  test.each(impossible)("is not one %s", async (_, code, columns) => {
    const { jobId, runId } = await runningJob(prisma);
    await expectRefused(code, (tx) => insertReport(tx, runId, columns), jobId);
  });
});

describe("a job's terms", () => {
  test.each([
    ["token_budget", "9"],
    ["token_budget", "NULL"],
    ["max_attempts", "9"],
    ["priority", "9"],
    ["profile_id", "'another'"],
    ["capability_profile_id", "'terminal'"],
  ])("do not change while it runs: %s to %s", async (column, value) => {
    const jobId = randomUUID();
    await prisma.$transaction((tx) => insertJob(tx, jobId, { job: { token_budget: "5" } }));
    await prisma.$transaction((tx) => change(tx, jobId, "running"));
    await expectRefused("AJ007", (tx) => change(tx, jobId, "running", { job: { [column]: value } }), jobId);
    const same = outcomeOf(prisma, (tx) => change(tx, jobId, "running", { job: { [column]: column } }));
    expect(await same).toBe("committed");
  });

  const impossible: readonly (readonly [string, string, Columns])[] = [
    ["no protocol", "23514", { protocol_id: "''" }],
    ["a protocol with a name of more than 200 characters", "23514", { protocol_id: "repeat('x', 201)" }],
    ["no attempts at all", "23514", { max_attempts: "0" }],
    ["a negative token budget", "23514", { token_budget: "-1" }],
    ["a token budget beyond 2^53 - 1", "23514", { token_budget: "9007199254740992" }],
    ["somebody who is to have it first, without an end", "23514", { preferred_worker_id: "'worker-7'" }],
    ["an end of a preference for nobody", "23514", { preferred_until: "now()" }],
    ["an attempt that a person sent back", "AJ003", { uncharged_attempts: "1" }],
  ];
  test.each(impossible)("are not, at its beginning, %s", async (_, code, job) => {
    const jobId = randomUUID();
    await expectRefused(code, (tx) => insertJob(tx, jobId, { job }), jobId);
  });
});

describe("a job's uncharged_attempts", () => {
  const attempt = (n: number, unchargedAttempts: string) => ({
    job: { attempt: String(n), uncharged_attempts: unchargedAttempts },
  });

  test("grow one by one, as attempts do", async () => {
    const jobId = await jobIn(prisma, "running");
    for (const [n, unchargedAttempts] of [
      [1, "1"],
      [1, "1"],
      [2, "2"],
    ] as const) {
      expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "running", attempt(n, unchargedAttempts)))).toBe(
        "committed",
      );
    }
    await expectRefused("AJ007", (tx) => change(tx, jobId, "running", attempt(2, "1")), jobId);
    await expectRefused("AJ007", (tx) => change(tx, jobId, "running", attempt(5, "4")), jobId);
    await expectRefused("AJ007", (tx) => change(tx, jobId, "running", attempt(2, "-1")), jobId);
    await expectRefused("23514", (tx) => change(tx, jobId, "running", attempt(2, "3")), jobId);
  });
});

test("what a node depends on stays as it was told when it started", async () => {
  const { jobId, nodeId } = await runningJob(prisma);
  const depend = (tx: Transaction, value: string) => update(tx, "node_executions", nodeId, { depends_on: value });
  await expectRefused("AJ007", (tx) => depend(tx, "ARRAY['another']"), jobId);
  await expectRefused("AJ007", (tx) => depend(tx, "NULL"), jobId);
  expect(await outcomeOf(prisma, (tx) => depend(tx, "depends_on"))).toBe("committed");
});
