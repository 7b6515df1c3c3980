import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { z } from "zod";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { claimAiJobs } from "../../src/claims/claim.ts";
import { listDuePartitions } from "../../src/claims/queue-partitions.ts";
import { within } from "../../src/db/scope.ts";
import { withSettings } from "../../src/db/session.ts";
import { createWorkspace } from "../../src/identity/workspaces.ts";
import { resumeBulkActions } from "../../src/jobs/bulk/shares.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { deleteOldOutput } from "../../src/output/delete-old.ts";
import { failUnansweredJobs } from "../../src/review/user-input-timeout.ts";
import { resolveUserReview } from "../../src/review/user-review.ts";
import { requestUserInput } from "../../src/runs/ask.ts";
import { wakeParents } from "../../src/runs/children.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { recordProgress } from "../../src/runs/record-progress.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { reportUsage } from "../../src/runs/report-usage.ts";
import { aggregateTotals } from "../../src/totals/aggregate.ts";
import { openStream } from "../identity/sweep/stream.ts";
import { ask, type Caller, type FilledWorkspace, fillWorkspace } from "../identity/sweep/workspace.ts";
import { openTestDatabase, serverSide, type TestDatabase } from "../support/database.ts";
import { aSubmit, EVERYWHERE, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { type GuardedServer, startGuardedServer } from "../support/guarded-server.ts";
import { expireLease } from "../support/jobs.ts";
import { addManyJobs } from "../support/many-jobs.ts";
import { aGiveBack, aHeartbeat, aQuestion, releaseWorkflow } from "../support/reports.ts";

/**
 * Row-level security takes no index from a statement (section 11). Under it PostgreSQL uses as conditions of an index only operators
 * that cannot leak, which those of enums, arrays and jsonb are not: what a superuser finds by an index, the server's role then filters
 * row by row, and nothing says so. Here each statement that the server sends is explained for both.
 */

let db: TestDatabase;
let server: GuardedServer;
let filled: FilledWorkspace;
let superuser: pg.Client;
let serverRole: pg.Client;
/** The table of each index. */
let tableOf: Map<string, string>;

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: withSettings(url, "direct") });
  await client.connect();
  await client.query("SET plan_cache_mode = force_generic_plan");
  return client;
}

beforeAll(async () => {
  db = await openTestDatabase();
  server = await startGuardedServer(db);
  const engine = engineOn(db);
  const { workspaceId } = ok(await createWorkspace(engine, { name: "filled", workspaceId: null }));
  const { authorization } = (await server.keyOf({ roles: ["ADMIN"], workspaceId })).headers;
  db.statements();
  filled = await fillWorkspace(server.url, { authorization }, workspaceId, "word");
  if (db.location.kind !== "postgres") throw new Error("This is about PostgreSQL.");
  superuser = await connect(db.url);
  serverRole = await connect(db.location.url);
  const { rows } = await superuser.query<{ index: string; table: string }>(
    "SELECT indexrelid::regclass::text AS index, indrelid::regclass::text AS table FROM pg_index",
  );
  tableOf = new Map(rows.map(({ index, table }) => [index, table]));
}, 120_000);
afterAll(async () => {
  await superuser.end();
  await serverRole.end();
  await server.close();
  await db.close();
});

/** A filter of jobs for each of its fields. */
function jobFilters({ jobs: [job] }: FilledWorkspace): readonly object[] {
  const at = new Date().toISOString();
  return [
    {},
    { states: ["QUEUED", "RUNNING"] },
    { kinds: ["DOC_EDIT"] },
    { kinds: ["DOC_EDIT"], states: ["QUEUED"] },
    { protocolId: "protocol of word" },
    { capabilityProfileId: "default" },
    { parentJobId: job?.jobId },
    { rootJobId: job?.jobId },
    { rootsOnly: true },
    { traceId: job?.traceId },
    { idempotencyKey: job?.idempotencyKey },
    { workerId: "worker of word" },
    { createdAfter: at, createdBefore: at },
    { updatedAfter: at, updatedBefore: at },
    { labels: [{ key: "team", value: "word" }] },
    {
      labels: [
        { key: "team", value: "word" },
        { key: "env", value: "" },
      ],
      states: ["QUEUED"],
    },
    { labels: [{ key: "team", value: "word" }], states: ["RUNNING"] },
    { labels: [{ key: "team", value: "word" }], parentJobId: job?.jobId },
    { submittedBy: "operator" },
    { submittedBy: "operator", kinds: ["DOC_EDIT"], createdAfter: at },
  ];
}

const ORDERS = ["CREATED_AT", "UPDATED_AT"].flatMap((field) =>
  ["ASC", "DESC"].map((direction) => ({ field, direction })),
);

