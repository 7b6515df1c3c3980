import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStorage, type Storage } from "../../src/storage/open.ts";
import { cancelAiJob } from "../../src/workflow/cancel.ts";
import { engineOn, SOMEBODY, submitted, WORKSPACE } from "../support/engine.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Subscriptions as text: what `curl -N` and a browser's EventSource get. */

let storage: Storage;
let server: TestServer;
beforeAll(async () => {
  storage = await openStorage({ kind: "memory" });
  server = await startTestServer(storage);
});
afterAll(async () => {
  await server.close();
  await storage.close();
});

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
  const deadline = AbortSignal.timeout(10_000);
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
    const { jobId } = await submitted(engineOn(storage));
    const response = await ask(watching(jobId));
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    await cancelAiJob(engineOn(storage), WORKSPACE, SOMEBODY, { jobId, reason: "test" });
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
    const stopping = await startTestServer(storage);
    const { jobId } = await submitted(engineOn(storage));
    const response = await fetch(stopping.url, operation(watching(jobId)));
    const reading = textOf(response);
    await stopping.close();
    const blocks = blocksOf(await reading);
    expect(blocks.map(({ event }) => event)).not.toContain("complete");
    const id = blocks.at(-1)?.id ?? "";
    expect(blocks.at(-1)).toEqual({ id, data: null });

    await cancelAiJob(engineOn(storage), WORKSPACE, SOMEBODY, { jobId, reason: "test" });
    const goingOn = await fetch(server.url, {
      ...operation(watching(jobId)),
      headers: { ...POST, "last-event-id": id },
    });
    const rest = eventsOf(await textOf(goingOn, 'CANCELLED"}}}\n\n'));
    expect(rest).toEqual([next({ kind: "EVENT", version: 2, state: "CANCELLED" })]);
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
