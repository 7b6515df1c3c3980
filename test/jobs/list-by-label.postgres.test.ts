import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { Prisma, type PrismaClient } from "../../src/db/generated/client/client.ts";
import { within } from "../../src/db/scope.ts";
import type { JobFilter } from "../../src/jobs/filter.ts";
import { listJobs, selectJobs, selectJobsToSort, selectOldestJobs } from "../../src/jobs/list.ts";
import { readStats } from "../../src/jobs/stats.ts";
import { CHAIN_START } from "../../src/log/hash.ts";
import { openTestDatabase, serverSide, type TestDatabase } from "../support/database.ts";
import { WORKSPACE } from "../support/engine.ts";

/**
 * A page of a list by label, or by submitter, reads few index entries, however many jobs there are with that label: here all of
 * 100,000, each created a second after the one before. A label that few have is as quick, beside one that all have.
 * What is sorted, as by cost, is read of the filter's time alone.
 */

const JOBS = 100_000;
const PAGE = 50;
/** For each job of a page: its entry, the job, and its labels; and the entries that are counted to find a rare label among two. */
const MAX_ENTRIES = PAGE * 6 + 2_000;

const COMMON = { key: "env", value: "prod" };
const ALSO_COMMON = { key: "team", value: "search" };
const RARE = { key: "user", value: "42" };
const at = (second: number) => new Date(Date.UTC(2026, 0, 1) + second * 1000);
const idOf = (number: number) => `00000000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`;

let db: TestDatabase;
/** With the server's role: row-level security holds. */
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  ({ prisma } = serverSide(db));
  // In several transactions: one would take longer than the client allows.
  for (let first = 1; first <= JOBS; first += JOBS / 10) await insertJobs(first, first + JOBS / 10 - 1);
  await db.prisma.$executeRaw`ANALYZE`;
}, 120_000);
afterAll(() => db.close());

/** Inserts jobs with their labels and first events by plain SQL, past the triggers. */
async function insertJobs(first: number, last: number): Promise<void> {
  const job = Prisma.sql`(SELECT n, ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS job_id,
    timestamptz '2026-01-01 00:00:00+00' + n * interval '1 second' AS at FROM generate_series(${first}::int, ${last}::int) AS n) AS job`;
  await db.prisma.$transaction([
    db.prisma.$executeRaw`SET LOCAL session_replication_role = replica`,
    db.prisma.$executeRaw`
      INSERT INTO ai_jobs (job_id, workspace_id, trace_id, job_kind, state, status_reason, protocol_id, profile_id,
        capability_profile_id, submit_hash, submitted_by, label_count, order_xid, chain_hash, created_at, updated_at)
      SELECT job_id, ${WORKSPACE}::uuid, job_id, 'doc_edit', 'queued', 'test', 'test', 'default', 'default', ${CHAIN_START},
        'key:many', CASE n % 1000 WHEN 0 THEN 3 ELSE 2 END, current_order_xid(), ${CHAIN_START}, at, at FROM ${job}`,
    db.prisma.$executeRaw`
      INSERT INTO job_labels (workspace_id, job_id, key, value, created_at)
      SELECT ${WORKSPACE}::uuid, job_id, key, value, at
      FROM ${job}, (VALUES ('env', 'prod'), ('team', 'search'), ('user', '42')) AS label (key, value)
      WHERE key <> 'user' OR n % 1000 = 0`,
    db.prisma.$executeRaw`
      INSERT INTO flight_recorder_events (event_id, job_id, version, order_xid, workspace_id, trace_id, type, actor, actor_id,
        principal_id, state, recorded_at, prev_hash, hash)
      SELECT job_id, job_id, 1, current_order_xid(), ${WORKSPACE}::uuid, job_id, 'job_submitted', 'human', 'key:many',
        'key:many', 'queued', at, ${CHAIN_START}, ${CHAIN_START} FROM ${job}`,
  ]);
}

const plan: z.ZodType<Plan> = z.lazy(() =>
  z.looseObject({
    "Node Type": z.string(),
    "Actual Rows": z.number(),
    "Actual Loops": z.number(),
    "Rows Removed by Filter": z.number().optional(),
    "Rows Removed by Index Recheck": z.number().optional(),
    Plans: z.array(plan).optional(),
  }),
);
interface Plan {
  readonly "Node Type": string;
  readonly "Actual Rows": number;
  readonly "Actual Loops": number;
  readonly "Rows Removed by Filter"?: number | undefined;
  readonly "Rows Removed by Index Recheck"?: number | undefined;
  readonly Plans?: readonly Plan[] | undefined;
}
const explained = z.tuple([z.object({ "QUERY PLAN": z.tuple([z.object({ Plan: plan })]) })]);

