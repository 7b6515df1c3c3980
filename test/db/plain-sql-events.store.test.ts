import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import {
  addOtherWorkspace,
  type Columns,
  change,
  changeJobAlone,
  everythingOf,
  insertEvent,
  insertJob,
  insertJobAlone,
  jobIn,
  METRICS,
  OTHER_WORKSPACE,
  outcomeOf,
  runningJob,
} from "../support/plain-sql.ts";

/** The flight recorder against any other writer: one event for every version, append-only, chained (sections 4 and 9). */

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
  await addOtherWorkspace(prisma);
});
afterAll(() => db.close());

describe("a version without its event", () => {
  test("is refused at the commit, not before: the job is as it was", async () => {
    const jobId = await jobIn(prisma, "running");
    const changed: number[] = [];
    await expectRefused("AJ006", jobId, async (tx) => {
      changed.push(await changeJobAlone(tx, jobId, "completed"));
      changed.push(await tx.aiJob.count({ where: { jobId, state: "COMPLETED" } }));
    });
    expect(changed).toEqual([1, 1]);
  });

  test("is refused where it is the first", async () => {
    const jobId = randomUUID();
    await expectRefused("AJ006", jobId, (tx) => insertJobAlone(tx, jobId));
  });

  test("is refused where the versions before and after it have theirs", async () => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused("AJ006", jobId, async (tx) => {
      await change(tx, jobId, "running");
      await changeJobAlone(tx, jobId, "running");
      await change(tx, jobId, "running", { event: { previous_state: "'running'" } });
    });
  });

  test("takes every other change of its transaction with it", async () => {
    const [good, bad] = [await jobIn(prisma, "queued"), await jobIn(prisma, "queued")];
    const before = await everythingOf(prisma, good);
    await expectRefused("AJ006", bad, async (tx) => {
      await change(tx, good, "running");
      await changeJobAlone(tx, bad, "running");
    });
    expect(await everythingOf(prisma, good)).toEqual(before);
  });

  test("leaves the connection fit for the next transaction", async () => {
    const jobId = await jobIn(prisma, "queued");
    await expectRefused("AJ006", jobId, (tx) => changeJobAlone(tx, jobId, "running"));
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "running"))).toBe("committed");
  });
});

test("one transaction may make several versions, each with its event", async () => {
  const jobId = randomUUID();
  await prisma.$transaction(async (tx) => {
    await insertJob(tx, jobId);
    await change(tx, jobId, "running");
    await change(tx, jobId, "failed");
  });
  const events = await prisma.flightRecorderEvent.findMany({ where: { jobId }, orderBy: { version: "asc" } });
  expect(events.map(({ version, state }) => [version, state])).toEqual([
    [1, "QUEUED"],
    [2, "RUNNING"],
    [3, "FAILED"],
  ]);
});

describe("an event without its version", () => {
  test.each(["version + 1", "version + 2"])("is refused at once: %s", async (version) => {
    const jobId = await jobIn(prisma, "running");
    const inserted: number[] = [];
    await expectRefused("AJ006", jobId, async (tx) => {
      inserted.push(await insertEvent(tx, jobId, { version }));
    });
    expect(inserted).toEqual([]);
  });

  test("is refused beside others of its statement that have theirs", async () => {
    const [good, bad] = [await jobIn(prisma, "running"), await jobIn(prisma, "running")];
    const before = await everythingOf(prisma, good);
    await expectRefused("AJ006", bad, async (tx) => {
      await changeJobAlone(tx, good, "running");
      await tx.$executeRaw`
        INSERT INTO flight_recorder_events (event_id, job_id, version, order_xid, workspace_id, trace_id, type, actor,
          actor_id, state, previous_state, recorded_at, prev_hash, hash)
        SELECT gen_random_uuid(), job_id, version + (job_id = ${bad}::uuid)::int, order_xid, workspace_id, trace_id,
          'state_changed', 'system', 'plain-sql', state, state, updated_at, repeat('0', 64), chain_hash
        FROM ai_jobs WHERE job_id IN (${good}::uuid, ${bad}::uuid)`;
    });
    expect(await everythingOf(prisma, good)).toEqual(before);
  });

  test("is refused where its version has one", async () => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused("23505", jobId, (tx) => insertEvent(tx, jobId));
  });

  test("is refused where an earlier version has one", async () => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused("23505", jobId, (tx) => insertEvent(tx, jobId, { version: "1" }));
  });

  test("is refused where there is no such job", async () => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused("23503", jobId, (tx) => insertEvent(tx, jobId, { job_id: "gen_random_uuid()" }));
  });
});

