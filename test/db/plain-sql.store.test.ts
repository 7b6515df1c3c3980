import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { JobState } from "../../src/db/generated/client/enums.ts";
import { toDbEnum } from "../../src/db/rows.ts";
import { mayBecome } from "../../src/jobs/state.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import {
  type Columns,
  change,
  changeJobAlone,
  everythingOf,
  insertJob,
  jobIn,
  METRICS,
  outcomeOf,
  poisonedJobWithRunLeft,
  runningJob,
} from "../support/plain-sql.ts";
import { PAIRS, STATES } from "../support/transition-table.ts";

/** Jobs against any other writer (sections 3, 4 and 5). */

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
});
afterAll(() => db.close());

describe("a job's state", () => {
  // From running to awaiting_user leads a question, and nothing else: test/db/plain-sql-waits.store.test.ts.
  const allowed = PAIRS.filter((pair) => pair.allowed && !(pair.from === "running" && pair.to === "awaiting_user"));
  test.each(allowed)("$from may become $to", async ({ from, to }) => {
    const jobId = await jobIn(prisma, from);
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, to))).toBe("committed");
    expect(await prisma.aiJob.findUnique({ where: { jobId } })).toMatchObject({ state: to.toUpperCase() });
  });

  test.each(PAIRS.filter(({ allowed }) => !allowed))("$from may not become $to", async ({ from, to }) => {
    const jobId = await jobIn(prisma, from);
    await expectRefused(from === "poisoned" ? "AJ004" : "AJ001", jobId, (tx) => change(tx, jobId, to));
  });

  test.each(STATES.filter((state) => state !== "poisoned"))("%s may be kept by a change", async (state) => {
    const jobId = await jobIn(prisma, state);
    const before = await prisma.aiJob.findUniqueOrThrow({ where: { jobId } });
    const more = { job: { status_reason: "'looked at again'" }, event: { type: "'diagnostic'" } };
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, state, more))).toBe("committed");
    expect(await prisma.aiJob.findUnique({ where: { jobId } })).toMatchObject({
      state: before.state,
      statusReason: "looked at again",
      version: before.version + 1,
    });
  });

  test("the database's table is the one of src/jobs/state.ts", async () => {
    const pairs = await prisma.$queryRaw<{ from: string; to: string; allowed: boolean }[]>`
      SELECT "from"::text, "to"::text, ai_job_transition_allowed("from", "to") AS allowed
      FROM unnest(enum_range(NULL::"JobState")) AS "from", unnest(enum_range(NULL::"JobState")) AS "to"`;
    const states = Object.values(JobState);
    const table = states.flatMap((from) =>
      states.map((to) => ({ from: toDbEnum(from), to: toDbEnum(to), allowed: mayBecome(from, to) })),
    );
    expect(pairs).toHaveLength(100);
    expect(pairs).toEqual(expect.arrayContaining(table));
  });
});

describe("a poisoned job", () => {
  const changes: readonly (readonly [string, (jobId: string) => string])[] = [
    ["that sets what it has", (id) => `UPDATE ai_jobs SET status_reason = status_reason WHERE job_id = '${id}'`],
    ["of its error message", (id) => `UPDATE ai_jobs SET error_message = 'none' WHERE job_id = '${id}'`],
    ["of its metrics", (id) => `UPDATE ai_jobs SET duration_ms = duration_ms + 1 WHERE job_id = '${id}'`],
    [
      "by an upsert",
      (id) => `INSERT INTO ai_jobs (job_id, workspace_id, trace_id, job_kind, status_reason, protocol_id, profile_id,
          capability_profile_id, submit_hash, submitted_by, order_xid, chain_hash)
        SELECT job_id, workspace_id, trace_id, job_kind, status_reason, protocol_id, profile_id, capability_profile_id,
          submit_hash, submitted_by, current_order_xid(), chain_hash
        FROM ai_jobs WHERE job_id = '${id}' ON CONFLICT (job_id) DO UPDATE SET state = 'queued', version = 3`,
    ],
  ];

  test.each(changes)("refuses an update %s", async (_, sql) => {
    const { jobId } = await poisonedJobWithRunLeft(prisma);
    await expectRefused("AJ004", jobId, (tx) => tx.$executeRawUnsafe(sql(jobId)));
  });

  test("refuses a version that keeps it poisoned, event and all", async () => {
    const jobId = await jobIn(prisma, "poisoned");
    await expectRefused("AJ004", jobId, (tx) => change(tx, jobId, "poisoned"));
  });

  test("cannot be deleted", async () => {
    const jobId = await jobIn(prisma, "poisoned");
    await expectRefused("AJ005", jobId, (tx) => tx.$executeRaw`DELETE FROM ai_jobs WHERE job_id = ${jobId}::uuid`);
  });
});

