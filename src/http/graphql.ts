import type { IncomingMessage } from "node:http";
import { createYoga, type YogaInitialContext } from "graphql-yoga";
import type { Logger } from "pino";
import type { Claimer } from "../claims/claim.ts";
import type { EngineContext } from "../engine.ts";
import type { GraphQLContext } from "../graphql/context.ts";
import { ReadableJobs } from "../graphql/readable-jobs.ts";
import { createListReads, createReadsById } from "../graphql/reads.ts";
import { schema } from "../graphql/schema.ts";
import { SharedReads } from "../graphql/shared-reads.ts";
import type { WatchPermission } from "../graphql/subscriptions/watch-rule.ts";
import type { Viewer } from "../graphql/viewer.ts";
import { UNAUTHENTICATED } from "../identity/authentication.ts";
import { type Authenticator, OPEN } from "../identity/authenticator.ts";
import { JSON_LIMIT } from "../jobs/input-text.ts";
import type { Feed } from "../live/feed.ts";
import type { CommitNotifier } from "../live/notifier.ts";
import type { MaintenanceTasks } from "../maintenance.ts";
import type { Rates } from "../rates/rates.ts";
import { createBatchedReleases } from "../runs/batched-release.ts";
import type { Client } from "../threads/turns.ts";
import type { Tracing } from "../tracing/traced.ts";
import type { Caller } from "./authentication.ts";
import { maskError } from "./error-format.ts";
import { graphiqlFor } from "./graphiql.ts";
import type { OwnNames } from "./own-names.ts";
import { useAuthentication } from "./plugins/use-authentication.ts";
import { useCors } from "./plugins/use-cors.ts";
import { useDocuments } from "./plugins/use-documents.ts";
import { useErrorFormat } from "./plugins/use-error-format.ts";
import { ResumeStates, useEventStream } from "./plugins/use-event-stream.ts";
import { useExecutor } from "./plugins/use-executor.ts";
import { useHealth } from "./plugins/use-health.ts";
import { useInputBounds } from "./plugins/use-input-bounds.ts";
import { PATHS, usePaths } from "./plugins/use-paths.ts";
import { usePermissions } from "./plugins/use-permissions.ts";
import { createPersistedDocuments, usePersistedQueries } from "./plugins/use-persisted-queries.ts";
import { useQueryParameters } from "./plugins/use-query-parameters.ts";
import { useRates } from "./plugins/use-rates.ts";
import { useReady } from "./plugins/use-ready.ts";
import { useRequestLog } from "./plugins/use-request-log.ts";
import { useRequestParser } from "./plugins/use-request-parser.ts";
import { useSameSite } from "./plugins/use-same-site.ts";
import { useSdl } from "./plugins/use-sdl.ts";
import { useSession } from "./plugins/use-session.ts";
import { useSingleConnection } from "./plugins/use-single-connection.ts";
import { useTrustedDocuments } from "./plugins/use-trusted-documents.ts";
import { useUnconditionalSubscriptions } from "./plugins/use-unconditional-subscriptions.ts";
import type { Proxies } from "./proxies.ts";
import type { RequestLog } from "./request-log.ts";
import { traceIdOf } from "./trace.ts";
import { mayExecuteAny, type TrustedDocuments } from "./trusted-documents.ts";
import { namedWorkspace, viewerOf } from "./viewer.ts";

/** The path of the API, for HTTP and WebSocket. */
export const ENDPOINT = "/graphql";

/** The parts of the server that resolvers and plugins use, and the settings of the API. */
export interface GraphQLOptions extends OwnNames {
  readonly engine: EngineContext;
  readonly feed: Feed;
  readonly claimer: Claimer;
  readonly notifier: CommitNotifier;
  readonly maintenance: Pick<MaintenanceTasks, "health">;
  readonly log: Logger;
  readonly proxies: Proxies;
  /** The documents that are executed; undefined to execute any. */
  readonly trustedDocuments?: TrustedDocuments | undefined;
  readonly maxBodyBytes: number;
  /** The most tokens of a document. */
  readonly maxDocumentTokens: number;
  /** The most values of a request's JSON, those inside lists and objects included. */
  readonly maxJsonValues: number;
  /** Tells who calls. */
  readonly authenticator: Authenticator;
  /** How much each principal may ask for; left out, as much as it can. */
  readonly rates?: Rates | undefined;
  /** Makes a span of each operation; left out, of none. */
  readonly tracing?: Tracing | undefined;
  /** Decides who may subscribe; left out, whoever has the permission, until its principal ends. */
  readonly mayWatch?: WatchPermission;
  /** Milliseconds between two comments that keep a silent event stream open. */
  readonly keepAliveMs?: number;
  /** The most operations that may run at once on one connection. */
  readonly maxOperations?: number;
  /** The most bytes of the bodies that are being received. */
  readonly maxIncomingBytes?: number;
  /** The most streams in single connection mode that may be reserved and not opened yet. */
  readonly maxReservations?: number;
}

/** What the transports tell of where an operation came from. */
interface Transport extends Caller {
  /** The request, where the operation came by HTTP. */
  readonly req?: IncomingMessage;
  /** The connection, where it came over a WebSocket. */
  readonly socket?: Client;
  readonly viewer?: Viewer;
  /** Aborted when the client has gone. */
  readonly signal?: AbortSignal;
}

/** The largest bodies that may be on their way at once: more than the server can work on. */
const MAX_INCOMING_BODIES = 50;

