import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { Transaction } from "../../src/db/transaction.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import {
  addOtherWorkspace,
  type Columns,
  change,
  everythingOf,
  insertNode,
  insertRun,
  jobIn,
  OTHER_WORKSPACE,
  outcomeOf,
  poisonedJobWithRunLeft,
  runningJob,
  update,
} from "../support/plain-sql.ts";

/** Runs and nodes against any other writer (sections 3 and 5). */

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
  await addOtherWorkspace(prisma);
});
afterAll(() => db.close());

const ENDED: Columns = { finished_at: "now()", end_reason: "'ended'", lease_expires_at: "NULL" };
const WAITING: Columns = { lease_expires_at: "NULL" };

describe("a job's runs", () => {
  test.each([
    ["running", {}],
    ["awaiting_validation", WAITING],
    ["awaiting_user", WAITING],
  ])("are not two that are active: the second one is %s", async (state, more: Columns) => {
    const { jobId } = await runningJob(prisma);
    const second = { attempt: "2", state: `'${state}'`, ...more };
    await expectRefused("23505", jobId, (tx) => insertRun(tx, jobId, second));
  });

  test.each(["awaiting_validation", "awaiting_user"] as const)(
    "are not two that are active: the first one is %s",
    async (state) => {
      const { jobId, runId } = await runningJob(prisma);
      await prisma.$transaction((tx) => awaitAnswer(tx, runId, state));
      await expectRefused("23505", jobId, (tx) => insertRun(tx, jobId, { attempt: "2" }));
    },
  );

  test("are one after the other, as many as it takes", async () => {
    const { jobId, runId } = await runningJob(prisma);
    const both = outcomeOf(prisma, async (tx) => {
      await update(tx, "workflow_runs", runId, { state: "'failed'", ...ENDED });
      await insertRun(tx, jobId, { attempt: "2" });
    });
    expect(await both).toBe("committed");
    expect(await prisma.workflowRun.count({ where: { jobId } })).toBe(2);
  });

  test("are not two of one attempt", async () => {
    const { jobId, runId } = await runningJob(prisma);
    await prisma.$transaction((tx) => update(tx, "workflow_runs", runId, { state: "'failed'", ...ENDED }));
    await expectRefused("23505", jobId, (tx) => insertRun(tx, jobId, { attempt: "1" }));
  });
});