describe("an event that tells of its version", () => {
  const untrue: readonly (readonly [string, Columns])[] = [
    ["another state", { state: "'completed_with_issues'" }],
    ["another previous state", { previous_state: "'queued'" }],
    ["no previous state", { previous_state: "NULL" }],
    ["another hash", { hash: "repeat('b', 64)" }],
    ["another previous hash", { prev_hash: "repeat('b', 64)" }],
    ["the start of the chain", { prev_hash: "repeat('0', 64)" }],
    ["another order_xid", { order_xid: "order_xid / 2" }],
    ["another trace", { trace_id: "gen_random_uuid()" }],
    ...METRICS.map((name) => [`another ${name}`, { [name]: `${name} + 1` }] as const),
  ];

  test.each(untrue)("with %s is refused at the commit", async (_, event) => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused("AJ006", jobId, (tx) => change(tx, jobId, "completed", { event }));
  });

  test("with another hash is refused where a later version of its transaction tells the truth", async () => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused("AJ006", jobId, async (tx) => {
      await change(tx, jobId, "running", { event: { hash: "repeat('b', 64)" } });
      await change(tx, jobId, "running");
    });
  });

  test.each([
    ["a previous state", { previous_state: "'queued'" }],
    ["something before it in the chain", { prev_hash: "repeat('b', 64)" }],
    ["another state", { state: "'running'" }],
  ])("with %s is refused where it is the first", async (_, event: Columns) => {
    const jobId = randomUUID();
    await expectRefused("AJ006", jobId, (tx) => insertJob(tx, jobId, { event }));
  });

  const malformed: readonly (readonly [string, string, Columns])[] = [
    ["a workspace that is not its job's", "23503", { workspace_id: `'${OTHER_WORKSPACE}'` }],
    ["a type outside of the enum", "22P02", { type: "'job_deleted'" }],
    ["an actor outside of the enum", "22P02", { actor: "'robot'" }],
    ["a state outside of the enum", "22P02", { state: "'finished'" }],
    ["a list for its payload", "23514", { payload: "'[]'" }],
    ["a JSON null for its payload", "23514", { payload: "'null'" }],
    ["no payload", "23502", { payload: "NULL" }],
    ["no metrics", "23502", { total_tokens: "NULL" }],
    ["no actor's id", "23502", { actor_id: "NULL" }],
    ["a version before the first", "23514", { version: "0" }],
    ["a hash that is none", "23514", { hash: "'abc'" }],
    ["a hash in capitals", "23514", { hash: "repeat('A', 64)" }],
    ["a previous hash that is none", "23514", { prev_hash: "''" }],
  ];

  test.each(malformed)("with %s is refused", async (_, code, event) => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused(code, jobId, (tx) => change(tx, jobId, "completed", { event }));
  });
});

describe("what was recorded", () => {
  test.each([
    'payload = \'{"reason": "another"}\'',
    "recorded_at = now()",
    "hash = repeat('b', 64)",
    "version = version + 1",
    "payload = payload",
  ])("cannot be changed: %s", async (assignment) => {
    const jobId = await jobIn(prisma, "completed");
    const sql = `UPDATE flight_recorder_events SET ${assignment} WHERE job_id = '${jobId}' AND version = 3`;
    await expectRefused("AJ005", jobId, (tx) => tx.$executeRawUnsafe(sql));
  });

  test.each([1, 2, 3])("cannot be deleted: version %d of three", async (version) => {
    const jobId = await jobIn(prisma, "completed");
    const sql = `DELETE FROM flight_recorder_events WHERE job_id = '${jobId}' AND version = ${version}`;
    await expectRefused("AJ005", jobId, (tx) => tx.$executeRawUnsafe(sql));
  });

  test("cannot be deleted with its job", async () => {
    const jobId = await jobIn(prisma, "completed");
    await expectRefused("AJ005", jobId, async (tx) => {
      await tx.$executeRawUnsafe(`DELETE FROM ai_jobs WHERE job_id = '${jobId}'`);
    });
  });

  test.each(["flight_recorder_events", "ai_jobs", "workflow_runs", "node_executions"])(
    "cannot be truncated: %s",
    async (table) => {
      const { jobId } = await runningJob(prisma);
      const sql = `TRUNCATE ${table} CASCADE`;
      await expectRefused("AJ005", jobId, (tx) => tx.$executeRawUnsafe(sql));
      // By its own trigger, and not only by those of the tables that go with it.
      await expect(prisma.$executeRawUnsafe(sql)).rejects.toThrow(
        `TRUNCATE on ${table}: the rows of this table are kept`,
      );
    },
  );

  test("cannot be truncated all at once", async () => {
    const { jobId } = await runningJob(prisma);
    const sql =
      "TRUNCATE ai_jobs, job_labels, workflow_runs, node_executions, user_input_requests, flight_recorder_events, " +
      "worker_reports, usage_entries, output_chunks, bulk_action_items";
    await expectRefused("AJ005", jobId, (tx) => tx.$executeRawUnsafe(sql));
  });
});

async function expectRefused(code: string, jobId: string, work: Parameters<typeof outcomeOf>[1]): Promise<void> {
  const before = await everythingOf(prisma, jobId);
  expect(await outcomeOf(prisma, work)).toBe(code);
  expect(await everythingOf(prisma, jobId)).toEqual(before);
}