const MAX = "9007199254740991";
const TOO_MUCH = "9007199254740992";

/** A change of one metric with whatever else the token rules ask for, so that only what is tested is wrong. */
function metric(name: string, value: string): Columns {
  switch (name) {
    case "total_tokens":
    case "input_tokens":
      return { input_tokens: value, total_tokens: value };
    case "output_tokens":
      return { output_tokens: value, total_tokens: value };
    case "tokens_planner":
    case "tokens_executor":
      return { [name]: value, input_tokens: value, total_tokens: value };
    default:
      return { [name]: value };
  }
}

describe("metrics", () => {
  test.each(METRICS)("%s counts up to 2^53 - 1", async (name) => {
    const jobId = await jobIn(prisma, "running");
    const work = outcomeOf(prisma, (tx) => change(tx, jobId, "running", { job: metric(name, MAX) }));
    expect(await work).toBe("committed");
    const [row] = await prisma.$queryRawUnsafe<{ value: string }[]>(
      `SELECT ${name}::text AS value FROM ai_jobs WHERE job_id = '${jobId}'`,
    );
    expect(row?.value).toBe(MAX);
  });

  test.each(METRICS)("%s does not pass 2^53 - 1", async (name) => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused("23514", jobId, (tx) => change(tx, jobId, "running", { job: metric(name, TOO_MUCH) }));
  });

  test.each(METRICS)("%s is never NULL", async (name) => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused("23502", jobId, (tx) => change(tx, jobId, "running", { job: { [name]: "NULL" } }));
  });

  test.each(METRICS)("%s of a new job cannot be NULL", async (name) => {
    const jobId = randomUUID();
    await expectRefused("23502", jobId, (tx) => insertJob(tx, jobId, { job: { [name]: "NULL" } }));
  });

  test.each(METRICS)("%s never shrinks", async (name) => {
    const jobId = await jobIn(prisma, "running");
    await prisma.$transaction((tx) => change(tx, jobId, "running", { job: metric(name, "5") }));
    // A part of the total shrinks by itself; anything else with what the sum asks for.
    const shrunk = name.startsWith("tokens_") ? { [name]: "4" } : metric(name, "4");
    await expectRefused("AJ007", jobId, (tx) => change(tx, jobId, "running", { job: shrunk }));
  });

  test.each([...METRICS, "attempt"])("%s of a new job is not other than zero", async (name) => {
    const jobId = randomUUID();
    await expectRefused("AJ003", jobId, (tx) => insertJob(tx, jobId, { job: metric(name, "1") }));
  });

  test.each(METRICS)("%s of a new job is not negative", async (name) => {
    const jobId = randomUUID();
    await expectRefused("23514", jobId, (tx) => insertJob(tx, jobId, { job: metric(name, "-1") }));
  });

  test.each(METRICS)("%s does not become negative", async (name) => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused("AJ007", jobId, (tx) => change(tx, jobId, "running", { job: metric(name, "-1") }));
  });

  const unbalanced: readonly (readonly [string, Columns])[] = [
    ["a total above input + output", { input_tokens: "3", output_tokens: "4", total_tokens: "8" }],
    ["a total below input + output", { input_tokens: "3", output_tokens: "4", total_tokens: "6" }],
    ["a planner's part above the total", { input_tokens: "3", total_tokens: "3", tokens_planner: "4" }],
    [
      "planner + executor above the total",
      { input_tokens: "3", total_tokens: "3", tokens_planner: "2", tokens_executor: "2" },
    ],
  ];

  test.each(unbalanced)("%s is refused", async (_, job) => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused("23514", jobId, (tx) => change(tx, jobId, "running", { job }));
  });
});

