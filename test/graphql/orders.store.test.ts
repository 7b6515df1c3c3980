import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { readAll } from "../support/pages.ts";
import { run, startTestServer, type TestServer } from "../support/server.ts";

/** The orders of lists of jobs, page by page. */

const workspaceId = randomUUID();
const header = { "x-workspace-id": workspaceId };
let db: TestDatabase;
let server: TestServer;
/** In the order of their submits. Every third one was cancelled afterwards, the last of these first. */
const jobIds: string[] = [];
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
  for (let count = 0; count < 30; count++) {
    jobIds.push(ok(await submitAiJob(engineOn(db), workspaceId, SOMEBODY, aSubmit())).job.jobId);
    await sleep(1);
  }
  for (const jobId of cancelled().toReversed()) await cancel(jobId);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const cancelled = () => jobIds.filter((_, index) => index % 3 === 0);
const unchanged = () => jobIds.filter((_, index) => index % 3 !== 0);

async function cancel(jobId: string) {
  ok(await cancelAiJob(engineOn(db), workspaceId, SOMEBODY, { jobId, reason: "test" }));
  await sleep(1);
}

const LIST = graphql(`
  query Ordered(
    $orderBy: AiJobOrder
    $filter: AiJobFilter
    $first: Int
    $after: String
    $last: Int
    $before: String
  ) {
    aiJobs(orderBy: $orderBy, filter: $filter, first: $first, after: $after, last: $last, before: $before) {
      edges {
        cursor
        node {
          jobId
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

interface Asked {
  readonly orderBy?: { readonly field: "CREATED_AT" | "UPDATED_AT"; readonly direction?: "ASC" | "DESC" };
  readonly filter?: { readonly states: ("QUEUED" | "CANCELLED" | "RUNNING")[] };
  readonly first?: number;
  readonly after?: string | null;
  readonly last?: number;
  readonly before?: string | null;
}

async function page(variables: Asked) {
  const { orderBy, ...rest } = variables;
  const order = orderBy && { direction: "DESC" as const, ...orderBy };
  const { aiJobs } = await run(server.url, LIST, { ...rest, ...(order ? { orderBy: order } : {}) }, header);
  const { edges, pageInfo } = aiJobs;
  return { rows: edges.map(({ node }) => node.jobId), cursors: edges.map(({ cursor }) => cursor), pageInfo };
}

const all = (variables: Asked, reading: "forwards" | "backwards") =>
  readAll(reading, (cursor) =>
    page({ ...variables, ...(reading === "forwards" ? { first: 7, after: cursor } : { last: 7, before: cursor }) }),
  );

const byUpdate = () => [...unchanged(), ...cancelled().toReversed()];

describe.each(["forwards", "backwards"] as const)("read %s, a list", (reading) => {
  test.each([
    { field: "CREATED_AT", direction: "ASC", expected: () => jobIds },
    { field: "CREATED_AT", direction: "DESC", expected: () => jobIds.toReversed() },
    { field: "UPDATED_AT", direction: "ASC", expected: byUpdate },
    { field: "UPDATED_AT", direction: "DESC", expected: () => byUpdate().toReversed() },
  ] as const)("by $field, $direction, has each job once and in order", async ({ field, direction, expected }) => {
    expect(await all({ orderBy: { field, direction } }, reading)).toEqual(expected());
  });

  test("by UPDATED_AT with a filter has what matches", async () => {
    const orderBy = { field: "UPDATED_AT" } as const;
    expect(await all({ orderBy, filter: { states: ["CANCELLED"] } }, reading)).toEqual(cancelled());
    expect(await all({ orderBy, filter: { states: ["QUEUED"] } }, reading)).toEqual(unchanged().toReversed());
    expect(await all({ orderBy, filter: { states: ["RUNNING"] } }, reading)).toEqual([]);
  });
});

test("the latest submitted is first where no order is given, and where only the field is", async () => {
  const newest = jobIds.toReversed().slice(0, 3);
  expect((await page({ first: 3 })).rows).toEqual(newest);
  expect((await page({ first: 3, orderBy: { field: "CREATED_AT" } })).rows).toEqual(newest);
});

test("a cursor of one order is no cursor of the other, and is one of the same order in the other direction", async () => {
  const {
    rows,
    pageInfo: { endCursor: after },
  } = await page({ first: 3, orderBy: { field: "UPDATED_AT" } });
  await expect(page({ first: 3, after })).rejects.toThrow("not a cursor of this list");
  const back = await page({ first: 3, after, orderBy: { field: "UPDATED_AT", direction: "ASC" } });
  expect(back.rows).toEqual(rows.slice(0, 2).toReversed());
});

test("a job that changes between two pages by UPDATED_AT comes first, and is not on the second", async () => {
  const orderBy = { field: "UPDATED_AT" } as const;
  const first = await page({ first: 12, orderBy });
  const moved = unchanged().at(0) ?? "";
  await cancel(moved);
  const rest = await page({ first: 100, after: first.pageInfo.endCursor, orderBy });
  expect(rest.rows).not.toContain(moved);
  expect([...first.rows, ...rest.rows]).toHaveLength(jobIds.length - 1);
  expect((await page({ first: 1, orderBy })).rows).toEqual([moved]);
});