describe("a run", () => {
  const impossible: readonly (readonly [string, string, Columns])[] = [
    ["running without a lease", "23514", { lease_expires_at: "NULL" }],
    ["running, and finished", "23514", { finished_at: "now()", end_reason: "'ended'" }],
    ["finished for no reason", "23514", { state: "'completed'", ...ENDED, end_reason: "NULL" }],
    ["finished for an empty reason", "23514", { state: "'completed'", ...ENDED, end_reason: "''" }],
    ["running, with a reason of its end", "23514", { end_reason: "'ended'" }],
    ["running, with outputs", "23514", { outputs: "'{}'" }],
    ["completed with a JSON null", "23514", { state: "'completed'", ...ENDED, outputs: "'null'" }],
    ["awaiting_validation with a lease", "23514", { state: "'awaiting_validation'" }],
    ["awaiting_user, and finished", "23514", { state: "'awaiting_user'", ...ENDED }],
    ["completed with a lease", "23514", { state: "'completed'", finished_at: "now()", end_reason: "'ended'" }],
    ["completed, and not finished", "23514", { state: "'completed'", ...WAITING }],
    ["stalled, and not finished", "23514", { state: "'stalled'", ...WAITING }],
    ["queued", "23514", { state: "'queued'", ...ENDED }],
    ["of attempt 0", "23514", { attempt: "0" }],
    ["with a lease token that is no SHA-256", "23514", { lease_token: "'token'" }],
    ["without a lease token", "23502", { lease_token: "NULL" }],
    ["of a state outside of the enum", "22P02", { state: "'done'" }],
    ["of no job", "23503", { job_id: "gen_random_uuid()" }],
    ["of another workspace than its job's", "23503", { workspace_id: `'${OTHER_WORKSPACE}'` }],
  ];

  test.each(impossible)("is not %s", async (_, code, run) => {
    const jobId = await jobIn(prisma, "queued");
    await expectRefused(code, jobId, (tx) => insertRun(tx, jobId, run));
  });

  test.each(["workspace_id", "job_id", "attempt", "worker_id", "principal_id", "lease_token", "started_at", "id"])(
    "keeps its %s",
    async (column) => {
      const { jobId, runId } = await runningJob(prisma);
      const other = await jobIn(prisma, "running");
      const values: Columns = {
        workspace_id: `'${OTHER_WORKSPACE}'`,
        job_id: `'${other}'`,
        attempt: "7",
        worker_id: "'worker-2'",
        principal_id: "'key:another'",
        lease_token: "sha256('another')",
        started_at: "started_at - interval '1 s'",
        id: "gen_random_uuid()",
      };
      await expectRefused("AJ007", jobId, (tx) =>
        update(tx, "workflow_runs", runId, { [column]: values[column] ?? "NULL" }),
      );
    },
  );

  test("does not go back from awaiting_user to running", async () => {
    const { jobId, runId } = await runningJob(prisma);
    await prisma.$transaction((tx) => awaitAnswer(tx, runId, "awaiting_user"));
    const back = { state: "'running'", lease_expires_at: "now()" };
    await expectRefused("AJ001", jobId, (tx) => update(tx, "workflow_runs", runId, back));
  });

  test.each(["completed", "completed_with_issues", "failed", "cancelled", "stalled", "poisoned"])(
    "that is %s stays as it is",
    async (state) => {
      const { jobId, runId } = await runningJob(prisma);
      await prisma.$transaction((tx) => update(tx, "workflow_runs", runId, { state: `'${state}'`, ...ENDED }));
      const revived = { state: "'running'", lease_expires_at: "now()", finished_at: "NULL" };
      for (const columns of [{ error_message: "'late'" }, { state: "state" }, revived]) {
        await expectRefused("AJ004", jobId, (tx) => update(tx, "workflow_runs", runId, columns));
      }
      await expectRefused("AJ005", jobId, (tx) => deleteFrom(tx, "workflow_runs", runId));
    },
  );

  test("keeps the outputs that it completed with, unless its job is poisoned in the same transaction", async () => {
    const { jobId, runId } = await runningJob(prisma);
    const completed = { state: "'completed'", ...ENDED, outputs: `'{"words": 7}'` };
    await prisma.$transaction((tx) => update(tx, "workflow_runs", runId, completed));
    await expectRefused("AJ004", jobId, (tx) => update(tx, "workflow_runs", runId, { outputs: "'{}'" }));
    await expectRefused("AJ005", jobId, (tx) => update(tx, "workflow_runs", runId, { outputs: "NULL" }));
    await expectRefused("AJ006", jobId, (tx) => change(tx, jobId, "poisoned"));
    const poison = outcomeOf(prisma, async (tx) => {
      await update(tx, "workflow_runs", runId, { outputs: "NULL" });
      await change(tx, jobId, "poisoned");
    });
    expect(await poison).toBe("committed");
  });

  test("that is stalled may become poisoned", async () => {
    const { runId } = await runningJob(prisma);
    await prisma.$transaction((tx) => update(tx, "workflow_runs", runId, { state: "'stalled'", ...ENDED }));
    const poison = outcomeOf(prisma, (tx) => update(tx, "workflow_runs", runId, { state: "'poisoned'" }));
    expect(await poison).toBe("committed");
    expect(await prisma.workflowRun.findUnique({ where: { id: runId } })).toMatchObject({ state: "POISONED" });
  });
});

