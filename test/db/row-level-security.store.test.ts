import { afterAll, beforeAll, expect, test } from "vitest";
import { startWorkflow } from "../../src/claims/start.ts";
import { Prisma, type PrismaClient } from "../../src/db/generated/client/client.ts";
import { allWorkspaces, NO_WORKSPACE, type Scope, within } from "../../src/db/scope.ts";
import { sqlState } from "../../src/db/sql-state.ts";
import { createApiKey } from "../../src/identity/keys.ts";
import { ANONYMOUS } from "../../src/identity/principal.ts";
import { createSession, hashOfSession } from "../../src/identity/sessions.ts";
import { cancelAiJobs } from "../../src/jobs/bulk/action.ts";
import { deltaOfCalls } from "../../src/jobs/metrics.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { appendOutput } from "../../src/output/append.ts";
import { setQuota } from "../../src/quotas/quota.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { requestUserInput } from "../../src/runs/ask.ts";
import { aggregateTotals } from "../../src/totals/aggregate.ts";
import { setUsageLabels } from "../../src/totals/usage-labels.ts";
import { openTestDatabase, serverSide, type TestDatabase } from "../support/database.ts";
import { aStep, aSubmit, engineOn, ok, SOMEBODY, WORKSPACE } from "../support/engine.ts";
import { addOtherWorkspace, OTHER_WORKSPACE } from "../support/plain-sql.ts";
import { aQuestion } from "../support/reports.ts";

/** Row-level security, the last ring (section 11): what the server's role sees and writes where a condition was forgotten. */

let db: TestDatabase;
/** With the server's role. */
let prisma: PrismaClient;

const CALL = {
  provider: "openai",
  model: "gpt-5",
  inputTokens: 1,
  cachedInputTokens: 0,
  outputTokens: 1,
  reasoningTokens: 0,
  costMicros: 1,
};

/** Everything that a workspace can have. */
async function fill(workspaceId: string): Promise<void> {
  const engine = engineOn(db);
  ok(await setUsageLabels(engine, workspaceId, ["team"]));
  const { job } = ok(
    await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit({ labels: [{ key: "team", value: "a" }] })),
  );
  await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit({ protocolId: "to cancel" }));
  const worker = { jobId: job.jobId, workerId: "worker-1", leaseSeconds: 30 };
  const claim = ok(await startWorkflow(engine, workspaceId, worker));
  if (!("leaseToken" in claim)) throw new Error("The job was poisoned instead of started.");
  const metrics = deltaOfCalls([CALL]);
  ok(await advanceWorkflow(engine, { ...aStep(claim, "first"), metrics, reportId: crypto.randomUUID() }));
  const chunks = [{ sequence: 1, text: "So far, so good." }];
  ok(await appendOutput(engine, { workflowRunId: claim.run.id, leaseToken: claim.leaseToken, chunks }));
  ok(await requestUserInput(engine, aQuestion(claim)));
  ok(
    await setQuota(engine, workspaceId, {
      capabilityProfileId: null,
      resource: "JOBS",
      max: 100,
      windowSeconds: 60,
    }),
  );
  const filter = { protocolId: "to cancel" };
  ok(await cancelAiJobs(engine, workspaceId, SOMEBODY, { filter, reason: "enough", limit: 10 }));
  const key = { name: "key", roles: ["VIEWER" as const], jobKinds: null, expiresAt: null, workspaceId };
  ok(await createApiKey(engine, ANONYMOUS, key));
  const subject = { ...ANONYMOUS, name: "jwt:ada", workspaceId };
  await createSession(engine.prisma, subject, hashOfSession("what it was made with"));
}

beforeAll(async () => {
  db = await openTestDatabase();
  ({ prisma } = serverSide(db));
  await addOtherWorkspace(db.prisma);
  await fill(WORKSPACE);
  await fill(OTHER_WORKSPACE);
  await aggregateTotals(prisma);
});
afterAll(() => db.close());

/** The tables with data of workspaces, and those of the whole deployment. */
const OF_WORKSPACES = [
  "ai_jobs",
  "api_keys",
  "bulk_action_items",
  "bulk_actions",
  "flight_recorder_events",
  "job_labels",
  "job_totals",
  "node_executions",
  "output_chunks",
  "quotas",
  "sessions",
  "usage_entries",
  "usage_intervals",
  "usage_labels",
  "usage_minutes",
  "user_input_requests",
  "worker_reports",
  "workflow_runs",
  "workspaces",
];
const OF_ALL = ["capability_profiles", "event_log", "totals_position"];

test("every table has policies, which hold for its owner, too", async () => {
  const tables = await db.prisma.$queryRaw<{ name: string; isEnabled: boolean; isForced: boolean }[]>`
    SELECT relname AS name, relrowsecurity AS "isEnabled", relforcerowsecurity AS "isForced" FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> '_prisma_migrations' ORDER BY relname`;
  const secured = tables.filter(({ isEnabled, isForced }) => isEnabled && isForced).map(({ name }) => name);
  expect(secured).toEqual(tables.map(({ name }) => name));
  expect(secured, "a new table must be looked at below").toEqual([...OF_WORKSPACES, ...OF_ALL].toSorted());
});

/** The workspaces whose rows a statement without any condition sees. */
async function seen(table: string, scope: Scope): Promise<readonly string[]> {
  const select = Prisma.sql`SELECT DISTINCT workspace_id::text AS id FROM ${Prisma.raw(table)} ORDER BY id`;
  return (await within(scope, () => prisma.$queryRaw<{ id: string }[]>(select))).map(({ id }) => id);
}

