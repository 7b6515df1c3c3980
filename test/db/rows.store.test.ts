import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Prisma, type PrismaClient } from "../../src/db/generated/client/client.ts";
import * as enums from "../../src/db/generated/client/enums.ts";
import { JOB_COLUMNS, jobColumns, METRIC_NAMES } from "../../src/db/job-columns.ts";
import {
  EVENT_COLUMNS,
  NODE_COLUMNS,
  NODE_FIELDS,
  QUOTA_COLUMNS,
  RUN_COLUMNS,
  selectList,
  snakeCase,
  toDbEnum,
  toRecord,
} from "../../src/db/rows.ts";
import { SCHEMA_FILE } from "../../src/db/schema-engine.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { WORKSPACE } from "../support/engine.ts";
import { change, childOf, insertJob, insertNode, insertRun, jobIn, outcomeOf, update } from "../support/plain-sql.ts";
import { STATES } from "../support/transition-table.ts";

let db: TestDatabase;
let prisma: PrismaClient;
let full: { readonly jobId: string; readonly runId: string; readonly nodeId: string };
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
  full = await aFullJob();
});
afterAll(() => db.close());

const QUOTES = `it''s "quoted" \\back {brace}, Grüße 漢字 😀`;
const MAX = Number.MAX_SAFE_INTEGER;

/**
 * A job, a run, a node, an event and a quota that have a value in every column, and beside them a run and a node that
 * run, and a quota without a window.
 */
async function aFullJob() {
  const [jobId, parent] = [randomUUID(), await jobIn(prisma, "queued")];
  return prisma.$transaction(async (tx) => {
    await insertJob(tx, jobId, {
      job: {
        ...childOf(parent),
        job_kind: "'sheet_transform'",
        access_mode: "'apply_scoped'",
        safety_mode: "'experimental'",
        model_tier: "'cloud'",
        entity_refs: `'[{"entityKind": "sheet", "entityId": "1", "selector": "A1:B2"}]'`,
        planned_operations: `'[{"opType": "write", "target": {"entityKind": "sheet", "entityId": "1"}}]'`,
        job_inputs: `'{"text": "${QUOTES.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}", "list": [1, 0.1, null, true]}'`,
        priority: "-7",
        token_budget: String(MAX),
        cost_budget_micros: String(MAX),
        preferred_worker_id: "'worker-7'",
        preferred_until: "'2026-01-02 03:04:05.006+00'",
        idempotency_key: "'key'",
        max_attempts: "9",
      },
    });
    const runId = await insertRun(tx, jobId, { principal_id: "'key:1'" });
    await change(tx, jobId, "running", { job: { workflow_run_id: `'${runId}'`, attempt: "1" } });
    const nodeId = await insertNode(tx, runId, { input_payload: `'[{"a": {"b": []}}]'` });
    await insertNode(tx, runId, { node_id: "'running'", sequence: "2" });
    const finished_at = "'2026-02-28 23:59:59.999+00'";
    const node = { state: "'failed'", output_payload: `'"text"'`, error_message: `'${QUOTES}'`, finished_at };
    await update(tx, "node_executions", nodeId, node);
    await change(tx, jobId, "completed", {
      job: {
        error_message: `'${QUOTES}'`,
        status_reason: `'${QUOTES}'`,
        issues: `ARRAY['one', '', 'NULL', '${QUOTES}']`,
        run_after: "'2026-01-02 03:04:05.006+00'",
        progress_fraction: "0.1::float8 + 0.2",
        progress_message: `'${QUOTES}'`,
        progress_at: "'2026-01-02 03:04:05.006+00'",
        completed_at: finished_at,
        ended_at: finished_at,
        duration_ms: String(MAX),
        total_tokens: "5000000003",
        input_tokens: "3000000000",
        output_tokens: "2000000003",
        tokens_planner: "4",
        tokens_executor: "5",
        entities_read: "6",
        entities_written: "7",
        validators_run_count: "8",
      },
      event: {
        capability_id: "'doc.read'",
        principal_id: "'key:1'",
        payload: `'{"reason": "done", "n": [1e-7, -0.5]}'`,
        actor: "'agent'",
      },
    });
    await update(tx, "workflow_runs", runId, {
      state: "'completed'",
      lease_expires_at: "NULL",
      error_message: `'${QUOTES}'`,
      outputs: `'[null, 1]'`,
      end_reason: `'${QUOTES}'`,
      finished_at,
    });
    const asking = randomUUID();
    await insertJob(tx, asking);
    const asked = await insertRun(tx, asking);
    await change(tx, asking, "running", { job: { workflow_run_id: `'${asked}'`, attempt: "1" } });
    await tx.$executeRaw`
      INSERT INTO user_input_requests (request_id, workspace_id, job_id, workflow_run_id, question, expires_at)
      VALUES (gen_random_uuid(), ${WORKSPACE}::uuid, ${asking}::uuid, ${asked}::uuid, 'Send it?', '2026-06-01 12:00:00+02')`;
    const waits = { waits_for: "'user_input'", waits_until: "'2026-06-01 12:00:00+02'", job_outputs: "NULL" };
    await change(tx, asking, "awaiting_user", { job: waits });
    await tx.$executeRaw`
      INSERT INTO quotas (id, workspace_id, capability_profile_id, resource, max, window_seconds)
      VALUES (gen_random_uuid(), ${WORKSPACE}::uuid, 'default', 'tokens', ${MAX}, 3600),
        (gen_random_uuid(), ${WORKSPACE}::uuid, NULL, 'active_jobs', 0, NULL)`;
    await insertRun(tx, jobId, {
      attempt: "2",
      lease_expires_at: "'2026-06-01 12:00:00+02'",
      next_progress_fraction: "0.1::float8 + 0.2",
      next_progress_message: `'${QUOTES}'`,
      next_progress_at: "'2026-01-02 03:04:05.006+00'",
    });
    return { jobId, runId, nodeId };
  });
}

