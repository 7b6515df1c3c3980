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
  type JobWithRun,
  OTHER_WORKSPACE,
  outcomeOf,
  poisonedJobWithRunLeft,
  runningJob,
} from "../support/plain-sql.ts";

/** Section 14, by plain SQL: the ledger of model calls is append-only, and says the same as the log. */

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  ({ prisma } = db);
  await addOtherWorkspace(prisma);
});
afterAll(() => db.close());

const CHECK = "23514";
const FOREIGN_KEY = "23503";
const NOT_NULL = "23502";
const UNIQUE = "23505";

/** An entry of the job's newest version, or beside the versions of a poisoned one. */
function entry(tx: Transaction, { jobId, runId }: JobWithRun, otherwise: Columns = {}): Promise<number> {
  const columns: Columns = {
    id: "gen_random_uuid()",
    workspace_id: `'${WORKSPACE}'`,
    job_id: "job_id",
    version: "version",
    order_xid: "order_xid",
    workflow_run_id: `'${runId}'`,
    capability_profile_id: "capability_profile_id",
    provider: "'openai'",
    model: "'gpt-5'",
    input_tokens: "20",
    cached_input_tokens: "10",
    output_tokens: "3",
    reasoning_tokens: "2",
    cost_micros: "7",
    calls: "1",
    recorded_at: "now()",
    ...otherwise,
  };
  return tx.$executeRawUnsafe(`INSERT INTO usage_entries (${Object.keys(columns).join(", ")})
    SELECT ${Object.values(columns).join(", ")} FROM ai_jobs WHERE job_id = '${jobId}'`);
}

/** The version that counts the entry. */
const USED = {
  job: {
    input_tokens: "input_tokens + 30",
    output_tokens: "output_tokens + 5",
    total_tokens: "total_tokens + 35",
    cost_micros: "cost_micros + 7",
  },
  event: { payload: `'{"cost_micros": 7}'` },
};

/** Writes a version of a new job and its entry. @returns what came of it. */
async function written(otherwise: Columns, version: Parameters<typeof change>[3] = USED): Promise<string> {
  const job = await runningJob(prisma);
  return outcomeOf(prisma, async (tx) => {
    await change(tx, job.jobId, "running", version);
    await entry(tx, job, otherwise);
  });
}

describe("an entry of a version", () => {
  test("is stored with it", async () => {
    expect(await written({})).toBe("committed");
  });

  test("may be one of several that add up to what the version added", async () => {
    const job = await runningJob(prisma);
    const outcome = await outcomeOf(prisma, async (tx) => {
      await change(tx, job.jobId, "running", USED);
      const half = { input_tokens: "10", cached_input_tokens: "5", output_tokens: "1", reasoning_tokens: "1" };
      const rest = { input_tokens: "15", cached_input_tokens: "0", output_tokens: "3", reasoning_tokens: "0" };
      const row = (of: Columns, cost: string, model: string) =>
        `(gen_random_uuid(), '${WORKSPACE}', '${job.jobId}', (SELECT version FROM ai_jobs WHERE job_id = '${job.jobId}'),
          (SELECT order_xid FROM ai_jobs WHERE job_id = '${job.jobId}'), '${job.runId}', 'default', 'p', '${model}',
          ${Object.values(of).join(", ")}, ${cost}, 1, now())`;
      await tx.$executeRawUnsafe(`INSERT INTO usage_entries (id, workspace_id, job_id, version, order_xid, workflow_run_id,
        capability_profile_id, provider, model, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens,
        cost_micros, calls, recorded_at) VALUES ${row(half, "3", "a")}, ${row(rest, "4", "b")}`);
    });
    expect(outcome).toBe("committed");
  });

  test.each<[string, Columns, string]>([
    ["that is negative", { input_tokens: "-1", cached_input_tokens: "31" }, CHECK],
    ["with a negative cost", { cost_micros: "-7" }, CHECK],
    ["with more than 2^53 - 1", { reasoning_tokens: "9007199254740992" }, CHECK],
    ["of no call", { calls: "0" }, CHECK],
    ["of no model", { model: "''" }, CHECK],
    ["without a number", { output_tokens: "NULL" }, NOT_NULL],
    ["of another workspace", { workspace_id: `'${OTHER_WORKSPACE}'` }, FOREIGN_KEY],
    ["with other tokens than its version added", { input_tokens: "21" }, "AJ006"],
    ["with another cost than its version added", { cost_micros: "8" }, "AJ006"],
    ["of an earlier version", { version: "version - 1" }, "AJ006"],
    ["at another position", { order_xid: "order_xid + 1" }, "AJ006"],
    ["of another profile", { capability_profile_id: "'terminal'" }, "AJ006"],
    ["of a step of no run", { node_execution_id: "gen_random_uuid()" }, "AJ006"],
    ["without a version, as its job is not poisoned", { version: "NULL" }, CHECK],
    ["with a report, as a version counts it", { report_id: "gen_random_uuid()" }, CHECK],
  ])("%s is refused", async (_, otherwise, state) => {
    expect(await written(otherwise)).toBe(state);
  });

  test("is of a run of its job", async () => {
    const other = await runningJob(prisma);
    expect(await written({ workflow_run_id: `'${other.runId}'` })).toBe("AJ006");
  });

  test("is not added to a version of another transaction", async () => {
    const job = await runningJob(prisma);
    await prisma.$transaction((tx) => change(tx, job.jobId, "running"));
    const nothing = { input_tokens: "0", cached_input_tokens: "0", output_tokens: "0", reasoning_tokens: "0" };
    expect(await outcomeOf(prisma, (tx) => entry(tx, job, { ...nothing, cost_micros: "0" }))).toBe("AJ006");
  });
});

