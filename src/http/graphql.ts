import { createYoga, type YogaInitialContext } from "graphql-yoga";
import type { Logger } from "pino";
import type { Claimer } from "../claims/claim.ts";
import type { Engine } from "../engine.ts";
import type { GraphQLContext } from "../graphql/context.ts";
import { createListReads, createReadsById, SharedReads } from "../graphql/reads.ts";
import { schema } from "../graphql/schema.ts";
import { anyoneMayWatch, type WatchPermission } from "../graphql/subscriptions/watch-rule.ts";
import type { Viewer } from "../graphql/viewer.ts";
import type { Feed } from "../live/feed.ts";
import type { CommitNotifier } from "../live/notifier.ts";
import type { MaintenanceTasks } from "../maintenance.ts";
import { createBatchedComplete } from "../runs/batched-complete.ts";
import { maskError } from "./error-format.ts";
import { useBodyLimit } from "./plugins/use-body-limit.ts";
import { useDocumentLimit } from "./plugins/use-document-limit.ts";
import { useErrorFormat } from "./plugins/use-error-format.ts";
import { Deliveries, useEventStream } from "./plugins/use-event-stream.ts";
import { useHealth } from "./plugins/use-health.ts";
import { useSameSite } from "./plugins/use-same-site.ts";
import { useSingleConnection } from "./plugins/use-single-connection.ts";
import { viewerOf, WORKSPACE_HEADER } from "./viewer.ts";

export const ENDPOINT = "/graphql";

export interface GraphQLOptions {
  readonly engine: Engine;
  readonly feed: Feed;
  readonly claimer: Claimer;
  readonly notifier: CommitNotifier;
  readonly maintenance: Pick<MaintenanceTasks, "health">;
  readonly log: Logger;
  readonly corsOrigins: readonly string[];
  readonly maxBodyBytes: number;
  /** Everybody may watch where it is left out. */
  readonly mayWatch?: WatchPermission;
  /** Milliseconds of silence after which a stream shows that it lives. */
  readonly keepAliveMs?: number;
  /** Operations that one connection may have at once. */
  readonly maxOperations?: number;
  /** Streams for several operations that may be reserved, and read by nobody yet. */
  readonly maxReservations?: number;
}

/** What a transport other than HTTP brings instead of a request. */
interface Transport {
  readonly viewer?: Viewer;
  /** Aborted when the client has gone. */
  readonly signal?: AbortSignal;
}

/** Most proxies cut a connection that was silent for a minute, some for half of it. */
const KEEP_ALIVE_MS = 12_000;

/**
 * The GraphQL pipeline: its plugins, in their order, are what happens to a request.
 * @param stopping aborts when the server stops.
 */
export function createGraphQL(options: GraphQLOptions, stopping: AbortSignal) {
  const { engine, feed, claimer, notifier, maintenance, log, corsOrigins, maxBodyBytes } = options;
  const { mayWatch = anyoneMayWatch, keepAliveMs = KEEP_ALIVE_MS, maxOperations, maxReservations } = options;
  const deliveries = new Deliveries();
  const reads = createReadsById(engine.prisma);
  const sharedReads = new SharedReads(reads);
  const lists = createListReads(engine.prisma);
  const completeWorkflows = createBatchedComplete(engine);
  return createYoga<Transport, ReturnType<typeof contextOf>>({
    schema,
    graphqlEndpoint: ENDPOINT,
    landingPage: false,
    // Tells that the process lives, and looks at nothing.
    healthCheckEndpoint: "/live",
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
    plugins: [
      useSameSite(corsOrigins),
      useHealth({ prisma: engine.prisma, feed, notifier, maintenance }),
      useBodyLimit(maxBodyBytes),
      useDocumentLimit(),
      useErrorFormat(log),
      useEventStream(deliveries, keepAliveMs),
      useSingleConnection({
        endpoint: ENDPOINT,
        deliveries,
        keepAliveMs,
        stopping,
        maxOperations,
        maxReservations,
      }),
    ],
  });

  function contextOf({ viewer, signal, request }: Partial<YogaInitialContext> & Transport): GraphQLContext {
    return {
      engine,
      feed,
      claimer,
      completeWorkflows,
      viewer: viewer ?? viewerOf(request?.headers.get(WORKSPACE_HEADER)),
      mayWatch,
      delivery: request ? deliveries.of(request) : {},
      lists,
      sharedReads,
      reads,
      // Over a WebSocket there is no request.
      signal: request ? request.signal : signal,
    };
  }
}

export type GraphQLServer = ReturnType<typeof createGraphQL>;

/** Yoga's own words go to the log; the errors that it masks are there already, with their ids. */
function yogaLog(log: Logger) {
  const nothing = () => undefined;
  return { debug: nothing, info: nothing, warn: (...words: unknown[]) => log.warn(words.join(" ")), error: nothing };
}