describe("how a job begins", () => {
  test.each([
    ["a state", { state: "'running'" }],
    ["the state that nothing leaves", { state: "'poisoned'", completed_at: "now()" }],
    ["a version", { version: "2" }],
    ["a version before the first", { version: "0" }],
    ["outputs", { job_outputs: "'{}'" }],
  ])("is not with %s of its own", async (_, job: Columns) => {
    const jobId = randomUUID();
    await expectRefused("AJ003", jobId, (tx) => insertJob(tx, jobId, { job }));
  });

  test("is not with a run of another job", async () => {
    const { runId } = await runningJob(prisma);
    const jobId = randomUUID();
    await expectRefused("AJ003", jobId, (tx) => insertJob(tx, jobId, { job: { workflow_run_id: `'${runId}'` } }));
  });

  test.each(["current_order_xid() - 1", "current_order_xid() + 1", "0"])(
    "is not with the order_xid %s",
    async (xid) => {
      const jobId = randomUUID();
      await expectRefused("AJ002", jobId, (tx) => insertJob(tx, jobId, { job: { order_xid: xid } }));
    },
  );
});

describe("a job's columns", () => {
  test.each(["queued", "running", "stalled", "failed", "cancelled"] as const)("%s has no outputs", async (to) => {
    const from = to === "stalled" ? "running" : "queued";
    const jobId = await jobIn(prisma, to === "queued" ? "running" : from);
    await expectRefused("23514", jobId, (tx) => change(tx, jobId, to, { job: { job_outputs: "'{}'" } }));
  });

  test("poisoned has no outputs, though they stood before", async () => {
    const jobId = await jobIn(prisma, "awaiting_user");
    await expectRefused("23514", jobId, (tx) => change(tx, jobId, "poisoned", { job: { job_outputs: "job_outputs" } }));
  });

  const refused: readonly (readonly [what: string, code: string, job: Columns])[] = [
    ["a JSON null for outputs", "23514", { job_outputs: "'null'" }],
    ["no JSON", "22P02", { job_outputs: "'{'" }],
    ["U+0000 in JSON", "22P05", { job_outputs: `'"\\u0000"'` }],
    ["an empty status_reason", "23514", { status_reason: "''" }],
    ["no status_reason", "23502", { status_reason: "NULL" }],
    ["a state outside of the enum", "22P02", { state: "'finished'" }],
    ["a state in capitals", "22P02", { state: "'COMPLETED'" }],
    ["a text for a state", "42804", { state: "status_reason" }],
    ["no completed_at where nothing leaves", "23514", { completed_at: "NULL" }],
    ["fewer attempts than before", "AJ007", { attempt: "attempt - 1" }],
    ["another id", "AJ007", { job_id: "gen_random_uuid()" }],
    ["another workspace", "AJ007", { workspace_id: "gen_random_uuid()" }],
    ["another trace", "AJ007", { trace_id: "gen_random_uuid()" }],
    ["another kind", "AJ007", { job_kind: "'terminal_exec'" }],
    ["another model tier", "AJ007", { model_tier: "'cloud'" }],
    ["another access mode", "AJ007", { access_mode: "'apply_scoped'" }],
    ["another safety mode", "AJ007", { safety_mode: "'experimental'" }],
    ["another protocol", "AJ007", { protocol_id: "'another'" }],
    ["other inputs", "AJ007", { job_inputs: `'{"text": "another"}'` }],
    ["other entities", "AJ007", { entity_refs: `'[{"entityKind": "document", "entityId": "2"}]'` }],
    ["other planned operations", "AJ007", { planned_operations: "'[1]'" }],
    ["another submit_hash", "AJ007", { submit_hash: "repeat('b', 64)" }],
    ["another time of its beginning", "AJ007", { created_at: "created_at - interval '1 day'" }],
    ["an idempotency key that it had not", "AJ007", { idempotency_key: "'key'" }],
    ["a parent that it had not", "AJ007", { parent_job_id: "job_id" }],
    ["a run that does not exist", "23503", { workflow_run_id: "gen_random_uuid()" }],
  ];

  test.each(refused)("%s is refused", async (_, code, job) => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused(code, jobId, (tx) => change(tx, jobId, "completed", { job }));
  });

  test.each(["'abc'", "repeat('A', 64)", "repeat('a', 65)", "''"])(
    "%s is refused for a chain_hash",
    async (chain_hash) => {
      const jobId = await jobIn(prisma, "running");
      await expectRefused("23514", jobId, (tx) => changeJobAlone(tx, jobId, "completed", { chain_hash }));
    },
  );

  test.each(["'abc'", "repeat('A', 64)"])("%s is refused for a submit_hash", async (submit_hash) => {
    const jobId = randomUUID();
    await expectRefused("23514", jobId, (tx) => insertJob(tx, jobId, { job: { submit_hash } }));
  });

  test("completed_at where a state may be left is refused", async () => {
    const jobId = await jobIn(prisma, "queued");
    await expectRefused("23514", jobId, (tx) => change(tx, jobId, "running", { job: { completed_at: "now()" } }));
  });

  test.each([
    ["a JSON null for inputs", { job_inputs: "'null'" }],
    ["an object for entity_refs", { entity_refs: "'{}'" }],
    ["a JSON null for planned_operations", { planned_operations: "'null'" }],
  ])("%s cannot be inserted", async (_, job: Columns) => {
    const jobId = randomUUID();
    await expectRefused("23514", jobId, (tx) => insertJob(tx, jobId, { job }));
  });

  test.each([
    ["kind", { job_kind: "'poetry'" }],
    ["legacy alias of a kind", { job_kind: "'term_exec'" }],
    ["access mode", { access_mode: "'everything'" }],
    ["safety mode", { safety_mode: "'off'" }],
    ["model tier", { model_tier: "'edge'" }],
    ["state", { state: "''" }],
  ])("a %s that is none cannot be inserted", async (_, job: Columns) => {
    const jobId = randomUUID();
    await expectRefused("22P02", jobId, (tx) => insertJob(tx, jobId, { job }));
  });
});

