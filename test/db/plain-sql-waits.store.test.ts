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
  insertJob,
  jobIn,
  OTHER_WORKSPACE,
  outcomeOf,
  runningJob,
  update,
} from "../support/plain-sql.ts";
import type { StateWord } from "../support/transition-table.ts";

/** What a job waits for, and the questions of workers, against any other writer (section 13). */

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
  await addOtherWorkspace(prisma);
});
afterAll(() => db.close());

const WAITS_FOR_ANSWER: Columns = { waits_for: "'user_input'", job_outputs: "NULL" };

async function insertQuestion(tx: Transaction, jobId: string, runId: string, otherwise: Columns = {}): Promise<string> {
  const id = randomUUID();
  const columns: Columns = {
    request_id: `'${id}'`,
    workspace_id: `'${WORKSPACE}'`,
    job_id: `'${jobId}'`,
    workflow_run_id: `'${runId}'`,
    question: "'Send it?'",
    ...otherwise,
  };
  await tx.$executeRawUnsafe(
    `INSERT INTO user_input_requests (${Object.keys(columns).join(", ")}) VALUES (${Object.values(columns).join(", ")})`,
  );
  return id;
}

/** A job that waits for an answer. */
async function askingJob(limit = "NULL") {
  const { jobId, runId } = await runningJob(prisma);
  const requestId = await prisma.$transaction(async (tx) => {
    await change(tx, jobId, "awaiting_user", { job: { ...WAITS_FOR_ANSWER, waits_until: limit } });
    return insertQuestion(tx, jobId, runId, { expires_at: limit });
  });
  return { jobId, runId, requestId };
}

/** Stores an answer, and ends the run that asked with it. */
async function answered(tx: Transaction, requestId: string, answer = `'{"send": true}'`): Promise<void> {
  await tx.$executeRawUnsafe(`
    UPDATE workflow_runs SET state = 'cancelled', lease_expires_at = NULL, finished_at = now(), end_reason = 'answered'
    WHERE finished_at IS NULL AND id = (SELECT workflow_run_id FROM user_input_requests WHERE request_id = '${requestId}')`);
  await answeredAlone(tx, requestId, answer);
}

const answeredAlone = (tx: Transaction, requestId: string, answer = "'1'") =>
  tx.$executeRawUnsafe(
    `UPDATE user_input_requests SET answer = ${answer}, answered_by = 'anonymous', answered_at = now() WHERE request_id = '${requestId}'`,
  );

describe("a job that asks", () => {
  test("goes from running to awaiting_user with a question of its run, and no other way", async () => {
    const { jobId } = await askingJob();
    expect(await prisma.aiJob.findUnique({ where: { jobId } })).toMatchObject({
      state: "AWAITING_USER",
      waitsFor: "USER_INPUT",
    });
    const other = await runningJob(prisma);
    const ask = (job: Columns) => outcomeOf(prisma, (tx) => change(tx, other.jobId, "awaiting_user", { job }));
    expect(await ask(WAITS_FOR_ANSWER)).toBe("AJ006");
    expect(await ask({ waits_for: "'user_review'" })).toBe("AJ001");
    expect(await ask({ waits_for: "NULL" })).toBe("23514");
    expect(await ask({ waits_for: "'time'" })).toBe("23514");
    const awaiting = await jobIn(prisma, "awaiting_validation");
    expect(await outcomeOf(prisma, (tx) => change(tx, awaiting, "awaiting_user", { job: WAITS_FOR_ANSWER }))).toBe(
      "AJ001",
    );
  });

  test("has the time limit of its question", async () => {
    const { jobId, runId } = await runningJob(prisma);
    const ask = outcomeOf(prisma, async (tx) => {
      await change(tx, jobId, "awaiting_user", { job: { ...WAITS_FOR_ANSWER, waits_until: "now()" } });
      await insertQuestion(tx, jobId, runId, { expires_at: "now() + interval '1 hour'" });
    });
    expect(await ask).toBe("AJ006");
    const queued = await jobIn(prisma, "queued");
    expect(await outcomeOf(prisma, (tx) => change(tx, queued, "queued", { job: { waits_until: "now()" } }))).toBe(
      "23514",
    );
  });

  test.each<[StateWord, string]>([
    ["completed", "AJ001"],
    ["completed_with_issues", "AJ001"],
    ["queued", "AJ006"],
    ["failed", "committed"],
    ["cancelled", "committed"],
    ["poisoned", "committed"],
  ])("becomes %s without an answer: %s", async (to, expected) => {
    const { jobId } = await askingJob();
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, to))).toBe(expected);
  });

  test("is queued with its answer, and has no outputs before", async () => {
    const { jobId, requestId } = await askingJob();
    const withOutputs = { job: { ...WAITS_FOR_ANSWER, job_outputs: "'{}'" } };
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "awaiting_user", withOutputs))).toBe("23514");
    const queue = outcomeOf(prisma, async (tx) => {
      await answered(tx, requestId);
      await change(tx, jobId, "queued");
    });
    expect(await queue).toBe("committed");
  });

  test("does not turn its question into outputs that await a person", async () => {
    const { jobId } = await askingJob();
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "awaiting_user"))).toBe("AJ001");
  });
});

