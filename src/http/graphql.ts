import { createYoga, type YogaInitialContext } from "graphql-yoga";
import type { Logger } from "pino";
import { newLoaders, type Viewer } from "../graphql/context.ts";
import { schema } from "../graphql/schema.ts";
import type { Feed } from "../recorder/feed.ts";
import type { Engine } from "../workflow/engine.ts";
import type { WaitingRoom } from "../workflow/waiting.ts";
import { maskError } from "./error-format.ts";
import { useBodyLimit } from "./use-body-limit.ts";
import { useDocumentLimit } from "./use-document-limit.ts";
import { useErrorFormat } from "./use-error-format.ts";
import { useSameSite } from "./use-same-site.ts";
import { viewerOf, WORKSPACE_HEADER } from "./viewer.ts";

export const ENDPOINT = "/graphql";

export interface GraphQLOptions {
  readonly engine: Engine;
  readonly feed: Feed;
  readonly waiting: WaitingRoom;
  readonly log: Logger;
  readonly corsOrigins: readonly string[];
  readonly maxBodyBytes: number;
}

/** What a transport other than HTTP brings instead of a request. */
interface Transport {
  readonly viewer?: Viewer;
  /** Aborted when the client has gone. */
  readonly signal?: AbortSignal;
}

/** The GraphQL pipeline: its plugins, in their order, are what happens to a request. */
export function createGraphQL({ engine, feed, waiting, log, corsOrigins, maxBodyBytes }: GraphQLOptions) {
  return createYoga<Transport, ReturnType<typeof contextOf>>({
    schema,
    graphqlEndpoint: ENDPOINT,
    landingPage: false,
    // From the package: the page that Yoga would serve loads its scripts from a CDN. It is large, and rarely asked for.
    renderGraphiQL: async (options) => (await import("@graphql-yoga/render-graphiql")).renderGraphiQL(options ?? {}),
    graphiql: { title: "AI Job Server", subscriptionsProtocol: "SSE" },
    cors: corsOrigins.length === 0 ? false : { origin: [...corsOrigins], credentials: false },
    multipart: false,
    batching: false,
    // The plugin's limit stands for it.
    maxRequestBodySize: false,
    logging: yogaLog(log),
    maskedErrors: { maskError: (error) => maskError(error, log) },
    context: (initial) => contextOf(initial),
    plugins: [useSameSite(corsOrigins), useBodyLimit(maxBodyBytes), useDocumentLimit(), useErrorFormat(log)],
  });

  function contextOf({ viewer, signal, request }: YogaInitialContext & Transport) {
    // Over a WebSocket there is no request.
    const known = viewer ?? viewerOf(request.headers.get(WORKSPACE_HEADER));
    const gone = viewer ? signal : request.signal;
    return { engine, feed, waiting, viewer: known, loaders: newLoaders(), signal: gone };
  }
}

export type GraphQLServer = ReturnType<typeof createGraphQL>;

/** Yoga's own words go to the log; the errors that it masks are there already, with their ids. */
function yogaLog(log: Logger) {
  const nothing = () => undefined;
  return { debug: nothing, info: nothing, warn: (...words: unknown[]) => log.warn(words.join(" ")), error: nothing };
}