describe("a node", () => {
  const impossible: readonly (readonly [string, string, Columns])[] = [
    ["running, and finished", "23514", { finished_at: "now()" }],
    ["completed, and not finished", "23514", { state: "'completed'" }],
    ["queued", "23514", { state: "'queued'", finished_at: "now()" }],
    ["of sequence 0", "23514", { sequence: "0" }],
    ["with a JSON null for its input", "23514", { input_payload: "'null'" }],
    ["with a JSON null for its output", "23514", { output_payload: "'null'" }],
    ["of a sequence that another has", "23505", { sequence: "1", node_id: "'another'" }],
    ["running twice at once", "23505", { sequence: "2", node_id: "'summarise'" }],
    ["of no run", "23503", { workflow_run_id: "gen_random_uuid()" }],
    ["of another workspace than its run's", "23503", { workspace_id: `'${OTHER_WORKSPACE}'` }],
  ];

  test.each(impossible)("is not %s", async (_, code, node) => {
    const { jobId, runId } = await runningJob(prisma);
    const other = { node_id: "'other'", sequence: "2" };
    await expectRefused(code, jobId, (tx) => insertNode(tx, runId, { ...other, ...node }));
  });

  test.each([
    "id",
    "workspace_id",
    "workflow_run_id",
    "node_id",
    "node_type",
    "sequence",
    "depends_on",
    "started_at",
    "input_payload",
  ])("keeps its %s", async (column) => {
    const { jobId, nodeId } = await runningJob(prisma);
    const other = await runningJob(prisma);
    const values: Columns = {
      id: "gen_random_uuid()",
      workspace_id: `'${OTHER_WORKSPACE}'`,
      workflow_run_id: `'${other.runId}'`,
      node_id: "'another'",
      node_type: "'llm_call'",
      sequence: "7",
      depends_on: "ARRAY['another']",
      started_at: "started_at - interval '1 s'",
      input_payload: `'{"another": "input"}'`,
    };
    await expectRefused("AJ007", jobId, (tx) =>
      update(tx, "node_executions", nodeId, { [column]: values[column] ?? "NULL" }),
    );
  });

  test("that was started with an input keeps it, whatever output it gets", async () => {
    const { jobId, runId } = await runningJob(prisma);
    const open = { node_id: "'with input'", sequence: "2", input_payload: `'{"page": 1}'` };
    const withInput = await prisma.$transaction((tx) => insertNode(tx, runId, open));
    for (const input of ["NULL", `'{"page": 2}'`]) {
      await expectRefused("AJ007", jobId, (tx) => update(tx, "node_executions", withInput, { input_payload: input }));
    }
    const same = { input_payload: `'{"page": 1}'`, output_payload: `'{"text": "short"}'` };
    expect(await outcomeOf(prisma, (tx) => update(tx, "node_executions", withInput, same))).toBe("committed");
  });

  test.each(["completed", "failed", "cancelled", "stalled", "poisoned"])("that is %s stays as it is", async (state) => {
    const { jobId, nodeId } = await runningJob(prisma);
    const ended = { state: `'${state}'`, finished_at: "now()" };
    await prisma.$transaction((tx) => update(tx, "node_executions", nodeId, ended));
    const revived = { state: "'running'", finished_at: "NULL" };
    for (const columns of [{ output_payload: "'{}'" }, { state: "state" }, { state: "'poisoned'" }, revived]) {
      await expectRefused("AJ004", jobId, (tx) => update(tx, "node_executions", nodeId, columns));
    }
    await expectRefused("AJ005", jobId, (tx) => deleteFrom(tx, "node_executions", nodeId));
  });
});

