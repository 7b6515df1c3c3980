import { once } from "node:events";
import type { Server } from "node:http";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { print } from "graphql";
import { type Claimer, createClaimer } from "../../src/claims/claim.ts";
import type { Database } from "../../src/db/database.ts";
import type { EngineContext } from "../../src/engine.ts";
import type { GraphQLOptions } from "../../src/http/graphql.ts";
import { trustProxies } from "../../src/http/proxies.ts";
import { OPEN } from "../../src/identity/authenticator.ts";
import { Feed, type FeedOptions } from "../../src/live/feed.ts";
import { CommitNotifier } from "../../src/live/notifier.ts";
import { createServer, type ServerBounds } from "../../src/server.ts";
import { serverSide } from "./database.ts";
import { engineOn } from "./engine.ts";
import { watchedLog } from "./watched-log.ts";

export interface TestServer {
  /** The address of the API, such as http://127.0.0.1:51234/graphql. */
  readonly url: string;
  readonly feed: Feed;
  readonly claimer: Claimer;
  readonly http: Server;
  /** Posts a typed operation. @throws Error if the whole request is refused. */
  run<Data, Variables>(document: TypedDocumentNode<Data, Variables>, variables: Variables): Promise<Data>;
  close(): Promise<void>;
}

/** What a test can set differently from the server's configuration. */
export type ServerOptions = Partial<
  Pick<
    GraphQLOptions,
    | "authenticator"
    | "publicUrl"
    | "corsOrigins"
    | "proxies"
    | "rates"
    | "trustedDocuments"
    | "notifier"
    | "maintenance"
    | "maxBodyBytes"
    | "mayWatch"
    | "keepAliveMs"
    | "maxOperations"
    | "maxReservations"
    | "maxIncomingBytes"
  > &
    ServerBounds
> &
  Partial<Pick<FeedOptions, "pollMs" | "maxBufferedEvents">> & {
    /** Called with each line that the server logs. */
    readonly onLog?: (line: string) => void;
  };

/** Starts the server on a test's database and a free port. */
export async function startTestServer(
  testDatabase: Database,
  more: Partial<EngineContext> = {},
  {
    pollMs = 100,
    maxBufferedEvents,
    notifier = inProcess(),
    maintenance = JUST_SWEPT,
    onLog,
    ...options
  }: ServerOptions = {},
): Promise<TestServer> {
  const database = serverSide(testDatabase);
  const feed = new Feed({
    database,
    pollMs,
    ...(maxBufferedEvents ? { maxBufferedEvents } : {}),
    onError: () => undefined,
  });
  await feed.continuity.check();
  notifier.onNotify(() => {
    feed.notify();
    claimer.notify();
  });
  const engine = engineOn(database, { notifyCommit: () => notifier.notify(), ...more });
  const claimer = createClaimer(engine, () => undefined);
  const { log, watch, assertNothingSent } = watchedLog(onLog);
  const server = createServer({
    maxBodyBytes: 5_000_000,
    maxDocumentTokens: 2_000,
    maxJsonValues: 100_000,
    authenticator: OPEN,
    corsOrigins: [],
    proxies: trustProxies([]),
    ...options,
    engine,
    feed,
    claimer,
    notifier,
    maintenance,
    log,
  });
  watch(server.http);
  // Node closes a connection that is idle for 5 seconds. A test that pauses for about as long would meet that moment
  // now and then, and its request would fail.
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
    close: async () => {
      await server.close();
      assertNothingSent();
    },
  };
}

/** The health of maintenance for tests that run no maintenance task. */
export const JUST_SWEPT = { health: { lastMsAgo: 0, isLate: false } };

/** A commit notifier without a transport: hints stay in this process. */
export function inProcess(): CommitNotifier {
  return new CommitNotifier(undefined, { onChange: () => undefined });
}

/**
 * Posts a typed operation to a server.
 * @param signal aborts the request, as a client that disconnects.
 * @throws Error if the whole request is refused.
 */
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

/** Needs no closer check: the server validated the operation against the schema that the types were generated from. */
function isAnswerOf<Data>(answer: unknown): answer is { readonly data: Data } {
  return typeof answer === "object" && answer !== null && "data" in answer && !("errors" in answer);
}
