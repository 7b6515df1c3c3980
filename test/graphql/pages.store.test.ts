import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { watch } from "../support/live.ts";
import { type Page, readAll } from "../support/pages.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Lists longer than a page: every row comes once, in order, while others are being inserted. */

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

/** The embedded store runs in this thread: without a pause, sockets that the server closes meanwhile would pass for open. */
const letOthersRun = () => new Promise((resolve) => setImmediate(resolve));

const JOBS = graphql(`
  query PagesJobs($first: Int, $after: String, $last: Int, $before: String, $protocolId: String!) {
    aiJobs(first: $first, after: $after, last: $last, before: $before, filter: { protocolId: $protocolId }) {
      edges {
        cursor
        node {
          jobId
        }
      }
      nodes {
        jobId
      }
      pageInfo {
        hasNextPage
        hasPreviousPage
        startCursor
        endCursor
      }
      totalCount
      feedCursor
    }
  }
`);

async function jobsPage(protocolId: string, args: { first: number } | { last: number }, cursor: string | null) {
  const place = "first" in args ? { after: cursor } : { before: cursor };
  const { aiJobs } = await server.run(JOBS, { ...args, ...place, protocolId });
  const rows = aiJobs.nodes.map(({ jobId }) => jobId);
  expect(aiJobs.edges.map(({ node }) => node.jobId)).toEqual(rows);
  return { rows, cursors: aiJobs.edges.map(({ cursor: at }) => at), pageInfo: aiJobs.pageInfo };
}

describe("a list of 125 jobs, many of them of the same millisecond", () => {
  const protocolId = randomUUID();
  let newestFirst: string[];
  let moments: number;
  beforeAll(async () => {
    const engine = engineOn(db);
    const { prisma } = db;
    for (let batch = 0; batch < 25; batch++) {
      await Promise.all(Array.from({ length: 5 }, () => submitted(engine, { protocolId })));
      await letOthersRun();
    }
    // Five moments in the past, for 25 jobs each.
    await prisma.$executeRaw`ALTER TABLE ai_jobs DISABLE TRIGGER USER`;
    await prisma.$executeRaw`
      UPDATE ai_jobs j SET created_at = timestamptz '2026-01-01' + n.place % 5 * interval '1 ms'
      FROM (SELECT job_id, row_number() OVER (ORDER BY md5(job_id::text)) AS place FROM ai_jobs
        WHERE protocol_id = ${protocolId}) n
      WHERE j.job_id = n.job_id`;
    await prisma.$executeRaw`ALTER TABLE ai_jobs ENABLE TRIGGER USER`;
    const rows = await prisma.aiJob.findMany({
      where: { protocolId },
      orderBy: [{ createdAt: "desc" }, { jobId: "desc" }],
      select: { jobId: true, createdAt: true },
    });
    newestFirst = rows.map(({ jobId }) => jobId);
    moments = new Set(rows.map(({ createdAt }) => createdAt.getTime())).size;
  });

  test("is one", () => {
    expect([newestFirst.length, moments]).toEqual([125, 5]);
  });

  const inserted: string[] = [];
  const insert = async () => inserted.push((await submitted(engineOn(db), { protocolId })).jobId);

  test.each([9, 62, 100])("is read forwards by %i while jobs are inserted: none twice, none missing", async (first) => {
    const from = inserted.length;
    const expected = [...inserted.toReversed(), ...newestFirst];
    const read = (cursor: string | null) => jobsPage(protocolId, { first }, cursor);
    expect(await readAll("forwards", read, async () => inserted.length - from < 5 && insert())).toEqual(expected);
  });

  test.each([7, 100])(
    "is read backwards by %i while jobs are inserted: those come last, at the list's beginning",
    async (last) => {
      const from = inserted.length;
      const read = (cursor: string | null) => jobsPage(protocolId, { last }, cursor);
      const rows = await readAll("backwards", read, async () => inserted.length - from < 5 && insert());
      expect(rows).toEqual([...inserted.toReversed(), ...newestFirst]);
    },
  );

  test("is read between two cursors", async () => {
    const { cursors } = await jobsPage(protocolId, { first: 30 }, null);
    const [after = "", before = ""] = [cursors[5], cursors[12]];
    const { rows } = await jobsPage(protocolId, { first: 30 }, null);
    for (const args of [{ first: 30 }, { last: 30 }]) {
      const { aiJobs } = await server.run(JOBS, { ...args, after, before, protocolId });
      expect(aiJobs.nodes.map(({ jobId }) => jobId)).toEqual(rows.slice(6, 12));
    }
    const { aiJobs } = await server.run(JOBS, { last: 2, after, before, protocolId });
    expect(aiJobs.nodes.map(({ jobId }) => jobId)).toEqual(rows.slice(10, 12));
    expect(aiJobs.pageInfo).toMatchObject({ hasPreviousPage: true, hasNextPage: true });
  });

  test("counts all of them on every page, and is continued from its feedCursor without a gap", async () => {
    const { aiJobs } = await server.run(JOBS, { first: 2, protocolId });
    expect(aiJobs.totalCount).toBe(newestFirst.length + inserted.length);
    const known = new Set([...newestFirst, ...inserted].map((jobId) => `${jobId} 1`));
    const engine = engineOn(db);
    const cancelled = newestFirst.at(-1) ?? "";
    await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId: cancelled, reason: "test" });
    await insert();
    const query = `subscription ($protocolId: String!, $after: Cursor!) {
      change: aiJobsChanged(filter: { protocolId: $protocolId }, after: $after) { kind version job { jobId } }
    }`;
    const payload = z.object({
      change: z.object({ kind: z.string(), version: z.int(), job: z.object({ jobId: z.string() }) }),
    });
    const operation = { query, variables: { protocolId, after: aiJobs.feedCursor } };
    await using changes = watch("graphql-sse", server.url, operation, (data) => payload.parse(data).change);
    const last = inserted.at(-1);
    const seen = await changes.until((all) => all.some(({ job }) => job.jobId === last));
    // The cursor may lie before the newest rows of the page: what they tell may come again, and nothing is left out.
    const news = seen.map(({ job, version }) => `${job.jobId} ${version}`).filter((change) => !known.has(change));
    expect(news).toEqual([`${cancelled} 2`, `${last} 1`]);
  });

  test("is empty after its last row, and before its first", async () => {
    const { cursors } = await jobsPage(protocolId, { first: 1 }, null);
    const before = await server.run(JOBS, { last: 5, before: cursors[0] ?? "", protocolId });
    expect(before.aiJobs).toMatchObject({ nodes: [], pageInfo: { startCursor: null, endCursor: null } });
    const end = await jobsPage(protocolId, { last: 1 }, null);
    const after = await server.run(JOBS, { first: 5, after: end.cursors[0] ?? "", protocolId });
    expect(after.aiJobs).toMatchObject({ nodes: [], edges: [], pageInfo: { hasNextPage: false } });
  });
});

