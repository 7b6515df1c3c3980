import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import type { Database } from "../../src/db/database.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase } from "../support/database.ts";
import { engineOn, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { bringTo } from "../support/jobs.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Subscriptions as text: what `curl -N` and a browser's EventSource get. */

let database: Database;
let server: TestServer;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startTestServer(database);
});
afterAll(async () => {
  await server.close();
  await database.close();
});

const TOUCH = graphql(`
  mutation SseTouch($jobId: UUID!) {
    startWorkflow(input: { jobId: $jobId, workerId: "sse" }) {
      __typename
    }
  }
`);
const POST = { "content-type": "application/json", accept: "text/event-stream" };
const UNKNOWN = "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b";

function operation(query: string, variables: unknown = {}): RequestInit {
  return { method: "POST", headers: POST, body: JSON.stringify({ query, variables }) };
}

function watching(jobId: string): string {
  return `subscription { aiJobChanged(jobId: "${jobId}") { kind version state } }`;
}

/** The text that a stream gives until it ends, or until it holds this. */
async function textOf({ body }: Response, until?: string): Promise<string> {
  if (!body) throw new Error("There is no stream.");
  const deadline = AbortSignal.timeout(25_000);
  let text = "";
  for await (const part of body.pipeThrough(new TextDecoderStream(), { signal: deadline })) {
    text += part;
    if (until !== undefined && text.includes(until)) break;
  }
  return text;
}

/** Its events: a blank line ends each; a line that begins with a colon keeps the connection alive. */
function eventsOf(text: string): { event: string; data: unknown }[] {
  return blocksOf(text).flatMap(({ event, data }) => (event === undefined ? [] : [{ event, data }]));
}

/** Everything between two blank lines, as a browser reads it. An empty id is one, too: it makes the browser forget. */
function blocksOf(text: string): { id?: string; event?: string; data: unknown }[] {
  const blocks = text.split("\n\n").filter((block) => block !== "" && !block.startsWith(":"));
  return blocks.map((block) => {
    const [, id, event, data = ""] = /^(?:id(?:: (.*))?\n?)?(?:event: (\w+)\ndata: ?(.*))?$/.exec(block) ?? [];
    const hasId = block.startsWith("id");
    return {
      ...(hasId ? { id: id ?? "" } : {}),
      ...(event === undefined ? {} : { event }),
      data: data === "" ? null : JSON.parse(data),
    };
  });
}

function next(change: object) {
  return { event: "next", data: { data: { aiJobChanged: change } } };
}

describe("a stream", () => {
  test.each([
    ["a POST", (query: string) => fetch(server.url, operation(query))],
    [
      "a GET, as EventSource sends it",
      (query: string) =>
        fetch(`${server.url}?query=${encodeURIComponent(query)}`, { headers: { accept: "text/event-stream" } }),
    ],
  ])("of %s tells every change as an event of its own", async (_how, ask) => {
    const { jobId } = await submitted(engineOn(database));
    const response = await ask(watching(jobId));
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    await cancelAiJob(engineOn(database), WORKSPACE, SOMEBODY, { jobId, reason: "test" });
    const text = await textOf(response, "CANCELLED");
    const all = eventsOf(text.slice(0, text.lastIndexOf("\n\n")));
    // The change may have come before the snapshot was taken.
    expect([
      [
        next({ kind: "SNAPSHOT", version: 1, state: "QUEUED" }),
        next({ kind: "EVENT", version: 2, state: "CANCELLED" }),
      ],
      [next({ kind: "SNAPSHOT", version: 2, state: "CANCELLED" })],
    ]).toContainEqual(all);
  });

  test("of a query is its one answer, and its end", async () => {
    const response = await fetch(server.url, operation("{ __typename }"));
    expect(eventsOf(await textOf(response))).toEqual([
      { event: "next", data: { data: { __typename: "Query" } } },
      { event: "complete", data: null },
    ]);
  });

  test("breaks off with the server that gives it: it is not complete, and says where to go on", async () => {
    const stopping = await startTestServer(database);
    const { jobId } = await submitted(engineOn(database));
    const response = await fetch(stopping.url, operation(watching(jobId)));
    const reading = textOf(response);
    await stopping.close();
    const blocks = blocksOf(await reading);
    expect(blocks.map(({ event }) => event)).not.toContain("complete");
    const id = blocks.at(-1)?.id ?? "";
    expect(blocks.at(-1)).toEqual({ id, data: null });

    await cancelAiJob(engineOn(database), WORKSPACE, SOMEBODY, { jobId, reason: "test" });
    const goingOn = await fetch(server.url, {
      ...operation(watching(jobId)),
      headers: { ...POST, "last-event-id": id },
    });
    const rest = eventsOf(await textOf(goingOn, 'CANCELLED"}}}\n\n'));
    expect(rest).toEqual([next({ kind: "EVENT", version: 2, state: "CANCELLED" })]);
  });
});

