import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { Transaction } from "../../src/db/transaction.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { WORKSPACE } from "../support/engine.ts";
import {
  addOtherWorkspace,
  type Columns,
  change,
  insertRun,
  type JobWithRun,
  OTHER_WORKSPACE,
  outcomeOf,
  runningJob,
  update,
} from "../support/plain-sql.ts";

/** Partial output against any other writer (section 13). */

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
  await addOtherWorkspace(prisma);
});
afterAll(() => db.close());

/** Inserts a chunk; by default the first one of the job's run. */
function insertChunk(tx: Transaction, { jobId, runId }: JobWithRun, otherwise: Columns = {}): Promise<number> {
  const columns: Columns = {
    workspace_id: `'${WORKSPACE}'`,
    job_id: `'${jobId}'`,
    attempt: "1",
    sequence: "1",
    workflow_run_id: `'${runId}'`,
    text: "'One '",
    total_bytes: "4",
    ...otherwise,
  };
  return tx.$executeRawUnsafe(
    `INSERT INTO output_chunks (${Object.keys(columns).join(", ")}) VALUES (${Object.values(columns).join(", ")})`,
  );
}
const second = (more: Columns = {}): Columns => ({ sequence: "2", text: "'zwölf'", total_bytes: "10", ...more });

/** A running job with a chunk. */
async function withChunk(): Promise<JobWithRun> {
  const job = await runningJob(prisma);
  await prisma.$transaction((tx) => insertChunk(tx, job));
  return job;
}

const deleteOf = (tx: Transaction, { jobId }: JobWithRun) =>
  tx.$executeRawUnsafe(`DELETE FROM output_chunks WHERE job_id = '${jobId}'`);
const ENDED: Columns = { state: "'failed'", lease_expires_at: "NULL", finished_at: "now()", end_reason: "'ended'" };

describe("a chunk", () => {
  test("is accepted behind the last one, with its bytes added", async () => {
    const job = await withChunk();
    expect(await outcomeOf(prisma, (tx) => insertChunk(tx, job, second()))).toBe("committed");
  });

  test.each([
    ["under a sequence that is taken", {}, "AJ003"],
    ["behind a gap", second({ sequence: "3" }), "AJ003"],
    ["with a sequence below the first", second({ sequence: "0" }), "AJ003"],
    ["that counts its bytes wrong", second({ total_bytes: "9" }), "AJ003"],
    ["of another attempt than its run's", second({ attempt: "2", sequence: "1", total_bytes: "6" }), "AJ003"],
    ["of a run that there is not", second({ workflow_run_id: "gen_random_uuid()" }), "23503"],
    ["of a run of another workspace", second({ workspace_id: `'${OTHER_WORKSPACE}'` }), "23503"],
    ["without text", second({ text: "''", total_bytes: "4" }), "23514"],
    ["of more than 16 KiB", second({ text: "repeat('ä', 8193)", total_bytes: "16390" }), "23514"],
  ])("%s is refused", async (_, otherwise, code) => {
    const job = await withChunk();
    expect(await outcomeOf(prisma, (tx) => insertChunk(tx, job, otherwise))).toBe(code);
  });

  test("of another job than its run's is refused", async () => {
    const [one, other] = [await runningJob(prisma), await runningJob(prisma)];
    expect(await outcomeOf(prisma, (tx) => insertChunk(tx, { ...one, runId: other.runId }))).toBe("AJ003");
  });

  test("beyond 4 MiB, and beyond 65,536 in number, is refused", async () => {
    const job = await withChunk();
    // As if the others were there: only the last one is looked at.
    const last = (sequence: number, total: number) =>
      prisma.$transaction(async (tx) => {
        await tx.$executeRawUnsafe("SET LOCAL session_replication_role = replica");
        await tx.$executeRawUnsafe(
          `UPDATE output_chunks SET sequence = ${sequence}, total_bytes = ${total} WHERE job_id = '${job.jobId}'`,
        );
      });
    const next = (sequence: number, total: number) =>
      outcomeOf(prisma, (tx) => insertChunk(tx, job, second({ sequence: `${sequence}`, total_bytes: `${total}` })));
    await last(300, 4_194_304 - 5);
    expect(await next(301, 4_194_305)).toBe("23514");
    await last(65_536, 100_000);
    expect(await next(65_537, 100_006)).toBe("23514");
  });

  test.each(["failed", "awaiting_validation", "stalled"])("of a run that is %s is refused", async (state) => {
    const job = await withChunk();
    const finished = state === "awaiting_validation" ? {} : { finished_at: "now()", end_reason: "'ended'" };
    const ended = { state: `'${state}'`, lease_expires_at: "NULL", ...finished };
    const outcome = outcomeOf(prisma, async (tx) => {
      await update(tx, "workflow_runs", job.runId, ended);
      await insertChunk(tx, job, second());
    });
    expect(await outcome).toBe("AJ004");
  });

  test("of a job that is poisoned is refused", async () => {
    const job = await withChunk();
    const outcome = outcomeOf(prisma, async (tx) => {
      await change(tx, job.jobId, "poisoned");
      await insertChunk(tx, job, second());
    });
    expect(await outcome).toBe("AJ004");
  });

  test("never changes", async () => {
    const { jobId } = await withChunk();
    const set = (sql: string) =>
      outcomeOf(prisma, (tx) => tx.$executeRawUnsafe(`UPDATE output_chunks SET ${sql} WHERE job_id = '${jobId}'`));
    for (const sql of ["text = 'Two '", "sequence = sequence", "workspace_id = workspace_id"])
      expect(await set(sql)).toBe("AJ005");
    expect(await outcomeOf(prisma, (tx) => tx.$executeRawUnsafe("TRUNCATE output_chunks"))).toBe("AJ005");
  });
});