describe("the cost of a job", () => {
  const costing = (cost: string, payload = `'{"cost_micros": 7}'`) => ({
    job: { ...USED.job, cost_micros: cost },
    event: { payload },
  });

  test("is what its usage says", async () => {
    const job = await runningJob(prisma);
    const without = await outcomeOf(prisma, (tx) => change(tx, job.jobId, "running", costing("cost_micros + 7")));
    expect(without).toBe("AJ006");
    expect(await written({}, costing("cost_micros + 8"))).toBe("AJ006");
    expect(await written({}, costing("cost_micros"))).toBe("AJ006");
    const unpaid = { job: {}, event: { payload: `'{"cost_micros": 7}'` } };
    expect(await outcomeOf(prisma, (tx) => change(tx, job.jobId, "running", unpaid))).toBe("AJ006");
  });

  test.each<[string, Columns, string]>([
    ["grows alone", { cost_micros: "cost_micros - 1" }, "AJ007"],
    ["is at most 2^53 - 1", { cost_micros: "9007199254740992" }, CHECK],
  ])("%s", async (_, job, state) => {
    const { jobId } = await runningJob(prisma);
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "running", { job }))).toBe(state);
  });
});

describe("an entry beside the versions of a poisoned job", () => {
  const BESIDE: Columns = { version: "NULL", order_xid: "greatest(current_order_xid(), order_xid)" };

  function report(tx: Transaction, runId: string, reportId: string, isUsage = true): Promise<number> {
    return tx.$executeRawUnsafe(`INSERT INTO worker_reports
      (workspace_id, workflow_run_id, report_id, report_hash, recorded_at, is_usage)
      VALUES ('${WORKSPACE}', '${runId}', '${reportId}', sha256('content'), now(), ${isUsage})`);
  }

  /** Writes reports of usage for a job, and an entry of each. */
  async function beside(job: JobWithRun, otherwise: Columns, reportIds = [randomUUID()]): Promise<string> {
    return outcomeOf(prisma, async (tx) => {
      for (const reportId of new Set(reportIds)) await report(tx, job.runId, reportId);
      for (const reportId of reportIds) await entry(tx, job, { ...BESIDE, report_id: `'${reportId}'`, ...otherwise });
    });
  }

  test("is stored with its report", async () => {
    expect(await beside(await poisonedJobWithRunLeft(prisma), {})).toBe("committed");
  });

  test("is stored once for a report and a model", async () => {
    const reportId = randomUUID();
    expect(await beside(await poisonedJobWithRunLeft(prisma), {}, [reportId, reportId])).toBe(UNIQUE);
  });

  test.each<[string, Columns, string]>([
    ["of no stored report", { report_id: "gen_random_uuid()" }, FOREIGN_KEY],
    ["of no report", { report_id: "NULL" }, CHECK],
    ["below the watermark", { order_xid: "order_xid - 1" }, "AJ006"],
  ])("%s is refused", async (_, otherwise, state) => {
    expect(await beside(await poisonedJobWithRunLeft(prisma), otherwise)).toBe(state);
  });

  test("is refused where the job is not poisoned", async () => {
    expect(await beside(await runningJob(prisma), {})).toBe("AJ006");
  });

  test("is all that the job gets: no other report", async () => {
    const { runId, nodeId } = await poisonedJobWithRunLeft(prisma);
    expect(await outcomeOf(prisma, (tx) => report(tx, runId, randomUUID(), false))).toBe("AJ004");
    const ofStep = (tx: Transaction) =>
      tx.$executeRawUnsafe(`INSERT INTO worker_reports
        (workspace_id, workflow_run_id, report_id, report_hash, recorded_at, is_usage, node_execution_id)
        VALUES ('${WORKSPACE}', '${runId}', gen_random_uuid(), sha256('content'), now(), true, '${nodeId}')`);
    expect(await outcomeOf(prisma, ofStep)).toBe(CHECK);
  });
});

test.each(["UPDATE usage_entries SET cost_micros = 0", "DELETE FROM usage_entries", "TRUNCATE usage_entries"])(
  "the ledger only grows: %s",
  async (sql) => {
    expect(await written({})).toBe("committed");
    expect(await outcomeOf(prisma, (tx) => tx.$executeRawUnsafe(sql))).toBe("AJ005");
  },
);