/** The most levels of a request: those of the deepest JSON value that is accepted, and those in which it stands. */
export function maxBodyDepth(): number {
  return JSON_LIMIT.maxDepth + 20;
}

/** Most proxies close a connection after a minute of silence, some after 30 seconds. */
const KEEP_ALIVE_MS = 12_000;

/**
 * Makes the GraphQL pipeline. The list of plugins, in this order, is what happens to a request.
 * @param requests logs them.
 * @param stopping aborted when the server stops.
 * @returns a request listener for Node's HTTP server, which also gives WebSockets their pipeline (`getEnveloped`).
 */
export function createGraphQL(options: GraphQLOptions, requests: RequestLog, stopping: AbortSignal) {
  const { engine, feed, claimer, notifier, maintenance, log, corsOrigins, maxBodyBytes } = options;
  const { rates, trustedDocuments } = options;
  const { authenticator, mayWatch = untilPrincipalEnds(authenticator), keepAliveMs = KEEP_ALIVE_MS } = options;
  const { maxDocumentTokens, maxJsonValues, maxIncomingBytes, maxOperations, maxReservations } = options;
  const reporter = { log, availability: engine.availability };
  const resumeStates = new ResumeStates();
  const reads = createReadsById(engine.prisma);
  const sharedReads = new SharedReads(reads);
  const lists = createListReads(engine.prisma);
  const releases = createBatchedReleases(engine);
  return createYoga<Transport, ReturnType<typeof contextOf>>({
    schema,
    graphqlEndpoint: ENDPOINT,
    landingPage: false,
    // Answers as long as the process runs, without a check; /health checks database and feed.
    healthCheckEndpoint: "/live",
    // From a package, because Yoga's own page loads its scripts from a CDN. Imported on demand, because it is large.
    renderGraphiQL: async (options) => (await import("@graphql-yoga/render-graphiql")).renderGraphiQL(options ?? {}),
    graphiql: (request, caller) => (!trustedDocuments || mayExecuteAny(caller?.principal)) && graphiqlFor(request),
    // useCors replaces it.
    cors: false,
    multipart: false,
    // useDocuments replaces it.
    parserAndValidationCache: false,
    batching: false,
    // useRequestParser replaces it.
    maxRequestBodySize: false,
    logging: yogaLog(log),
    maskedErrors: { maskError: (error) => maskError(error, reporter) },
    context: (initial) => contextOf(initial),
    plugins: [
      useSameSite(options, authenticator !== OPEN),
      useCors(corsOrigins),
      usePaths(),
      useAuthentication(),
      useSession(authenticator, options),
      useQueryParameters(),
      useSdl(PATHS.schema, schema),
      useHealth({ prisma: engine.prisma, feed, notifier, maintenance }),
      useReady(engine),
      useRequestParser({
        maxBytes: maxBodyBytes,
        maxDepth: maxBodyDepth(),
        maxValues: maxJsonValues,
        queryDepth: 1,
        maxIncomingBytes: maxIncomingBytes ?? MAX_INCOMING_BODIES * maxBodyBytes,
      }),
      trustedDocuments ? useTrustedDocuments(trustedDocuments) : usePersistedQueries(createPersistedDocuments()),
      useDocuments(maxDocumentTokens),
      useUnconditionalSubscriptions(),
      useRequestLog(requests),
      usePermissions(),
      useInputBounds(),
      useExecutor(options.tracing),
      ...(rates ? [useRates(rates)] : []),
      useErrorFormat(reporter),
      useEventStream(resumeStates, keepAliveMs),
      useSingleConnection({
        endpoint: ENDPOINT,
        resumeStates,
        keepAliveMs,
        stopping,
        maxOperations,
        maxReservations,
        authenticator,
      }),
    ],
  });

  function contextOf({
    viewer,
    principal,
    signal,
    request,
    req,
    socket,
  }: Partial<YogaInitialContext> & Transport): GraphQLContext {
    // Nothing that is answered to anybody comes here.
    if (!viewer && !principal) throw UNAUTHENTICATED;
    const caller = viewer ?? viewerOf(request && namedWorkspace(request), principal);
    return {
      // By connection and not by key: the workers of a fleet share a key, and one that sends much must not delay the others.
      engine: { ...engine, client: req?.socket ?? socket, workspacesMustExist: authenticator !== OPEN },
      feed,
      claimer,
      releases,
      viewer: caller,
      readable: new ReadableJobs(caller.permissions.has("JOBS_READ")),
      mayWatch,
      traceId: traceIdOf(request?.headers.get("traceparent")),
      onPrincipalEnd: (callback) => authenticator.onEnd(caller.principal, callback),
      resumeState: request ? resumeStates.of(request) : {},
      lists,
      sharedReads,
      reads,
      // An operation over a WebSocket has no HTTP request, and brings its own signal.
      signal: request ? request.signal : signal,
    };
  }
}

/** The pipeline that `createGraphQL` makes. */
export type GraphQLServer = ReturnType<typeof createGraphQL>;

/** Everybody with the permission may watch, as long as its key is valid. */
function untilPrincipalEnds(authenticator: Authenticator): WatchPermission {
  return ({ principal }) => ({ onEnd: (callback) => authenticator.onEnd(principal, callback) });
}

/** Passes Yoga's warnings on to the log. Its errors are dropped: maskError has logged them already, with their ids. */
function yogaLog(log: Logger) {
  const nothing = () => undefined;
  return { debug: nothing, info: nothing, warn: (...words: unknown[]) => log.warn(words.join(" ")), error: nothing };
}