describe("output is not deleted", () => {
  test("while its run has not ended", async () => {
    const job = await withChunk();
    expect(await outcomeOf(prisma, (tx) => deleteOf(tx, job))).toBe("AJ005");
  });

  test("when its run has only just ended, and not together with what may be", async () => {
    const [job, poisoned] = [await withChunk(), await withChunk()];
    await prisma.$transaction((tx) => update(tx, "workflow_runs", job.runId, ENDED));
    await prisma.$transaction((tx) => change(tx, poisoned.jobId, "poisoned"));
    expect(await outcomeOf(prisma, (tx) => deleteOf(tx, job))).toBe("AJ005");
    const both = `job_id IN ('${job.jobId}', '${poisoned.jobId}')`;
    expect(await outcomeOf(prisma, (tx) => tx.$executeRawUnsafe(`DELETE FROM output_chunks WHERE ${both}`))).toBe(
      "AJ005",
    );
  });

  test("before its job is poisoned, in the same transaction", async () => {
    const job = await withChunk();
    const outcome = outcomeOf(prisma, async (tx) => {
      await deleteOf(tx, job);
      await change(tx, job.jobId, "poisoned");
    });
    expect(await outcome).toBe("AJ005");
  });
});

describe("output is deleted", () => {
  test("when its run ended more than an hour ago, and others of its job stay", async () => {
    const job = await runningJob(prisma);
    await prisma.$transaction(async (tx) => {
      await insertChunk(tx, job);
      const longAgo = { ...ENDED, finished_at: "now() - interval '3601 seconds'" };
      await update(tx, "workflow_runs", job.runId, longAgo);
      const runId = await insertRun(tx, job.jobId, { attempt: "2" });
      await insertChunk(tx, { ...job, runId }, { attempt: "2" });
    });
    const first = `DELETE FROM output_chunks WHERE job_id = '${job.jobId}' AND attempt = 1`;
    expect(await outcomeOf(prisma, (tx) => tx.$executeRawUnsafe(first))).toBe("committed");
    expect(await outcomeOf(prisma, (tx) => deleteOf(tx, job))).toBe("AJ005");
  });

  test("when its job is poisoned, in the same transaction or later", async () => {
    const [one, other] = [await withChunk(), await withChunk()];
    const atOnce = outcomeOf(prisma, async (tx) => {
      await change(tx, one.jobId, "poisoned");
      await deleteOf(tx, one);
    });
    expect(await atOnce).toBe("committed");
    await prisma.$transaction((tx) => change(tx, other.jobId, "poisoned"));
    expect(await outcomeOf(prisma, (tx) => deleteOf(tx, other))).toBe("committed");
  });
});
