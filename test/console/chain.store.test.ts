import { AiJobEvents, createClient, type EventFragment } from "@ai-job-server/sdk/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CHAIN_START, type Chain, follow } from "../../console/src/job/chain.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** The badge of the job page: the chain as a browser computes it, over what the API says of the events. */

let database: TestDatabase;
let server: TestServer;
let events: readonly EventFragment[];
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startTestServer(database);
  const client = createClient({ url: server.url });
  const jobInputs = {
    text: 'naïve – 𝒜 "quoted"\n',
    numbers: [0.1, 1.5e-7, -0, 9007199254740991],
    nested: { b: 1, a: null },
  };
  const { jobId } = await client.submit({ jobKind: "DOC_SUMMARIZE", protocolId: "chain", jobInputs });
  await client.cancel(jobId, "to have a second event: ünïcödé");
  const { aiJob } = await client.request(AiJobEvents, { jobId, first: 100 });
  events = aiJob?.events.nodes ?? [];
});
afterAll(async () => {
  await server.close();
  await database.close();
});

const followed = (record: readonly EventFragment[]): Chain => record.reduce(follow, CHAIN_START);

test("a record as it was written verifies", () => {
  expect(events.length).toBe(2);
  expect(followed(events)).toEqual({ events: 2, head: events[1]?.hash, broken: null });
});

const changed = (index: number, change: Partial<EventFragment>): readonly EventFragment[] =>
  events.map((event, at) => (at === index ? { ...event, ...change } : event));

test.each([
  ["a payload", () => changed(1, { payload: { reason: "another" } }), 2],
  ["a state", () => changed(1, { state: "COMPLETED" }), 2],
  ["who did it", () => changed(0, { actorId: "somebody else" }), 1],
  ["when it was", () => changed(0, { recordedAt: "2020-01-01T00:00:00.000Z" }), 1],
  ["a hash", () => changed(0, { hash: "f".repeat(64) }), 1],
  ["an event that was dropped", () => events.slice(1), 2],
  ["two in another order", () => events.toReversed(), 2],
  ["a cursor that is none", () => changed(0, { cursor: "%%" }), 1],
])("%s that was changed is found, and where", (_what, record, version) => {
  expect(followed(record()).broken).toEqual({ version, how: expect.any(String) });
});

test("after a break nothing more is followed", () => {
  const broken = followed(events.slice(1));
  expect(events.reduce(follow, broken)).toBe(broken);
});
