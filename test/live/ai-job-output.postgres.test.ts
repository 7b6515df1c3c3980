import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { z } from "zod";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { EngineContext } from "../../src/engine.ts";
import { appendOutput } from "../../src/output/append.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, started } from "../support/engine.ts";
import { watch } from "../support/live.ts";
import { aCompletion } from "../support/reports.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** aiJobOutput at a server that stores none of the chunks itself (section 13): it looks for those of others. */

let db: TestDatabase;
let elsewhere: EngineContext;
let servers: readonly TestServer[];
beforeAll(async () => {
  db = await openTestDatabase();
  elsewhere = engineOn(db);
  servers = [await startTestServer(db), await startTestServer(db)];
});
afterAll(async () => {
  for (const server of servers) await server.close();
  await db.close();
});

const payload = z.object({ told: z.object({ sequence: z.number(), isLast: z.boolean(), cursor: z.string() }) });
const QUERY = `subscription ($jobId: UUID!, $after: Cursor) {
  told: aiJobOutput(jobId: $jobId, after: $after) { sequence isLast cursor } }`;
const listen = (server: TestServer | undefined, { job: { jobId } }: Claim, after?: string) =>
  watch(
    "graphql-ws",
    server?.url ?? "",
    { query: QUERY, variables: { jobId, after } },
    (data) => payload.parse(data).told,
  );
const append = async ({ run, leaseToken }: Claim, sequence: number) =>
  ok(await appendOutput(elsewhere, { workflowRunId: run.id, leaseToken, chunks: [{ sequence, text: "So far. " }] }));

test("watchers at several servers hear of each chunk once, in order, and of the end", async () => {
  const held = await started(elsewhere);
  const watchers = servers.flatMap((server) => [listen(server, held), listen(server, held)]);
  await vi.waitUntil(() => servers.every(({ feed }) => feed.subscribers === 2), { timeout: 20_000 });
  for (let sequence = 1; sequence <= 40; sequence++) await append(held, sequence);
  await Promise.all(watchers.map((each) => each.until((seen) => seen.length === 40)));
  await completeWorkflows(elsewhere, [aCompletion(held)]);
  for (const each of watchers) {
    const told = await each.until((seen) => seen.at(-1)?.isLast ?? false);
    expect(told.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 41 }, (_, at) => at + 1));
    await each[Symbol.asyncDispose]();
  }
});

test("a cursor of one server is gone on from at another", async () => {
  const held = await started(elsewhere);
  for (const sequence of [1, 2, 3]) await append(held, sequence);
  await using one = listen(servers[0], held);
  const [, second] = await one.until((seen) => seen.length === 3);
  await using other = listen(servers[1], held, second?.cursor);
  expect((await other.until((seen) => seen.length === 1)).map(({ sequence }) => sequence)).toEqual([3]);
});

test("nothing is looked for where nobody watches", async () => {
  await vi.waitUntil(() => servers.every(({ feed }) => feed.subscribers === 0), { timeout: 20_000 });
  db.statements();
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(db.statements().filter((sql) => sql.includes("output_chunks"))).toEqual([]);
});
