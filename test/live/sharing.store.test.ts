import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started } from "../support/engine.ts";
import { bringTo } from "../support/jobs.ts";
import { PROTOCOLS, type Watch, watch } from "../support/live.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** What many subscribers cost the database: what one of them does. */

let db: TestDatabase;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

/** An engine that tells no feed of what it commits: the log alone tells it. */
function elsewhere() {
  return engineOn(db);
}

const payload = z.object({ change: z.object({ version: z.int() }) });
const RELATIONS =
  "version job { priority jobInputs workflowRun { state steps { nodeId } } events(first: 1) { nodes { type } } }";
const ofOne = (fields: string) => `subscription ($jobId: UUID!) { change: aiJobChanged(jobId: $jobId) { ${fields} } }`;
const ofMany = (fields: string) =>
  `subscription ($protocolId: String!) { change: aiJobsChanged(filter: { protocolId: $protocolId }) { ${fields} } }`;

function subscribe(count: number, query: string, variables: Record<string, unknown>): Watch<number>[] {
  return Array.from({ length: count }, (_, index) =>
    watch(
      PROTOCOLS[index % 2] ?? "graphql-ws",
      server.url,
      { query, variables },
      (data) => payload.parse(data).change.version,
    ),
  );
}

/** What a change reads, beside what the feed reads anyway. Changes themselves read nothing in these ways. */
const READS = {
  jobs: /JOIN ai_jobs ON job_id = requested_id/,
  runs: /JOIN workflow_runs ON id = requested_id/,
  nodes: /JOIN node_executions ON workflow_run_id = requested_id/,
  events: /FROM unnest.*FROM flight_recorder_events/s,
  log: /FROM flight_recorder_events\s+WHERE \(order_xid, job_id, version\) > .*AND \(order_xid, job_id, version\) <=/s,
};

function reads() {
  const statements = db.statements();
  const count = (kind: RegExp) => statements.filter((sql) => kind.test(sql)).length;
  return Object.fromEntries(Object.entries(READS).map(([name, kind]) => [name, count(kind)]));
}

describe("an event is read, with what is selected beyond it, once", () => {
  test.each([1, 40])("for %d subscribers of a job", async (count) => {
    const { job } = await started(elsewhere());
    const watches = subscribe(count, ofOne(RELATIONS), { jobId: job.jobId });
    await Promise.all(watches.map((each) => each.until((seen) => seen.length === 1)));
    reads();
    await bringTo(elsewhere(), job.jobId, "RUNNING");
    await Promise.all(watches.map((each) => each.until((seen) => seen.at(-1) === 3)));
    expect(reads()).toEqual({ jobs: 1, runs: 1, nodes: 1, events: 1, log: 0 });
    for (const each of watches) await each[Symbol.asyncDispose]();
  });

  test("for 20 subscribers of one job and 20 of all jobs, whatever each of them selects of it", async () => {
    const protocolId = "shared";
    const { job } = await started(elsewhere(), { protocolId });
    const watches = [
      ...subscribe(20, ofOne("version job { priority }"), { jobId: job.jobId }),
      ...subscribe(20, ofMany("version state job { priority }"), { protocolId }),
    ];
    await Promise.all(watches.map((each) => each.until((seen) => seen.length === 1)));
    reads();
    await bringTo(elsewhere(), job.jobId, "RUNNING");
    await Promise.all(watches.map((each) => each.until((seen) => seen.at(-1) === 3)));
    // Two selections, of which one needs a column more.
    expect(reads()).toMatchObject({ jobs: 2, log: 0 });
    for (const each of watches) await each[Symbol.asyncDispose]();
  });

  test("and nothing beyond it where nothing is selected", async () => {
    const { job } = await started(elsewhere());
    const watches = subscribe(10, ofOne("version state metrics { totalTokens } event { type payload }"), {
      jobId: job.jobId,
    });
    await Promise.all(watches.map((each) => each.until((seen) => seen.length === 1)));
    reads();
    await bringTo(elsewhere(), job.jobId, "RUNNING");
    await Promise.all(watches.map((each) => each.until((seen) => seen.at(-1) === 3)));
    expect(reads()).toEqual({ jobs: 0, runs: 0, nodes: 0, events: 0, log: 0 });
    for (const each of watches) await each[Symbol.asyncDispose]();
  });
});

test("documents are read for nobody who does not select them", async () => {
  const protocolId = "documents";
  const { job } = await started(elsewhere(), { protocolId, jobInputs: { text: "long" } });
  db.statements();
  const watches = [
    ...subscribe(2, ofOne("version job { priority }"), { jobId: job.jobId }),
    ...subscribe(2, ofMany("version job { priority }"), { protocolId }),
  ];
  await Promise.all(watches.map((each) => each.until((seen) => seen.length === 1)));
  const read = db.statements();
  await bringTo(elsewhere(), job.jobId, "RUNNING");
  await Promise.all(watches.map((each) => each.until((seen) => seen.at(-1) === 3)));
  const reading = [...read, ...db.statements()].filter((sql) => !/INSERT|FOR NO KEY UPDATE/.test(sql));
  expect(reading.filter((sql) => /job_inputs|job_outputs/.test(sql))).toEqual([]);
  for (const each of watches) await each[Symbol.asyncDispose]();
});

test("a list's snapshots that have documents are read one by one, as they are sent, and whole", async () => {
  const protocolId = "one by one";
  for (const text of ["a", "b", "c"]) await started(elsewhere(), { protocolId, jobInputs: { text } });
  db.statements();
  const query = ofMany("version job { jobInputs }");
  await using changes = watch("graphql-sse", server.url, { query, variables: { protocolId } }, (data) =>
    z.object({ change: z.object({ job: z.object({ jobInputs: z.object({ text: z.string() }) }) }) }).parse(data),
  );
  const seen = await changes.until((all) => all.length === 3);
  expect(seen.map(({ change }) => change.job.jobInputs.text)).toEqual(["c", "b", "a"]);
  const withDocuments = db.statements().filter((sql) => sql.includes("job_inputs"));
  expect(withDocuments).toHaveLength(3);
  for (const sql of withDocuments) expect(sql).toMatch(READS.jobs);
});