const EVENTS = graphql(`
  query PagesEventsOfJob($jobId: UUID!, $first: Int, $after: String, $last: Int, $before: String) {
    aiJob(jobId: $jobId) {
      events(first: $first, after: $after, last: $last, before: $before) {
        edges {
          cursor
          node {
            version
          }
        }
        pageInfo {
          hasNextPage
          hasPreviousPage
          startCursor
          endCursor
        }
      }
    }
  }
`);

const LOG = graphql(`
  query PagesLog($first: Int, $after: String, $last: Int, $before: String, $filter: FlightRecorderFilter) {
    flightRecorderEvents(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
      edges {
        cursor
        node {
          jobId
          version
        }
      }
      pageInfo {
        hasNextPage
        hasPreviousPage
        startCursor
        endCursor
      }
    }
  }
`);

describe("the 110 events of a job", () => {
  const versions = Array.from({ length: 110 }, (_, index) => String(index + 1));
  let jobId: string;
  beforeAll(async () => {
    const engine = engineOn(db);
    const { job, run, leaseToken } = await started(engine, {}, 900);
    ({ jobId } = job);
    const beat = { workflowRunId: run.id, leaseToken, leaseSeconds: 900, metrics: { ...NO_METRICS, durationMs: 1 } };
    for (let version = 3; version <= 110; version++) {
      await heartbeatWorkflows(engine, [beat]);
      await letOthersRun();
    }
  });

  const read = async (variables: object): Promise<Page> => {
    const { aiJob } = await server.run(EVENTS, { jobId, ...variables });
    const { edges = [], pageInfo } = aiJob?.events ?? {};
    if (!pageInfo) throw new Error("There is no such job.");
    const rows = edges.map(({ node }) => String(node.version));
    return { rows, cursors: edges.map(({ cursor }) => cursor), pageInfo };
  };

  test.each([11, 100])("are read forwards and backwards by %i", async (size) => {
    expect(await readAll("forwards", (after) => read({ first: size, after }))).toEqual(versions);
    expect(await readAll("backwards", (before) => read({ last: size, before }))).toEqual(versions);
  });

  test.each([37, 100])(
    "are read from the whole log by %i, newest first, whatever else is written meanwhile",
    async (first) => {
      const between = () => submitted(engineOn(db));
      const rows = await readAll(
        "forwards",
        async (after) => {
          const { flightRecorderEvents: page } = await server.run(LOG, { first, after, filter: { jobId } });
          const all = page.edges.map(({ node }) => String(node.version));
          return { rows: all, cursors: page.edges.map(({ cursor }) => cursor), pageInfo: page.pageInfo };
        },
        between,
      );
      expect(rows).toEqual(versions.toReversed());
    },
  );

  test("are together with all others of the workspace in one order", async () => {
    const page = async (slice: object) => {
      const { flightRecorderEvents } = await server.run(LOG, slice);
      const { edges, pageInfo } = flightRecorderEvents;
      const rows = edges.map(({ node }) => `${node.jobId} ${node.version}`);
      return { rows, cursors: edges.map(({ cursor }) => cursor), pageInfo };
    };
    const log = await db.prisma.flightRecorderEvent.findMany({
      orderBy: [{ recordedAt: "desc" }, { jobId: "desc" }, { version: "desc" }],
    });
    const expected = log.map(({ jobId: id, version }) => `${id} ${version}`);
    const rows = await readAll("forwards", (after) => page({ first: 100, after }));
    expect(rows).toEqual(expected);
    expect(await readAll("backwards", (before) => page({ last: 60, before }))).toEqual(expected);
    expect(rows.length).toBeGreaterThan(250);
  });
});