/** How many rows a node and those below it have read from tables and indexes. */
function rowsRead(node: Plan): number {
  const {
    "Actual Rows": kept,
    "Actual Loops": loops,
    "Rows Removed by Filter": filtered = 0,
    Plans: below = [],
  } = node;
  const { "Rows Removed by Index Recheck": rechecked = 0 } = node;
  const own = node["Node Type"].endsWith(" Scan") && below.length === 0 ? (kept + filtered + rechecked) * loops : 0;
  return own + below.reduce((sum, each) => sum + rowsRead(each), 0);
}

async function entriesReadBy(select: Prisma.Sql): Promise<number> {
  const rows = await within([WORKSPACE], () => prisma.$queryRaw(Prisma.sql`EXPLAIN (ANALYZE, FORMAT JSON) ${select}`));
  return rowsRead(explained.parse(rows)[0]["QUERY PLAN"][0].Plan);
}

/** A cursor in the middle of the list. */
const MIDDLE = Prisma.sql`(created_at, job_id) < (${at(50_500)}, ${idOf(50_500)}::uuid)`;

const filters: readonly (readonly [string, JobFilter])[] = [
  ["a label that all jobs have", { labels: [COMMON] }],
  ["a label that few have", { labels: [RARE] }],
  ["two labels that all have", { labels: [COMMON, ALSO_COMMON] }],
  ["a label that all have and one that few have", { labels: [COMMON, RARE] }],
  ["a label, in a time", { labels: [COMMON], createdBefore: at(2_000), createdAfter: at(1_000) }],
  ["a label and a state", { labels: [COMMON], states: ["QUEUED"] }],
  ["a label that all have, and a state that few are in", { labels: [COMMON], states: ["RUNNING"] }],
  ["a label and a tree", { labels: [COMMON], rootJobId: idOf(7) }],
  ["a submitter", { submittedBy: "key:many" }],
  ["a submitter and a label", { submittedBy: "key:many", labels: [RARE] }],
  ["a submitter of none", { submittedBy: "key:none" }],
];

test.each(filters)(
  "a page by %s reads few index entries, newest first, onwards and oldest first",
  async (_what, filter) => {
    const columns = Prisma.sql`ai_jobs.*`;
    const page = { way: Prisma.sql`DESC`, limit: PAGE };
    expect(await entriesReadBy(selectJobs(columns, WORKSPACE, filter, page))).toBeLessThan(MAX_ENTRIES);
    expect(await entriesReadBy(selectJobs(columns, WORKSPACE, filter, { ...page, bounds: [MIDDLE] }))).toBeLessThan(
      MAX_ENTRIES,
    );
    expect(await entriesReadBy(selectOldestJobs(WORKSPACE, filter, PAGE))).toBeLessThan(MAX_ENTRIES);
  },
);

test("the pages are the newest jobs, in order", async () => {
  const list = (filter: JobFilter) =>
    within([WORKSPACE], () => listJobs(prisma, WORKSPACE, filter, { limit: 3, fromEnd: false }, ["jobId"]));
  const newest = [idOf(JOBS), idOf(JOBS - 1), idOf(JOBS - 2)];
  expect((await list({ labels: [COMMON, ALSO_COMMON] })).map(({ jobId }) => jobId)).toEqual(newest);
  expect((await list({ submittedBy: "key:many" })).map(({ jobId }) => jobId)).toEqual(newest);
  const rare = [idOf(JOBS), idOf(JOBS - 1000), idOf(JOBS - 2000)];
  expect((await list({ labels: [COMMON, RARE] })).map(({ jobId }) => jobId)).toEqual(rare);
});

test("the sums of a label that few have read few entries", async () => {
  expect(await entriesReadBy(selectJobs(Prisma.sql`count(*)`, WORKSPACE, { labels: [COMMON, RARE] }))).toBeLessThan(
    3_000,
  );
  const stats = await within([WORKSPACE], () => readStats(prisma, WORKSPACE, { labels: [RARE] }));
  expect(stats.map(({ jobs }) => jobs)).toEqual([BigInt(JOBS / 1000)]);
});

/** Half of the jobs: of so many, an index that has no time looks as good. */
const HALF = { createdAfter: at(0), createdBefore: at(JOBS / 2 + 1) };

test.each<readonly [string, JobFilter, perJob: number]>([
  ["a time alone", {}, 1],
  ["states and kinds", { states: ["QUEUED", "RUNNING"], kinds: ["DOC_EDIT", "DOC_SUMMARIZE"] }, 1],
  ["a state that few are in", { states: ["RUNNING"] }, 1],
  // Its entry, the job, and the label.
  ["a label", { labels: [COMMON] }, 3],
])("by cost and %s, jobs of another time are not read", async (_what, filter, perJob) => {
  const page = Prisma.sql`SELECT job_id FROM (${selectJobsToSort(WORKSPACE, { ...filter, ...HALF })}) AS job
    ORDER BY cost_micros DESC, job_id DESC LIMIT ${PAGE}`;
  const entries = await entriesReadBy(page);
  expect(entries).toBeLessThan((JOBS / 2) * perJob + 2_000);
});