/** The rows of a full job, as a select list gives them, and as Prisma does. */
const tables = [
  {
    table: "ai_jobs",
    fields: Prisma.AiJobScalarFieldEnum,
    ours: () => prisma.$queryRaw<object[]>`SELECT ${JOB_COLUMNS} FROM ai_jobs ORDER BY job_id`,
    prismas: () => prisma.aiJob.findMany({ orderBy: { jobId: "asc" } }),
    readBack: (rows: string) =>
      prisma.$queryRaw<object[]>`SELECT ${JOB_COLUMNS} FROM jsonb_populate_recordset(NULL::ai_jobs, ${rows}::jsonb)`,
  },
  {
    table: "workflow_runs",
    // A run is read without its outputs.
    fields: Object.keys(Prisma.WorkflowRunScalarFieldEnum).filter((field) => field !== "outputs"),
    ours: () => prisma.$queryRaw<object[]>`
      SELECT ${RUN_COLUMNS} FROM workflow_runs WHERE job_id = ${full.jobId}::uuid ORDER BY attempt`,
    prismas: () =>
      prisma.workflowRun.findMany({
        where: { jobId: full.jobId },
        orderBy: { attempt: "asc" },
        omit: { outputs: true },
      }),
    readBack: (rows: string) => prisma.$queryRaw<object[]>`
      SELECT ${RUN_COLUMNS} FROM jsonb_populate_recordset(NULL::workflow_runs, ${rows}::jsonb)`,
  },
  {
    table: "node_executions",
    fields: Prisma.NodeExecutionScalarFieldEnum,
    ours: () => prisma.$queryRaw<object[]>`
      SELECT ${NODE_COLUMNS} FROM node_executions WHERE workflow_run_id = ${full.runId}::uuid ORDER BY sequence`,
    prismas: () =>
      prisma.nodeExecution.findMany({ where: { workflowRunId: full.runId }, orderBy: { sequence: "asc" } }),
    readBack: (rows: string) => prisma.$queryRaw<object[]>`
      SELECT ${NODE_COLUMNS} FROM jsonb_populate_recordset(NULL::node_executions, ${rows}::jsonb)`,
  },
  {
    table: "flight_recorder_events",
    fields: Prisma.FlightRecorderEventScalarFieldEnum,
    ours: () => prisma.$queryRaw<object[]>`
      SELECT ${EVENT_COLUMNS} FROM flight_recorder_events WHERE job_id = ${full.jobId}::uuid ORDER BY version`,
    prismas: () => prisma.flightRecorderEvent.findMany({ where: { jobId: full.jobId }, orderBy: { version: "asc" } }),
    readBack: (rows: string) => prisma.$queryRaw<object[]>`
      SELECT ${EVENT_COLUMNS} FROM jsonb_populate_recordset(NULL::flight_recorder_events, ${rows}::jsonb)`,
  },
  {
    table: "quotas",
    fields: Prisma.QuotaScalarFieldEnum,
    ours: () => prisma.$queryRaw<object[]>`SELECT ${QUOTA_COLUMNS} FROM quotas ORDER BY max`,
    prismas: () => prisma.quota.findMany({ orderBy: { max: "asc" } }),
    readBack: (rows: string) =>
      prisma.$queryRaw<object[]>`SELECT ${QUOTA_COLUMNS} FROM jsonb_populate_recordset(NULL::quotas, ${rows}::jsonb)`,
  },
] as const;

describe.each(tables)("a row of $table", ({ fields, ours, prismas, readBack }) => {
  test("has every column, and here a value in each", async () => {
    const rows: readonly object[] = await prismas();
    const empty = Object.values(fields).filter((field) =>
      rows.every((row) => new Map<string, unknown>(Object.entries(row)).get(field) == null),
    );
    expect(empty).toEqual([]);
  });

  test("read by the select list is the row that Prisma reads, column by column", async () => {
    const [rows, expected] = [await ours(), await prismas()];
    expect(expected.length).toBeGreaterThan(0);
    expect(rows).toStrictEqual(expected);
    expect(Object.keys(rows[0] ?? {}).toSorted()).toEqual(Object.values<string>(fields).toSorted());
  });

  test("comes back from JSON as it was", async () => {
    const rows: readonly object[] = await prismas();
    expect(await readBack(JSON.stringify(rows.map(toRecord)))).toStrictEqual(rows);
  });
});

