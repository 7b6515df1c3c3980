import { once } from "node:events";
import type { Server } from "node:http";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { print } from "graphql";
import { pino } from "pino";
import { type Claimer, createClaimer } from "../../src/claims/claim.ts";
import type { Database } from "../../src/db/open.ts";
import type { Engine } from "../../src/engine.ts";
import type { GraphQLOptions } from "../../src/http/graphql.ts";
import { Feed, type FeedOptions } from "../../src/live/feed.ts";
import { CommitNotifier } from "../../src/live/notifier.ts";
import { createServer } from "../../src/server.ts";
import { engineOn } from "./engine.ts";

export interface TestServer {
  /** Such as http://127.0.0.1:51234/graphql. */
  readonly url: string;
  readonly feed: Feed;
  readonly claimer: Claimer;
  readonly http: Server;
  /** Posts a typed operation; errors of the whole request fail the test. */
  run<Data, Variables>(document: TypedDocumentNode<Data, Variables>, variables: Variables): Promise<Data>;
  close(): Promise<void>;
}

/** What a test may have otherwise than the product. */
export type ServerOptions = Partial<
  Pick<
    GraphQLOptions,
    "notifier" | "maintenance" | "maxBodyBytes" | "mayWatch" | "keepAliveMs" | "maxOperations" | "maxReservations"
  >
> &
  Partial<Pick<FeedOptions, "pollMs" | "maxBufferedEvents">>;

/** The product's server on a test's database and a free port: what clients talk to, over HTTP. */
export async function startTestServer(
  database: Database,
  more: Partial<Engine> = {},
  { pollMs = 100, maxBufferedEvents, notifier = inProcess(), maintenance = JUST_SWEPT, ...options }: ServerOptions = {},
): Promise<TestServer> {
  const feed = new Feed({
    database,
    pollMs,
    ...(maxBufferedEvents ? { maxBufferedEvents } : {}),
    onError: () => undefined,
  });
  notifier.onNotify(() => {
    feed.notify();
    claimer.notify();
  });
  const engine = engineOn(database, { notifyCommit: () => notifier.notify(), ...more });
  const claimer = createClaimer(engine, () => undefined);
  const log = pino({ level: "silent" });
  const server = createServer({
    maxBodyBytes: 5_000_000,
    ...options,
    engine,
    feed,
    claimer,
    notifier,
    maintenance,
    log,
    corsOrigins: [],
  });
  // A test that pauses for about as long as Node keeps an idle connection would meet its end half of the time.
  server.http.keepAliveTimeout = 120_000;
  server.http.listen(0, "127.0.0.1");
  await once(server.http, "listening");
  const address = server.http.address();
  const url = `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}/graphql`;
  return {
    url,
    feed,
    claimer,
    http: server.http,
    run: (document, variables) => run(url, document, variables),
    close: () => server.close(),
  };
}

/** A test that is not about sweeps has none. */
export const JUST_SWEPT = { health: { lastMsAgo: 0, isLate: false } };

/** Hints of one process. */
export function inProcess(): CommitNotifier {
  return new CommitNotifier(undefined, { onChange: () => undefined });
}

/** Posts a typed operation to a server. @param signal its client goes away. */
export async function run<Data, Variables>(
  url: string,
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
  headers: Readonly<Record<string, string>> = {},
  signal: AbortSignal | null = null,
): Promise<Data> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ query: print(document), variables }),
    signal,
  });
  const answer: unknown = await response.json();
  if (!isAnswerOf<Data>(answer)) throw new Error(`The request failed: ${JSON.stringify(answer)}`);
  return answer.data;
}

/** The server has checked the operation against the schema that the document's types were made from. */
function isAnswerOf<Data>(answer: unknown): answer is { readonly data: Data } {
  return typeof answer === "object" && answer !== null && "data" in answer && !("errors" in answer);
}