describe("a stream that a browser's EventSource reads", () => {
  const FIELDS = "kind cursor version job { jobId }";

  /** As EventSource asks: by GET, with the id of the last event that it got. */
  function listen(query: string, variables: object, lastEventId?: string, signal?: AbortSignal): Promise<Response> {
    const url = new URL(server.url);
    url.searchParams.set("query", query);
    url.searchParams.set("variables", JSON.stringify(variables));
    const headers = { accept: "text/event-stream", ...(lastEventId ? { "last-event-id": lastEventId } : {}) };
    return fetch(url, { headers, ...(signal ? { signal } : {}) });
  }

  const ofOne = `subscription ($jobId: UUID!, $after: Cursor) { change: aiJobChanged(jobId: $jobId, after: $after) { ${FIELDS} } }`;
  const ofMany = `subscription ($protocolId: String!) { change: aiJobsChanged(filter: { protocolId: $protocolId }) { ${FIELDS} } }`;
  const changed = z.object({
    data: z.object({ change: z.object({ kind: z.string(), cursor: z.string(), version: z.int() }) }),
  });

  /** What a job's subscriber hears, without what a browser keeps to itself. */
  async function received(response: Response, until: string) {
    const blocks = blocksOf(await textOf(response, until)).filter(({ data }) => data !== null);
    return blocks.map(({ id, data }) => ({ id, ...changed.parse(data).data.change }));
  }

  function cancel(jobId: string) {
    return cancelAiJob(engineOn(database), WORKSPACE, SOMEBODY, { jobId, reason: "test" });
  }

  test("has the cursor of every event as its id", async () => {
    const { jobId } = await submitted(engineOn(database));
    const response = await listen(ofOne, { jobId });
    await server.run(TOUCH, { jobId });
    await cancel(jobId);
    const all = await received(response, '"version":3');
    for (const { id, cursor } of all) expect(id).toBe(cursor);
    expect(all.at(-1)).toMatchObject({ kind: "EVENT", version: 3 });
  });

  test("goes on after the id that the browser sends, which is newer than any cursor in the address", async () => {
    const { jobId } = await submitted(engineOn(database));
    const [first] = await received(await listen(ofOne, { jobId }), '"version":1');
    await server.run(TOUCH, { jobId });
    const [second] = await received(await listen(ofOne, { jobId }, first?.id), '"version":2');
    expect(second).toMatchObject({ kind: "EVENT", version: 2 });
    await cancel(jobId);
    const rest = await received(await listen(ofOne, { jobId, after: first?.id }, second?.id), '"version":3');
    expect(rest.map(({ kind, version }) => [kind, version])).toEqual([["EVENT", 3]]);
  });

  test("gives no id before the last of several snapshots: whoever comes back before it has not had them all", async () => {
    const protocolId = "several";
    for (let count = 0; count < 3; count++) await submitted(engineOn(database), { protocolId });
    const response = await listen(ofMany, { protocolId });
    const { jobId } = await submitted(engineOn(database), { protocolId });
    const all = await received(response, jobId);
    expect(all.map(({ kind, id }) => `${kind} ${id !== undefined}`)).toEqual([
      "SNAPSHOT false",
      "SNAPSHOT false",
      "SNAPSHOT true",
      "EVENT true",
    ]);
    const again = await listen(ofMany, { protocolId }, all[2]?.id);
    expect((await received(again, jobId)).map(({ kind }) => kind)).toEqual(["EVENT"]);
  });

  test.each([
    [
      "of another database",
      Buffer.from(`1 ${UNKNOWN} 1 ${UNKNOWN} 1 ${"0".repeat(16)}`).toString("base64url"),
      "CURSOR_EXPIRED",
    ],
    ["that is none", "nope", "INVALID_INPUT"],
  ])("tells of an id %s, and makes the browser forget it: it then begins again", async (_what, lastEventId, code) => {
    const { jobId } = await submitted(engineOn(database));
    const response = await listen(ofOne, { jobId }, lastEventId);
    expect(response.status).toBe(200);
    const blocks = blocksOf(await textOf(response)).filter(({ event }) => event === "next");
    expect(blocks).toEqual([
      { id: "", event: "next", data: expect.objectContaining({ errors: [expect.objectContaining({})] }) },
    ]);
    expect(blocks[0]?.data).toMatchObject({ errors: [{ extensions: { code } }] });
  });

  test("says when to come back, at moments that are spread", async () => {
    const { jobId } = await submitted(engineOn(database));
    const waits: number[] = [];
    for (let count = 0; count < 5; count++) {
      const text = await textOf(await listen(ofOne, { jobId }), "event: next");
      waits.push(Number(/^:\nretry: (\d+)\n\n/.exec(text)?.[1]));
    }
    for (const wait of waits) expect(wait).toBeGreaterThanOrEqual(500);
    for (const wait of waits) expect(wait).toBeLessThan(1500);
    expect(new Set(waits).size).toBeGreaterThan(1);
  });

  test("shows that it lives while nothing happens", async () => {
    const lively = await startTestServer(database, {}, { keepAliveMs: 20 });
    const { jobId } = await submitted(engineOn(database));
    const text = await textOf(await fetch(lively.url, operation(watching(jobId))), ":\n\n:\n\n:\n\n");
    expect(text).toContain("SNAPSHOT");
    await lively.close();
  });

  test("breaks off before a change that could not be told, and has it when it comes back", async () => {
    const { job } = await started(engineOn(database));
    const query =
      "subscription ($jobId: UUID!) { change: aiJobChanged(jobId: $jobId) { kind cursor version job { workflowRun { state } } } }";
    const response = await listen(query, { jobId: job.jobId });
    await database.prisma.$executeRaw`ALTER TABLE workflow_runs RENAME TO away`;
    await bringTo(engineOn(database), job.jobId, "RUNNING");
    const blocks = blocksOf(await textOf(response)).filter(({ event }) => event !== undefined);
    await database.prisma.$executeRaw`ALTER TABLE away RENAME TO workflow_runs`;
    const told = blocks.findLast(({ id }) => id !== undefined);
    expect(blocks.at(-1)).toMatchObject({
      event: "next",
      data: { errors: [{ extensions: { code: "INTERNAL_SERVER_ERROR" } }] },
    });
    expect(blocks.at(-1)).not.toHaveProperty("id");
    const again = await received(await listen(query, { jobId: job.jobId }, told?.id), '"version":3');
    expect(again.at(-1)).toMatchObject({ version: 3 });
  });

  test("is not kept for a client that went before it began", async () => {
    const { jobId } = await submitted(engineOn(database));
    const clients = Array.from({ length: 20 }, () => new AbortController());
    const asked = clients.map(({ signal }) => listen(ofOne, { jobId }, undefined, signal).catch(() => undefined));
    for (const [index, client] of clients.entries()) setTimeout(() => client.abort(), index);
    await Promise.all(asked);
    await vi.waitUntil(() => server.feed.subscribers === 0, { timeout: 20_000 });
  });
});