describe("what a poisoned job has left running", () => {
  const others: readonly (readonly [string, Columns])[] = [
    ["goes on", { last_heartbeat: "now()", lease_expires_at: "now() + interval '1 h'" }],
    ["changes nothing", { state: "state" }],
    ["is awaited", { state: "'awaiting_validation'", ...WAITING }],
    ["completes", { state: "'completed'", ...ENDED }],
    ["fails", { state: "'failed'", ...ENDED }],
    ["is cancelled", { state: "'cancelled'", ...ENDED }],
    ["stalls", { state: "'stalled'", ...ENDED }],
  ];

  test.each(others)("is no run that %s", async (_, columns) => {
    const { jobId, runId } = await poisonedJobWithRunLeft(prisma);
    await expectRefused("AJ004", jobId, (tx) => update(tx, "workflow_runs", runId, columns));
  });

  test.each([
    ["brings a payload", { output_payload: "'{}'" }],
    ["completes", { state: "'completed'", finished_at: "now()" }],
    ["fails", { state: "'failed'", finished_at: "now()" }],
    ["is cancelled", { state: "'cancelled'", finished_at: "now()" }],
  ])("is no node that %s", async (_, columns: Columns) => {
    const { jobId, nodeId } = await poisonedJobWithRunLeft(prisma);
    await expectRefused("AJ004", jobId, (tx) => update(tx, "node_executions", nodeId, columns));
  });

  test.each(["workflow_runs", "node_executions"] as const)(
    "in %s may become poisoned, and then never again",
    async (table) => {
      const { jobId, runId, nodeId } = await poisonedJobWithRunLeft(prisma);
      const id = table === "workflow_runs" ? runId : nodeId;
      const poisoned = { state: "'poisoned'", ...(table === "workflow_runs" ? ENDED : { finished_at: "now()" }) };
      expect(await outcomeOf(prisma, (tx) => update(tx, table, id, poisoned))).toBe("committed");
      const [row] = await prisma.$queryRawUnsafe<{ state: string }[]>(
        `SELECT state::text FROM ${table} WHERE id = '${id}'`,
      );
      expect(row).toEqual({ state: "poisoned" });
      for (const columns of [poisoned, { error_message: "'changed'" }]) {
        await expectRefused("AJ004", jobId, (tx) => update(tx, table, id, columns));
      }
      await expectRefused("AJ005", jobId, (tx) => deleteFrom(tx, table, id));
    },
  );

  test.each(["workflow_runs", "node_executions"] as const)("in %s does not move to a healthy job", async (table) => {
    const { jobId, runId, nodeId } = await poisonedJobWithRunLeft(prisma);
    const healthy = await runningJob(prisma);
    const [id, columns] =
      table === "workflow_runs"
        ? [runId, { job_id: `'${await jobIn(prisma, "running")}'` }]
        : [nodeId, { workflow_run_id: `'${healthy.runId}'`, sequence: "2" }];
    await expectRefused("AJ007", jobId, (tx) => update(tx, table, id, columns));
  });
});

describe("a poisoned job", () => {
  test.each([
    ["running", {}],
    ["completed", { state: "'completed'", ...ENDED }],
    ["poisoned", { state: "'poisoned'", ...ENDED }],
  ])("gets no new run: %s", async (_, run: Columns) => {
    const jobId = await jobIn(prisma, "poisoned");
    await expectRefused("AJ004", jobId, (tx) => insertRun(tx, jobId, run));
  });

  test.each([
    ["running", {}],
    ["completed", { state: "'completed'", finished_at: "now()" }],
    ["poisoned", { state: "'poisoned'", finished_at: "now()" }],
  ])("gets no new node: %s", async (_, node: Columns) => {
    const { jobId, runId } = await poisonedJobWithRunLeft(prisma);
    const other = { node_id: "'other'", sequence: "2" };
    await expectRefused("AJ004", jobId, (tx) => insertNode(tx, runId, { ...other, ...node }));
  });

  test("gets no run by an upsert", async () => {
    const { jobId, runId } = await poisonedJobWithRunLeft(prisma);
    const sql = `INSERT INTO workflow_runs SELECT * FROM workflow_runs WHERE id = '${runId}'
      ON CONFLICT (id) DO UPDATE SET state = 'completed', finished_at = now(), end_reason = 'ended', lease_expires_at = NULL`;
    await expectRefused("AJ004", jobId, (tx) => tx.$executeRawUnsafe(sql));
  });

  test("gets no run in the transaction that poisons it", async () => {
    const jobId = await jobIn(prisma, "queued");
    await expectRefused("AJ004", jobId, async (tx) => {
      await change(tx, jobId, "poisoned");
      await insertRun(tx, jobId);
    });
  });
});

/** A person is asked only after validation. */
async function awaitAnswer(
  tx: Transaction,
  runId: string,
  state: "awaiting_validation" | "awaiting_user",
): Promise<void> {
  await update(tx, "workflow_runs", runId, { state: "'awaiting_validation'", ...WAITING });
  if (state === "awaiting_user") await update(tx, "workflow_runs", runId, { state: "'awaiting_user'" });
}

function deleteFrom(tx: Transaction, table: string, id: string): Promise<number> {
  return tx.$executeRawUnsafe(`DELETE FROM ${table} WHERE id = '${id}'`);
}

async function expectRefused(code: string, jobId: string, work: Parameters<typeof outcomeOf>[1]): Promise<void> {
  const before = await everythingOf(prisma, jobId);
  expect(await outcomeOf(prisma, work)).toBe(code);
  expect(await everythingOf(prisma, jobId)).toEqual(before);
}
