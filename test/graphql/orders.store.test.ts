import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { print } from "graphql";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { startWorkflow } from "../../src/claims/start.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { reportUsage } from "../../src/runs/report-usage.ts";
import type { AiJobFilter, AiJobOrderField } from "../generated/graphql.ts";
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
  readonly orderBy?: { readonly field: AiJobOrderField; readonly direction?: "ASC" | "DESC" };
  readonly filter?: AiJobFilter;
  readonly first?: number;
  readonly after?: string | null;
  readonly last?: number;
  readonly before?: string | null;
}

async function page(variables: Asked, of = header) {
  const { orderBy, ...rest } = variables;
  const order = orderBy && { direction: "DESC" as const, ...orderBy };
  const { aiJobs } = await run(server.url, LIST, { ...rest, ...(order ? { orderBy: order } : {}) }, of);
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

describe("by COST", () => {
  const ofCosts = { "x-workspace-id": randomUUID() };
  /** What the jobs cost at first, in the order of their submits; the last is the most that there can be. */
  const COSTS = [5, 0, 7, 5, 0, 3, 5, 1, 7, 2, 0, Number.MAX_SAFE_INTEGER];
  const claims: Claim[] = [];
  const costs = new Map<string, number>();
  beforeAll(async () => {
    for (const [index, cost] of COSTS.entries()) {
      const labels = index % 2 === 0 ? [{ key: "team", value: "even" }] : null;
      const more = { labels, protocolId: index < 6 ? "first" : "second" };
      const { job } = ok(await submitAiJob(engineOn(db), ofCosts["x-workspace-id"], SOMEBODY, aSubmit(more)));
      costs.set(job.jobId, 0);
      const start = { jobId: job.jobId, workerId: "worker-1", leaseSeconds: 300 };
      const claim = ok(await startWorkflow(engineOn(db), ofCosts["x-workspace-id"], start));
      if (!("leaseToken" in claim)) throw new Error("The job was poisoned instead of started.");
      claims.push(claim);
      if (cost > 0) await spend(claim, cost);
    }
  });

  async function spend({ job, run: { id: workflowRunId }, leaseToken }: Claim, costMicros: number) {
    const tokens = { inputTokens: 1, cachedInputTokens: 0, outputTokens: 1, reasoningTokens: 0 };
    const usage = [{ provider: "openai", model: "gpt-5", ...tokens, costMicros }];
    ok(await reportUsage(engineOn(db), { workflowRunId, leaseToken, reportId: randomUUID(), usage }));
    costs.set(job.jobId, (costs.get(job.jobId) ?? 0) + costMicros);
  }

  const DAY_MS = 86_400_000;
  const after = new Date(Date.now() - DAY_MS);
  /** @returns a filter of so many days, which all jobs here match. */
  const days = (count: number, more: AiJobFilter = {}): AiJobFilter => ({
    createdAfter: after.toISOString(),
    createdBefore: new Date(after.getTime() + count * DAY_MS).toISOString(),
    ...more,
  });
  const jobAt = (index: number) => claims[index]?.job.jobId ?? "";
  const cheapestFirst = (ids: Iterable<string> = costs.keys()) =>
    [...ids].toSorted((one, other) => (costs.get(one) ?? 0) - (costs.get(other) ?? 0) || (one < other ? -1 : 1));
  const by = (direction: "ASC" | "DESC") => ({ field: "COST", direction }) as const;
  const inOrder = (direction: "ASC" | "DESC", ids?: Iterable<string>) =>
    direction === "ASC" ? cheapestFirst(ids) : cheapestFirst(ids).toReversed();
  const read = (
    reading: "forwards" | "backwards",
    asked: Asked,
    size: number,
    between: () => Promise<unknown> = async () => undefined,
  ) =>
    readAll(
      reading,
      (cursor) => {
        const place = reading === "forwards" ? { first: size, after: cursor } : { last: size, before: cursor };
        return page({ ...asked, ...place }, ofCosts);
      },
      between,
    );

  const ways = (["ASC", "DESC"] as const).flatMap((direction) =>
    (["forwards", "backwards"] as const).map((reading) => ({ direction, reading })),
  );

  test.each(ways)(
    "$direction, read $reading, a list has each job once, those of one cost by their ids",
    async (way) => {
      const { direction, reading } = way;
      // Pages that end between two jobs of the same cost, too.
      for (const size of [1, 2, 5, 12])
        expect(await read(reading, { orderBy: by(direction), filter: days(2) }, size)).toEqual(inOrder(direction));
    },
  );

  test("the most expensive is first where no direction is given", async () => {
    const { rows } = await page({ first: 1, orderBy: { field: "COST" }, filter: days(2) }, ofCosts);
    expect(rows).toEqual([jobAt(11)]);
  });

  test.each(ways)("$direction, read $reading, a list has what the rest of its filter matches", async (way) => {
    const { direction, reading } = way;
    const even = claims.flatMap(({ job }, index) => (index % 2 === 0 ? [job.jobId] : []));
    const first = claims.slice(0, 6).map(({ job }) => job.jobId);
    const labels = [{ key: "team", value: "even" }];
    const matching: readonly (readonly [AiJobFilter, readonly string[]])[] = [
      [{ protocolId: "first" }, first],
      [{ labels }, even],
      [{ labels, protocolId: "first", submittedBy: "anonymous" }, even.slice(0, 3)],
      [{ states: ["RUNNING"], kinds: ["DOC_SUMMARIZE", "DOC_EDIT"] }, [...costs.keys()]],
      [{ kinds: ["DOC_EDIT"] }, []],
      [{ createdBefore: after.toISOString() }, []],
    ];
    for (const [more, expected] of matching)
      expect(await read(reading, { orderBy: by(direction), filter: days(2, more) }, 2)).toEqual(
        inOrder(direction, expected),
      );
  });

  test.each(ways)("$direction, read $reading while costs grow, all others come once and in order", async (way) => {
    const { direction, reading } = way;
    const growing = [1, 3, 5].flatMap((index) => claims[index] ?? []);
    const grown = new Set(growing.map(({ job }) => job.jobId));
    const others = [...costs.keys()].filter((jobId) => !grown.has(jobId));
    const grow = async () => {
      for (const claim of growing) await spend(claim, 2);
    };
    const rows = await read(reading, { orderBy: by(direction), filter: days(2) }, 3, grow);
    expect(rows.filter((jobId) => !grown.has(jobId))).toEqual(inOrder(direction, others));
    expect(await read(reading, { orderBy: by(direction), filter: days(2) }, 3)).toEqual(inOrder(direction));
  });

  test("a job whose cost has passed the cursor is not on the next page, and is where it belongs on a new one", async () => {
    const asked = { first: 3, orderBy: by("DESC"), filter: days(2) };
    const { pageInfo } = await page(asked, ofCosts);
    const [cheap] = claims.filter(({ job }) => job.jobId === cheapestFirst()[0]);
    if (!cheap) throw new Error("There are jobs.");
    await spend(cheap, 1_000_000);
    const rest = await page({ ...asked, first: 100, after: pageInfo.endCursor }, ofCosts);
    expect(rest.rows).toEqual(
      inOrder("DESC")
        .filter((jobId) => jobId !== cheap.job.jobId)
        .slice(3),
    );
    expect((await page(asked, ofCosts)).rows[1]).toBe(cheap.job.jobId);
  });

  /** @returns what the refusal of a list by cost says. */
  async function refusal(variables: object) {
    const response = await fetch(server.url, {
      method: "POST",
      headers: { "content-type": "application/json", ...ofCosts },
      body: JSON.stringify({ query: print(LIST), variables: { orderBy: by("DESC"), ...variables } }),
    });
    const body: unknown = await response.json();
    return body;
  }
  const { createdAfter, createdBefore } = days(31);

  test.each([
    ["no filter", {}, "createdAfter"],
    ["other conditions alone", { filter: { states: ["RUNNING"] } }, "createdAfter"],
    ["its end alone", { filter: { createdBefore } }, "createdAfter"],
    ["its beginning alone", { filter: { createdAfter } }, "createdBefore"],
    ["null for its end", { filter: { createdAfter, createdBefore: null } }, "createdBefore"],
  ])("is refused without the bounds of a time: %s", async (_what, variables, missing) => {
    const message = "COST needs `createdAfter` and `createdBefore` in the filter, at most 31 days apart.";
    expect(await refusal(variables)).toMatchObject({
      errors: [{ message, path: ["aiJobs"], extensions: { code: "INVALID_INPUT", path: ["filter", missing] } }],
    });
  });

  test("takes 31 days, and refuses a millisecond more with the time to send", async () => {
    expect((await page({ orderBy: by("ASC"), filter: days(31) }, ofCosts)).rows).toEqual(inOrder("ASC"));
    const message = `At most 31 days at once by COST: send ${createdBefore} or earlier.`;
    const longer = days(31 + 1 / DAY_MS);
    expect(await refusal({ filter: longer })).toMatchObject({
      errors: [{ message, extensions: { code: "INVALID_INPUT", path: ["filter", "createdBefore"] } }],
    });
  });

  test("a cursor of another order is none of this one, and its own is none of another", async () => {
    for (const field of ["CREATED_AT", "UPDATED_AT"] as const) {
      const other = await page({ first: 3, orderBy: { field }, filter: days(2) }, ofCosts);
      const place = { after: other.pageInfo.endCursor };
      await expect(page({ ...place, orderBy: by("DESC"), filter: days(2) }, ofCosts)).rejects.toThrow(
        "not a cursor of this list",
      );
      const own = await page({ first: 3, orderBy: by("DESC"), filter: days(2) }, ofCosts);
      const asked = { before: own.pageInfo.endCursor, orderBy: { field }, filter: days(2) };
      await expect(page(asked, ofCosts)).rejects.toThrow("not a cursor of this list");
    }
  });

  test("a cursor goes on in the other direction", async () => {
    const { rows, pageInfo } = await page({ first: 4, orderBy: by("DESC"), filter: days(2) }, ofCosts);
    const back = await page({ first: 9, after: pageInfo.endCursor, orderBy: by("ASC"), filter: days(2) }, ofCosts);
    expect(back.rows).toEqual(rows.slice(0, 3).toReversed());
  });

  test.each([[-1], [1.5], [2 ** 53], ["5"], [null], ["2026-01-01T00:00:00.000Z"]])(
    "a cursor with the cost %j is refused",
    async (cost) => {
      const cursor = (at: unknown) => Buffer.from(JSON.stringify(["COST", at, jobAt(0)])).toString("base64url");
      const asked = { orderBy: by("DESC"), filter: days(2) };
      const { rows } = await page({ ...asked, after: cursor(1_000) }, ofCosts);
      expect(rows.length).toBeGreaterThan(0);
      expect(await refusal({ ...asked, after: cursor(cost) })).toMatchObject({
        errors: [{ extensions: { code: "INVALID_INPUT", path: ["after"] } }],
      });
    },
  );
});