describe("a question", () => {
  test.each<[string, string, Columns]>([
    ["empty", "23514", { question: "''" }],
    ["with a JSON null", "23514", { payload: "'null'" }],
    ["of no run", "AJ003", { workflow_run_id: "gen_random_uuid()" }],
    ["of another workspace than its run's", "23503", { workspace_id: `'${OTHER_WORKSPACE}'` }],
    ["answered by nobody", "AJ003", { answer: "'1'", answered_at: "now()" }],
  ])("is not one that is %s", async (_, code, columns) => {
    const { jobId, runId } = await runningJob(prisma);
    expect(await outcomeOf(prisma, (tx) => insertQuestion(tx, jobId, runId, columns))).toBe(code);
  });

  test("is of a run of its own job, one of each run, and of no poisoned job", async () => {
    const { jobId, runId } = await askingJob();
    const other = await runningJob(prisma);
    expect(await outcomeOf(prisma, (tx) => insertQuestion(tx, other.jobId, runId))).toBe("AJ003");
    expect(await outcomeOf(prisma, (tx) => insertQuestion(tx, jobId, runId))).toBe("23505");
    await prisma.$transaction((tx) => change(tx, other.jobId, "poisoned"));
    expect(await outcomeOf(prisma, (tx) => insertQuestion(tx, other.jobId, other.runId))).toBe("AJ004");
  });

  test("is answered once, by somebody, while its job waits for it", async () => {
    const { jobId, requestId } = await askingJob();
    const anonymous = `UPDATE user_input_requests SET answer = '1', answered_at = now() WHERE request_id = '${requestId}'`;
    expect(await outcomeOf(prisma, (tx) => tx.$executeRawUnsafe(anonymous))).toBe("23514");
    await prisma.$transaction(async (tx) => {
      await answered(tx, requestId);
      await change(tx, jobId, "queued");
    });
    expect(await outcomeOf(prisma, (tx) => answered(tx, requestId, "'2'"))).toBe("AJ004");
    const late = await askingJob();
    expect(await outcomeOf(prisma, (tx) => answeredAlone(tx, late.requestId))).toBe("AJ006");
    // The run ends with it, and the job would wait on.
    expect(await outcomeOf(prisma, (tx) => answered(tx, late.requestId))).toBe("AJ006");
    await prisma.$transaction(async (tx) => {
      await update(tx, "workflow_runs", late.runId, {
        state: "'cancelled'",
        lease_expires_at: "NULL",
        finished_at: "now()",
        end_reason: "'cancelled'",
      });
      await change(tx, late.jobId, "cancelled");
    });
    expect(await outcomeOf(prisma, (tx) => answered(tx, late.requestId))).toBe("AJ006");
    const poisoned = await askingJob();
    await prisma.$transaction((tx) => change(tx, poisoned.jobId, "poisoned"));
    expect(await outcomeOf(prisma, (tx) => answeredAlone(tx, poisoned.requestId))).toBe("AJ004");
  });

  test("stays as it was asked, and is kept", async () => {
    const { requestId } = await askingJob();
    const of = ` WHERE request_id = '${requestId}'`;
    for (const set of ["question = 'Delete it?'", "options = '{yes}'", "answer_schema = '{}'", "expires_at = now()"])
      expect(await outcomeOf(prisma, (tx) => tx.$executeRawUnsafe(`UPDATE user_input_requests SET ${set}${of}`))).toBe(
        "AJ007",
      );
    expect(await outcomeOf(prisma, (tx) => tx.$executeRawUnsafe(`DELETE FROM user_input_requests${of}`))).toBe("AJ005");
    expect(await outcomeOf(prisma, (tx) => tx.$executeRawUnsafe("TRUNCATE user_input_requests CASCADE"))).toBe("AJ005");
  });
});

describe("a job that waits for its children", () => {
  const waiting = async () => {
    const jobId = await jobIn(prisma, "running");
    await prisma.$transaction((tx) => change(tx, jobId, "queued", { job: { waits_for: "'children'" } }));
    return jobId;
  };

  test("comes from running, is not due by a time as well, and is not claimed before it waits for nothing", async () => {
    const jobId = await waiting();
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "running"))).toBe("AJ001");
    const due = { job: { waits_for: "'children'", run_after: "now()" } };
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "queued", due))).toBe("23514");
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "queued"))).toBe("committed");
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "queued", { job: { waits_for: "'children'" } }))).toBe(
      "AJ001",
    );
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "running"))).toBe("committed");
  });

  test("does not begin so", async () => {
    const insert = outcomeOf(prisma, (tx) => insertJob(tx, randomUUID(), { job: { waits_for: "'children'" } }));
    expect(await insert).toBe("AJ003");
  });
});

describe("a job's ended_at", () => {
  test.each<[StateWord, string]>([
    ["failed", "NULL"],
    ["cancelled", "NULL"],
    ["queued", "now()"],
    ["running", "now()"],
  ])("is set where it has ended, and only there: not %s with %s", async (to, value) => {
    const jobId = await jobIn(prisma, "queued");
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, to, { job: { ended_at: value } }))).toBe("23514");
  });
});

describe("a job's releases", () => {
  test("grow by one, go back to none, and are at most a hundred", async () => {
    const jobId = await jobIn(prisma, "running");
    const to = (releases: number) =>
      outcomeOf(prisma, (tx) => change(tx, jobId, "running", { job: { releases: String(releases) } }));
    expect(await to(2)).toBe("AJ007");
    for (let releases = 1; releases <= 100; releases++) expect(await to(releases)).toBe("committed");
    expect(await to(101)).toBe("23514");
    expect(await to(99)).toBe("AJ007");
    expect(await to(0)).toBe("committed");
  });
});
