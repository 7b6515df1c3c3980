import { once, setMaxListeners } from "node:events";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "graphql-ws";
import { WebSocket } from "ws";
import { z } from "zod";
import type { Protocol } from "./live.ts";

/** A subscriber that goes on whatever happens to its connection, by what it heard last, at any server. */
export interface PersistentClient {
  /** The changes that it was told, as `job version`; before them, what its snapshot held. */
  readonly record: readonly string[];
  readonly snapshots: readonly string[];
  /** What no broken connection explains. */
  readonly failure: unknown;
  /** How often it had to connect. */
  readonly connections: number;
  stop(): Promise<void>;
}

export interface SubscriptionRequest {
  /** One of these, by chance, each time. */
  readonly urls: readonly string[];
  /** With a variable `after`, and the fields of a change as `change`. */
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
}

/** What such an operation selects. */
export const CHANGE_FIELDS = "kind cursor version job { jobId }";

const payload = z.object({
  change: z.object({
    kind: z.enum(["SNAPSHOT", "EVENT"]),
    cursor: z.string(),
    version: z.int(),
    job: z.object({ jobId: z.string() }),
  }),
});

/** What a connection that breaks looks like to its client. */
class ConnectionBroken extends Error {}

export function persistentClient(protocol: Protocol, request: SubscriptionRequest): PersistentClient {
  const subscriber = new Subscriber(request, protocol === "graphql-sse" ? overSse : overWs);
  subscriber.start();
  return subscriber;
}

/** One connection: calls back with each result's data, until it breaks. Rejects with Broken then. */
type Connect = (
  url: string,
  request: SubscriptionRequest,
  after: string | undefined,
  tell: OnResult,
  signal: AbortSignal,
) => Promise<void>;
/** @param id the place that the transport gave, where it gave one. */
type OnResult = (data: unknown, id?: string) => void;

class Subscriber implements PersistentClient {
  readonly record: string[] = [];
  readonly snapshots: string[] = [];
  failure: unknown;
  connections = 0;
  readonly #wish: SubscriptionRequest;
  readonly #connect: Connect;
  readonly #stopping = new AbortController();
  #after: string | undefined;
  #running: Promise<void> | undefined;

  constructor(request: SubscriptionRequest, connect: Connect) {
    this.#wish = request;
    this.#connect = connect;
  }

  start(): void {
    // Each request of Node's listens to it for longer than it lasts.
    setMaxListeners(0, this.#stopping.signal);
    this.#running = this.#run().catch((error: unknown) => {
      this.failure = error;
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const url = this.#wish.urls[Math.floor(Math.random() * this.#wish.urls.length)] ?? "";
      this.connections += 1;
      try {
        await this.#connect(url, this.#wish, this.#after, (data, id) => this.#hear(data, id), signal);
      } catch (error) {
        if (!(error instanceof ConnectionBroken)) throw error;
      }
      await sleep(20 + Math.random() * 180, undefined, { signal }).catch(() => undefined);
    }
  }

  #hear(data: unknown, id: string | undefined): void {
    if (data !== undefined) {
      const { kind, cursor, version, job } = payload.parse(data).change;
      (kind === "EVENT" ? this.record : this.snapshots).push(`${job.jobId} ${version}`);
      this.#after = cursor;
      if (id !== undefined && id !== cursor) throw new Error("An event's id is not its cursor.");
    }
    if (id !== undefined) this.#after = id;
  }
}

/** As a browser's EventSource does it: by GET, going on by the id of the last event. */
const overSse: Connect = async (url, { query, variables }, after, tell, signal) => {
  const address = new URL(url);
  address.searchParams.set("query", query);
  address.searchParams.set("variables", JSON.stringify(variables));
  const headers = { accept: "text/event-stream", ...(after === undefined ? {} : { "last-event-id": after }) };
  const sent = request(address, { headers, agent: false, signal });
  sent.on("error", () => undefined);
  sent.end();
  const response = await once(sent, "response").then(
    ([answer]: IncomingResponse[]) => answer,
    () => undefined,
  );
  if (!response) throw new ConnectionBroken();
  if (response.statusCode !== 200) throw new Error(`It answered ${response.statusCode}.`);
  response.setEncoding("utf8");
  let text = "";
  try {
    for await (const part of response) {
      text += String(part);
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) hearBlock(block, tell);
    }
  } catch (error) {
    if (error instanceof Error && "code" in error) throw new ConnectionBroken();
    throw error;
  }
  throw new ConnectionBroken();
};

type IncomingResponse = import("node:http").IncomingMessage;

function hearBlock(block: string, tell: OnResult): void {
  const fields = new Map(
    block.split("\n").map((line) => [line.split(": ")[0] ?? "", line.slice(line.indexOf(": ") + 2)]),
  );
  if (fields.get("event") === "complete") throw new Error("The stream says that it is complete.");
  const data = fields.get("data");
  const id = fields.get("id");
  if (data !== undefined) tell(dataOf(JSON.parse(data)), id);
  else if (id !== undefined) tell(undefined, id);
}

/** Over WebSocket, going on by the cursor of the last change. */
const overWs: Connect = async (url, { query, variables }, after, tell, signal) => {
  const client = createClient({
    url: url.replace("http", "ws"),
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    lazy: true,
  });
  const stream = client.iterate({ query, variables: { ...variables, ...(after === undefined ? {} : { after }) } });
  const stop = () => void stream.return?.();
  signal.addEventListener("abort", stop);
  try {
    for await (const result of stream) tell(dataOf(result));
  } catch (error) {
    if (isBreak(error)) throw new ConnectionBroken();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    await client.dispose();
  }
  if (!signal.aborted) throw new Error("The operation says that it is complete.");
};

/** A close event of a socket that was not closed for something the client did, or an error of its connection. */
function isBreak(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  if ("code" in error && typeof error.code === "number") return [1001, 1005, 1006, 1012].includes(error.code);
  return "type" in error && error.type === "error";
}

const result = z.object({ data: z.unknown(), errors: z.unknown().optional() });

function dataOf(value: unknown): unknown {
  const { data, errors } = result.parse(value);
  if (errors !== undefined) throw new Error(`It answered ${JSON.stringify(errors)}.`);
  return data;
}