async function readEverything(url: string, caller: Caller): Promise<void> {
  const read = async (query: string, variables: object = {}) => {
    const { status, body } = await ask(url, caller, query, variables);
    if (status !== 200 || body.includes('"errors"')) throw new Error(`${query} was answered ${status} ${body}`);
  };
  const list = `query ($filter: AiJobFilter, $orderBy: AiJobOrder) {
    aiJobs(filter: $filter, orderBy: $orderBy) { totalCount nodes { jobId labels { key } } pageInfo { endCursor } } }`;
  for (const filter of jobFilters(filled)) {
    for (const orderBy of ORDERS) await read(list, { filter, orderBy });
    const at = new Date().toISOString();
    await read(list, { filter: { createdAfter: at, createdBefore: at, ...filter }, orderBy: { field: "COST" } });
    await read("query ($filter: AiJobFilter) { aiJobStats(filter: $filter) { total } }", { filter });
  }
  const [job] = filled.jobs;
  const used = "metrics { totalTokens } modelUsage { calls }";
  const runs = `query ($filter: WorkflowRunFilter) {
    workflowRuns(filter: $filter) { nodes { ${used} steps { ${used} } } } }`;
  const leaseExpiresBefore = new Date().toISOString();
  for (const filter of [{}, { states: ["RUNNING"] }, { workerId: "worker of word" }, { leaseExpiresBefore }])
    await read(runs, { filter });
  await read(
    "{ workers { nodes { workerId } } bulkActions { nodes { items { nodes { jobId } } failed: items(onlyFailed: true) { nodes { jobId } } } } quotas { used } }",
  );
  await read("{ flightRecorderEvents { nodes { eventId } } }");
  await read(
    `query ($jobId: UUID!, $key: String!) {
      aiJob(jobId: $jobId) { modelUsage { calls } children { nodes { jobId } } events { nodes { eventId } } workflowRuns { nodes { id } } }
      aiJobByIdempotencyKey(idempotencyKey: $key) { jobId } }`,
    { jobId: job?.jobId, key: job?.idempotencyKey },
  );
}

const firstEvent = z.object({
  data: z.object({ flightRecorderEvents: z.object({ nodes: z.tuple([z.object({ cursor: z.string() })]) }) }),
});

/** Reads the log as one who comes back does, from the first event on. */
async function followLog(url: string, caller: Caller): Promise<void> {
  const { body } = await ask(url, caller, "{ flightRecorderEvents(last: 1) { nodes { cursor } } }");
  const after = firstEvent.parse(JSON.parse(body)).data.flightRecorderEvents.nodes[0].cursor;
  for (const field of [
    "aiJobsChanged(after: $after) { cursor }",
    `aiJobChanged(jobId: "${filled.jobs[0]?.jobId}", after: $after) { cursor }`,
    'workerDirectives(workerId: "worker of word", after: $after) { cursor }',
    'workerDirectives(workerId: "worker of word") { cursor }',
    `aiJobOutput(jobId: "${filled.jobs[0]?.jobId}") { cursor }`,
  ]) {
    const isAfter = field.includes("$after");
    const document = `subscription ${isAfter ? "($after: Cursor!)" : ""} { ${field} }`;
    const stream = openStream(url, caller, document, isAfter ? { after } : {});
    await vi.waitUntil(() => stream.reply().body.includes('"cursor":'), { timeout: 10_000 });
    stream.close();
  }
}

const usageOf = ({ run, leaseToken }: Claim) => ({
  workflowRunId: run.id,
  leaseToken,
  reportId: randomUUID(),
  usage: [
    {
      provider: "openai",
      model: "gpt-5",
      inputTokens: 1,
      cachedInputTokens: 0,
      outputTokens: 1,
      reasoningTokens: 0,
      costMicros: 1,
    },
  ],
});

/** What workers without a workspace and maintenance do. */
async function doTheRest(): Promise<void> {
  const engine = engineOn(db);
  const { prisma } = serverSide(db);
  for (const jobKinds of [null, ["DOC_EDIT" as const]])
    for (const workspaceId of [null, filled.workspaceId]) {
      await within(EVERYWHERE, () => listDuePartitions(prisma, [{ workspaceId, jobKinds }]));
      const request = { workerId: "w", leaseSeconds: 60, limit: 1, jobKinds, workspaceId };
      const [claim] = (await claimAiJobs(engine, request)).claims;
      if (claim) ok(await reportUsage(engine, usageOf(claim)));
      if (claim) await expireLease(db, claim);
      await recoverStalledRuns(engine);
    }
  const claimOne = async () => {
    ok(await submitAiJob(engine, filled.workspaceId, SOMEBODY, aSubmit({ priority: 100 })));
    const request = { workerId: "w", leaseSeconds: 60, limit: 1, jobKinds: null, workspaceId: filled.workspaceId };
    const [claim] = (await claimAiJobs(engine, request)).claims;
    if (!claim) throw new Error("A job is due.");
    return claim;
  };
  ok(await releaseWorkflow(engine, aGiveBack(await claimOne(), { untilChildrenEnd: true })));
  const asking = await claimOne();
  ok(await requestUserInput(engine, aQuestion(asking, { expiresAt: new Date(Date.now() + 60_000) })));
  const answer = { jobId: asking.job.jobId, decision: "ANSWER", comment: null, answer: 1 } as const;
  ok(await resolveUserReview(engine, asking.job.workspaceId, SOMEBODY, answer));
  const held = await claimOne();
  for (const fraction of [0.1, 0.2])
    await heartbeatWorkflows(engine, [aHeartbeat(held, { progress: { fraction, message: "reading" } })]);
  await db.prisma.$executeRaw`UPDATE workflow_runs SET next_progress_at = now() WHERE next_progress_at IS NOT NULL`;
  expect(await recordProgress(engine)).toBe(1);
  await wakeParents(engine);
  await failUnansweredJobs(engine);
  await resumeBulkActions(engine, 0);
  await aggregateTotals(prisma);
  await deleteOldOutput(prisma);
}