describe("a stream is refused, and tells why,", () => {
  test.each([
    ["of a job that there is not", watching(UNKNOWN), {}, { code: "NOT_FOUND" }],
    [
      "after a cursor that is none",
      'subscription { aiJobsChanged(after: "nope") { version } }',
      {},
      { code: "INVALID_INPUT", path: ["after"] },
    ],
    ["of a field that there is not", "subscription { nope }", {}, { code: "INVALID_INPUT" }],
    [
      "with a variable of the wrong type",
      "subscription ($id: UUID!) { aiJobChanged(jobId: $id) { version } }",
      { id: "nope" },
      { code: "INVALID_INPUT" },
    ],
    [
      "of two fields",
      `subscription { a: aiJobsChanged { version } b: aiJobsChanged { version } }`,
      {},
      { code: "INVALID_INPUT" },
    ],
  ])("%s", async (_what, query, variables, extensions) => {
    const response = await fetch(server.url, operation(query, variables));
    const [told, end] = eventsOf(await textOf(response));
    expect(told).toMatchObject({ event: "next", data: { errors: [{ extensions }] } });
    expect(end).toEqual({ event: "complete", data: null });
  });

  test("for a client that reads no events", async () => {
    for (const accept of ["application/json", "application/graphql-response+json"]) {
      const response = await fetch(server.url, {
        ...operation("subscription { aiJobsChanged { version } }"),
        headers: { ...POST, accept },
      });
      expect(response.status).toBe(406);
    }
  });

  test("for a page of another site", async () => {
    const init = operation("subscription { aiJobsChanged { version } }");
    const response = await fetch(server.url, { ...init, headers: { ...POST, origin: "https://elsewhere.example" } });
    expect(response.status).toBe(403);
  });
});