describe("a job's version", () => {
  test.each(["version", "version + 2", "version - 1", "1"])("cannot be set to %s", async (version) => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused("AJ002", jobId, (tx) => changeJobAlone(tx, jobId, "running", { version }));
  });

  test("cannot be left as it is while something changes", async () => {
    const jobId = await jobIn(prisma, "running");
    const sql = `UPDATE ai_jobs SET status_reason = 'changed' WHERE job_id = '${jobId}'`;
    await expectRefused("AJ002", jobId, (tx) => tx.$executeRawUnsafe(sql));
  });

  test.each(["order_xid", "current_order_xid() + 1", "0"])("has no order_xid of %s", async (xid) => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused("AJ002", jobId, (tx) => change(tx, jobId, "running", { job: { order_xid: xid } }));
  });

  test("cannot be the same for two jobs' rows: an id is one job's", async () => {
    const jobId = await jobIn(prisma, "running");
    await expectRefused("23505", jobId, (tx) => insertJob(tx, jobId));
  });
});

async function expectRefused(code: string, jobId: string, work: Parameters<typeof outcomeOf>[1]): Promise<void> {
  const before = await everythingOf(prisma, jobId);
  expect(await outcomeOf(prisma, work)).toBe(code);
  expect(await everythingOf(prisma, jobId)).toEqual(before);
}