const plan: z.ZodType<Plan> = z.lazy(() =>
  z.looseObject({
    "Index Name": z.string().optional(),
    "Index Cond": z.string().optional(),
    Plans: z.array(plan).optional(),
  }),
);
interface Plan {
  readonly "Index Name"?: string | undefined;
  readonly "Index Cond"?: string | undefined;
  readonly Plans?: readonly Plan[] | undefined;
}
const explained = z.tuple([z.object({ "QUERY PLAN": z.tuple([z.object({ Plan: plan })]) })]);

/** @returns the conditions by which this session would search indexes for a statement, each after its table. */
async function indexConditions(client: pg.Client, statement: string): Promise<ReadonlySet<string>> {
  await client.query(`PREPARE explained AS ${statement}`);
  try {
    const parameters = new Set(statement.match(/\$\d+/g)).size;
    const values = parameters === 0 ? "" : `(${Array.from({ length: parameters }, () => "NULL").join()})`;
    const { rows } = await client.query(`EXPLAIN (FORMAT JSON) EXECUTE explained${values}`);
    return new Set(conditionsOf(explained.parse(rows)[0]["QUERY PLAN"][0].Plan));
  } finally {
    await client.query("DEALLOCATE explained");
  }
}

function conditionsOf(node: Plan): readonly string[] {
  const { "Index Name": index, "Index Cond": condition, Plans: below = [] } = node;
  const own = index && condition ? parts(condition).map((part) => `${tableOf.get(index)}: ${part}`) : [];
  return [...own, ...below.flatMap(conditionsOf)];
}

/** The parts of a conjunction. Numbers of parameters and names of tables differ from plan to plan. */
function parts(condition: string): readonly string[] {
  return condition
    .replaceAll(/\$\d+/g, "$")
    .replaceAll(/\b\w+\.(?=\w)/g, "")
    .replace(/^\((.*)\)$/, "$1")
    .split(/ AND (?=\()/)
    .map((part) => part.replace(/^\((.*)\)$/, "$1"));
}

/** @returns the conditions that a superuser's plan searches by and the plan of the server's role does not. */
async function lostConditions(statement: string): Promise<readonly string[]> {
  const kept = await indexConditions(serverRole, statement);
  return [...(await indexConditions(superuser, statement))].filter(
    (condition) => !kept.has(condition) && !isAllowed(statement, condition),
  );
}

/**
 * Where the plans differ for another reason, or it does not matter: the beginning of the statement, the condition, and why.
 */
const ALLOWED: readonly (readonly [statement: RegExp, condition: string, why: string])[] = [
  [/FROM quotas/, `quotas: resource = 'tokens'::"QuotaResource"`, "A workspace has at most 100 quotas."],
  [/FROM workflow_runs WHERE/, "workflow_runs: workspace_id = $", "By the leases instead, of which there are few."],
];

function isAllowed(statement: string, condition: string): boolean {
  return ALLOWED.some(([which, allowed]) => which.test(statement) && condition === allowed);
}

const EXPLAINABLE = /^(?:\/\*.*?\*\/\s*)?(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b/i;

test("every statement of the server searches indexes as it would without row-level security", async () => {
  await readEverything(server.url, filled.admin);
  await followLog(server.url, filled.admin);
  await doTheRest();
  const statements = [...new Set(db.statements().map((sql) => sql.trim()))].filter((sql) => EXPLAINABLE.test(sql));
  // As many as there are in a real database, for which the plans are.
  await addManyJobs(db.prisma, filled.jobs[3]?.jobId ?? "");
  await db.prisma.$executeRaw`ANALYZE`;
  const lost: Record<string, readonly string[]> = {};
  for (const statement of statements) {
    const conditions = await lostConditions(statement);
    if (conditions.length > 0) lost[statement] = conditions;
  }
  expect(statements.length).toBeGreaterThan(100);
  expect(lost).toEqual({});
}, 120_000);

test("a condition that row-level security takes from an index is found", async () => {
  await superuser.query("CREATE INDEX by_enum ON ai_jobs (state, created_at)");
  tableOf.set("by_enum", "ai_jobs");
  const statement = `SELECT job_id FROM ai_jobs WHERE state = $1::"JobState" ORDER BY created_at LIMIT 1`;
  expect(await lostConditions(statement)).toEqual(["ai_jobs: state = $"]);
  await superuser.query("DROP INDEX by_enum");
});