test("a job read by some of its columns has those as the row has them, and no others", async () => {
  const job = await prisma.aiJob.findUniqueOrThrow({ where: { jobId: full.jobId } });
  const { jobId, state, jobInputs, inputTokens, createdAt } = job;
  const rows = await prisma.$queryRaw<object[]>`
    SELECT ${jobColumns(["jobId", "state", "jobInputs", "inputTokens", "createdAt"])} FROM ai_jobs
    WHERE job_id = ${full.jobId}::uuid`;
  expect(rows).toStrictEqual([{ jobId, state, jobInputs, inputTokens, createdAt }]);
});

test("a node read without its payloads has everything else", async () => {
  const node = await prisma.nodeExecution.findUniqueOrThrow({ where: { id: full.nodeId } });
  const { inputPayload: _input, outputPayload: _output, ...rest } = node;
  const rows = await prisma.$queryRaw<object[]>`
    SELECT ${selectList(NODE_FIELDS.filter((field) => !field.endsWith("Payload")))} FROM node_executions WHERE id = ${full.nodeId}::uuid`;
  expect(rows).toStrictEqual([rest]);
});

test("the nine metrics are those of the spec, by its names", () => {
  expect(METRIC_NAMES.map(snakeCase)).toEqual([
    "duration_ms",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "tokens_planner",
    "tokens_executor",
    "entities_read",
    "entities_written",
    "validators_run_count",
  ]);
});

describe("an enum's words", () => {
  const names = Object.entries(enums).map(([name, values]) => [name, Object.values<string>(values)] as const);

  test("are of thirteen enums", () => {
    expect(names.map(([name]) => name).toSorted()).toEqual([
      "AccessMode",
      "BulkActionKind",
      "JobKind",
      "JobState",
      "ModelTier",
      "OperationType",
      "QuotaResource",
      "RecorderActor",
      "RecorderEventType",
      "Role",
      "SafetyMode",
      "ViolationType",
      "WaitsFor",
    ]);
  });

  test.each(names)("are those of PostgreSQL's type, in its order: %s", async (name, values) => {
    const rows = await prisma.$queryRaw<{ label: string }[]>`
      SELECT e.enumlabel AS label FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
      WHERE t.typname = ${name} ORDER BY e.enumsortorder`;
    expect(values.map((value) => toDbEnum(value))).toEqual(rows.map(({ label }) => label));
  });

  test.each(names)("are those that Prisma maps the names to: %s", async (name, values) => {
    const schema = await readFile(SCHEMA_FILE, "utf8");
    const block = new RegExp(`^enum ${name} \\{([^}]*)\\}`, "m").exec(schema)?.[1] ?? "";
    const mapped = [...block.matchAll(/^ {2}([A-Z_]+) +@map\("([a-z_]+)"\)$/gm)];
    expect(mapped.map(([, value = "", stored]) => [value, stored])).toEqual(
      values.map((value) => [value, toDbEnum(value)]),
    );
  });

  test.each(STATES)("written by SQL are read by Prisma: the state %s", async (state) => {
    const jobId = await jobIn(prisma, state);
    const job = await prisma.aiJob.findUniqueOrThrow({ where: { jobId } });
    expect(toDbEnum(job.state)).toBe(state);
  });

  const columns = [
    ["jobKind", Object.values(enums.JobKind)],
    ["accessMode", Object.values(enums.AccessMode)],
    ["safetyMode", Object.values(enums.SafetyMode)],
    ["modelTier", Object.values(enums.ModelTier)],
  ] as const;
  const cases = columns.flatMap(([field, values]) => values.map((value) => ({ field, value })));

  test.each(cases)("written by SQL are read by Prisma: $field $value", async ({ field, value }) => {
    const jobId = randomUUID();
    const job = { [snakeCase(field)]: `'${toDbEnum(value)}'` };
    expect(await outcomeOf(prisma, (tx) => insertJob(tx, jobId, { job }))).toBe("committed");
    expect(await prisma.aiJob.findUnique({ where: { jobId } })).toMatchObject({ [field]: value });
  });

  const written = [
    ...Object.values(enums.RecorderEventType).map((value) => ({ field: "type", value })),
    ...Object.values(enums.RecorderActor).map((value) => ({ field: "actor", value })),
  ];

  test.each(written)("written by SQL are read by Prisma: an event's $field $value", async ({ field, value }) => {
    const jobId = randomUUID();
    const event = { [field]: `'${toDbEnum(value)}'` };
    expect(await outcomeOf(prisma, (tx) => insertJob(tx, jobId, { event }))).toBe("committed");
    const where = { jobId_version: { jobId, version: 1 } };
    expect(await prisma.flightRecorderEvent.findUnique({ where })).toMatchObject({ [field]: value });
  });
});