test.each(OF_WORKSPACES)("of %s a statement sees the rows of its workspaces alone", async (table) => {
  expect(await seen(table, [WORKSPACE])).toEqual([WORKSPACE]);
  expect(await seen(table, [OTHER_WORKSPACE])).toEqual([OTHER_WORKSPACE]);
  expect(await seen(table, [WORKSPACE, OTHER_WORKSPACE])).toEqual([WORKSPACE, OTHER_WORKSPACE]);
  expect(await seen(table, NO_WORKSPACE)).toEqual([]);
  expect(await seen(table, allWorkspaces("server"))).toEqual([WORKSPACE, OTHER_WORKSPACE]);
  const inTransaction = await within([WORKSPACE], () =>
    prisma.$transaction((tx) => tx.$queryRaw`SELECT DISTINCT workspace_id::text FROM ${Prisma.raw(table)}`),
  );
  expect(inTransaction).toEqual([{ workspace_id: WORKSPACE }]);
});

test.each(OF_ALL)("%s, which is one for all, is read by every statement", async (table) => {
  const count = Prisma.sql`SELECT count(*)::int AS rows FROM ${Prisma.raw(table)}`;
  const [row] = await within(NO_WORKSPACE, () => prisma.$queryRaw<{ rows: number }[]>(count));
  expect(row?.rows).toBeGreaterThan(0);
});

test("the log's position and epoch are changed by no statement of a workspace", async () => {
  const change = () => prisma.$executeRaw`UPDATE event_log SET reason = 'a workspace did'`;
  expect(await within([WORKSPACE], change)).toBe(0);
  expect(await within(allWorkspaces("server"), change)).toBe(1);
});

/** An UPDATE of every row that a role may update, and each table has. */
const UPDATES = {
  ai_jobs: "version = version + 1",
  workflow_runs: "last_heartbeat = now()",
  node_executions: "error_message = 'changed'",
  quotas: "max = 1",
  user_input_requests: "answered_by = 'somebody'",
  bulk_actions: "finished_at = NULL",
  bulk_action_items: "error = NULL",
  api_keys: "name = 'changed'",
  workspaces: "name = 'changed'",
} as const;

test.each(Object.entries(UPDATES))("no statement changes rows of %s in another workspace", async (table, set) => {
  const update = Prisma.sql`UPDATE ${Prisma.raw(table)} SET ${Prisma.raw(set)} WHERE workspace_id = ${OTHER_WORKSPACE}::uuid`;
  expect(await within([WORKSPACE], () => prisma.$executeRaw(update))).toBe(0);
});

test("no statement puts a row into another workspace, not even its own moved there", async () => {
  const refused = async (sql: Prisma.Sql) =>
    within([WORKSPACE], () => prisma.$executeRaw(sql)).then(
      () => "accepted",
      (error: unknown) => sqlState(error),
    );
  const ROW_SECURITY = "42501";
  const insert = Prisma.sql`INSERT INTO quotas (id, workspace_id, resource, max, window_seconds)
    VALUES (gen_random_uuid(), ${OTHER_WORKSPACE}::uuid, 'jobs', 1, 120)`;
  expect(await refused(insert)).toBe(ROW_SECURITY);
  const move = Prisma.sql`UPDATE quotas SET workspace_id = ${OTHER_WORKSPACE}::uuid`;
  expect(await refused(move)).toBe(ROW_SECURITY);
});

test("a statement without a scope is not sent", async () => {
  await expect(prisma.$queryRaw`SELECT 1 AS one`).rejects.toThrow("without a scope");
  await expect(prisma.$transaction((tx) => tx.aiJob.count())).rejects.toThrow("without a scope");
});

test("what a client names as a workspace does not become part of a statement, unless it is an id", async () => {
  const injected = "00000000-0000-7000-8000-000000000000'; SET app.workspaces = 'all'; --";
  expect(() => within([injected], () => prisma.aiJob.count())).toThrow("ids of workspaces");
});

test("statements that are under way at once see each its own workspace, whatever connection they get", async () => {
  const scopes = Array.from({ length: 200 }, (_, at) => (at % 2 === 0 ? WORKSPACE : OTHER_WORKSPACE));
  const answers = await Promise.all(
    scopes.map((id, at) =>
      within([id], () =>
        at % 5 === 0
          ? prisma.$transaction((tx) => tx.aiJob.findMany({ select: { workspaceId: true } }))
          : prisma.aiJob.findMany({ select: { workspaceId: true } }),
      ),
    ),
  );
  expect(answers.map((jobs) => [...new Set(jobs.map(({ workspaceId }) => workspaceId))])).toEqual(
    scopes.map((id) => [id]),
  );
});

test("triggers that look at other rows see all, and no schema of somebody else comes before ours", async () => {
  const functions = await db.prisma.$queryRaw<{ name: string; isDefiner: boolean; settings: string[] | null }[]>`
    SELECT DISTINCT proname AS name, prosecdef AS "isDefiner", proconfig AS settings
    FROM pg_trigger JOIN pg_proc p ON p.oid = tgfoid
    WHERE NOT tgisinternal AND prosrc ~ '\\m(FROM|JOIN) (ai_jobs|workflow_runs|node_executions|flight_recorder_events|bulk_|capability_)'
    ORDER BY proname`;
  expect(functions.length).toBeGreaterThan(8);
  const blind = functions.filter(
    ({ isDefiner, settings }) => !isDefiner || !settings?.includes("search_path=public, pg_temp"),
  );
  expect(blind).toEqual([]);
});
