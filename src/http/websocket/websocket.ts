import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { type DocumentNode, type ExecutionArgs, type ExecutionResult, GraphQLError, type GraphQLSchema } from "graphql";
import { CloseCode, handleProtocols, makeServer } from "graphql-ws";
import type { Logger } from "pino";
import { type WebSocket, WebSocketServer } from "ws";
import type { CommandContext } from "../../db/transaction.ts";
import { TooManyFailuresError, TryAgainError, UnauthenticatedError } from "../../errors.ts";
import { type Authenticator, OPEN } from "../../identity/authenticator.ts";
import { createLogin } from "../../identity/login.ts";
import type { Rates } from "../../rates/rates.ts";
import { MAX_ID_LENGTH, MAX_OPERATIONS, tooLargeOperations, tooManyOperations } from "../connection-limit.ts";
import { isMasked, maskError, withoutStatus } from "../error-format.ts";
import { ENDPOINT, type GraphQLServer, maxBodyDepth } from "../graphql.ts";
import { isAllowedOrigin, isOwnHost, type OwnNames } from "../own-names.ts";
import type { Proxies } from "../proxies.ts";
import type { RequestLog } from "../request-log.ts";
import { credentialOf } from "../session-cookie.ts";
import { type TrustedDocuments, trustedText } from "../trusted-documents.ts";
import { viewerOf, WORKSPACE_HEADER } from "../viewer.ts";
import { SocketOperations } from "./socket-operations.ts";
import { type SocketExtra, serveSocket } from "./transport.ts";

/** Settings of the WebSocket transport; a part of GraphQLOptions. */
export interface WebSocketOptions extends OwnNames {
  readonly authenticator: Authenticator;
  readonly proxies: Pick<Proxies, "clientAddress">;
  readonly rates?: Pick<Rates, "failedLogins"> | undefined;
  readonly trustedDocuments?: TrustedDocuments | undefined;
  /** The largest message, in bytes. */
  readonly maxBodyBytes: number;
  /** The most values of the JSON of one message. */
  readonly maxJsonValues: number;
  readonly log: Logger;
  readonly engine: Pick<CommandContext, "availability">;
  /** The most operations that may run at once on one socket. */
  readonly maxOperations?: number;
}

/** What a client sends when it connects. */
type ConnectionParams = Readonly<Record<string, unknown>>;

const ID_TOO_LONG = new GraphQLError("The operation's id is too long.", { extensions: { code: "INVALID_INPUT" } });
/** A close code of WebSockets: clients of graphql-ws connect again after it. */
const TRY_AGAIN_LATER = 1013;

/** Milliseconds that a client may take to read a refusal, or to confirm that its socket is closed. */
const GRACE_MS = 2000;

/** Yoga's pipeline for one operation: the functions of `getEnveloped`, with the types that it does not give them. */
interface Pipeline {
  readonly schema: GraphQLSchema;
  readonly parse: (query: string) => DocumentNode;
  readonly validate: (schema: GraphQLSchema, document: DocumentNode) => readonly GraphQLError[];
  readonly contextFactory: () => Promise<object> | object;
  readonly execute: (args: ExecutionArgs) => Promise<ExecutionResult> | ExecutionResult;
  readonly subscribe: (args: ExecutionArgs) => Promise<AsyncIterableIterator<ExecutionResult> | ExecutionResult>;
}

/**
 * Serves GraphQL over WebSocket (graphql-ws protocol) on the API's path, through the same pipeline as HTTP.
 * @param requests logs those that are refused; the pipeline logs the others.
 * @returns `close`, which refuses new sockets, closes the open ones with code 1001, and resolves when all are closed.
 */
export function serveWebSocket(
  http: Server,
  yoga: GraphQLServer,
  requests: RequestLog,
  options: WebSocketOptions,
): { close(): Promise<void> } {
  const { authenticator, proxies, maxBodyBytes, maxJsonValues, log, engine, trustedDocuments } = options;
  const { maxOperations = MAX_OPERATIONS } = options;
  const hasAuth = authenticator !== OPEN;
  const limits = { maxDepth: maxBodyDepth(), maxValues: maxJsonValues, queryDepth: 2 };
  const login = createLogin(authenticator, options.rates?.failedLogins);
  const reporter = { log, availability: engine.availability };
  // Not all messages that one packet brings in one turn of the event loop, where there may be hundreds.
  const webSocket = { noServer: true, allowSynchronousEvents: false };
  const sockets = new WebSocketServer({ ...webSocket, maxPayload: maxBodyBytes, handleProtocols });
  const operationsOf = new WeakMap<WebSocket, SocketOperations>();
  let stopping = false;

  // Browsers send no preflight for a WebSocket, and Yoga's plugins do not see an upgrade: the origin is checked here
  // only.
  http.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Node no longer handles errors of this socket, and an "error" event without a listener would end the process.
    socket.on("error", () => undefined);
    // Nor does Node time it out: a refused client that reads nothing, or keeps its side open, would stay connected.
    const refusalTimer = setTimeout(() => socket.destroy(), GRACE_MS);
    socket.once("close", () => clearTimeout(refusalTimer));
    if (stopping) {
      socket.destroy();
      return;
    }
    const { origin, host } = request.headers;
    const url = `http://${host ?? ""}${request.url ?? ""}`;
    // A page's socket always has an origin. A program may call the server by any name: it must show a credential.
    const isProgram = hasAuth && origin === undefined;
    const isAllowed =
      URL.canParse(url) &&
      new URL(url).pathname === ENDPOINT &&
      (isProgram || isOwnHost(new URL(url).hostname, options, hasAuth)) &&
      isAllowedOrigin(origin, host, options);
    if (!isAllowed) {
      requests.refused(request, 403);
      socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n", () => socket.destroy());
      return;
    }
    sockets.handleUpgrade(request, socket, head, (accepted) => {
      clearTimeout(refusalTimer);
      const operations = new SocketOperations();
      operationsOf.set(accepted, operations);
      accepted.once("close", () => operations.abortAll());
      serveSocket(graphqlWs, { socket: accepted, request }, limits, log, (text) => operations.handleMessage(text));
    });
  });

  const pipelines = new WeakMap<object, Pipeline>();
  const pipelineOf = ({ contextValue }: ExecutionArgs) => {
    const pipeline = isObject(contextValue) ? pipelines.get(contextValue) : undefined;
    if (!pipeline) throw new Error("An operation was executed without onSubscribe.");
    return pipeline;
  };
  const graphqlWs = makeServer<ConnectionParams, SocketExtra>({
    onConnect: async ({ connectionParams, extra }) => {
      const { authorization } = connectionParams ?? {};
      const { socket } = extra;
      const principal = await login(
        typeof authorization === "string" ? { authorization } : credentialOf(extra.request, options.publicUrl),
        () => proxies.clientAddress(extra.request),
      );
      if (principal instanceof UnauthenticatedError) {
        requests.refused(extra.request, CloseCode.Forbidden);
        return false;
      }
      if (principal instanceof TooManyFailuresError) {
        requests.refused(extra.request, TRY_AGAIN_LATER);
        return socket.close(TRY_AGAIN_LATER, `Too many failures. Try again in ${principal.retryAfterSeconds} s.`);
      }
      if (principal instanceof TryAgainError) return socket.close(TRY_AGAIN_LATER, "Try again later.");
      extra.principal = principal;
      const removeListener = authenticator.onEnd(principal, (reason) => {
        // Who cannot be told any more may connect again, whose key has ended may not.
        if (reason instanceof UnauthenticatedError) socket.close(CloseCode.Forbidden, "Forbidden");
        else socket.close(TRY_AGAIN_LATER, "Try again later.");
      });
      socket.once("close", removeListener);
      extra.hasConnected = true;
      return true;
    },
    onSubscribe: async ({ connectionParams, extra }, id, operation) => {
      if (id.length > MAX_ID_LENGTH) {
        // In the reason alone: an error message would carry the id.
        extra.socket.close(CloseCode.BadRequest, ID_TOO_LONG.message);
        return [ID_TOO_LONG];
      }
      const { operationName, variables } = operation;
      const operations = operationsOf.get(extra.socket);
      const signal = operations?.begin(id, operation);
      const requestedWorkspaceId = connectionParams?.[WORKSPACE_HEADER] ?? extra.request.headers[WORKSPACE_HEADER];
      try {
        if (operations && operations.size > maxOperations) throw tooManyOperations(maxOperations);
        // One may be as large as any message is; several large ones are sent over several connections.
        if (operations && operations.size > 1 && operations.length > maxBodyBytes)
          throw tooLargeOperations(maxBodyBytes);
        // A value that is not a string becomes "", which is refused: it must not count as "none", and so as the
        // default workspace.
        const viewer = viewerOf(
          typeof requestedWorkspaceId === "string" || requestedWorkspaceId == null ? requestedWorkspaceId : "",
          extra.principal,
        );
        const query = trustedDocuments ? trustedText(trustedDocuments, operation, extra.principal) : operation.query;
        const pipeline: Pipeline = yoga.getEnveloped({ viewer, socket: extra.socket, ...(signal ? { signal } : {}) });
        const contextValue = await pipeline.contextFactory();
        pipelines.set(contextValue, pipeline);
        const args: ExecutionArgs = {
          schema: pipeline.schema,
          document: pipeline.parse(query),
          operationName: operationName ?? null,
          variableValues: variables ?? {},
          contextValue,
        };
        const validationErrors = pipeline.validate(args.schema, args.document);
        return validationErrors.length > 0 ? validationErrors : args;
      } catch (error) {
        return [maskError(error, reporter)];
      }
    },
    execute: (args) => pipelineOf(args).execute(args),
    subscribe: async (args) => {
      const results = await pipelineOf(args).subscribe(args);
      return Symbol.asyncIterator in results ? endAtMaskedError(results) : results;
    },
    onError: ({ extra }, _id, operation, errors) => {
      operationsOf.get(extra.socket)?.end(operation);
      return errors.map((error) => withoutStatus(maskError(error, reporter)));
    },
    onComplete: ({ extra }, _id, operation) => operationsOf.get(extra.socket)?.end(operation),
    onNext: (_context, _id, _payload, _args, { data, errors }) =>
      errors && { ...(data === undefined ? {} : { data }), errors: errors.map(withoutStatus) },
  });
  const close = async () => {
    stopping = true;
    const closeTimer = setTimeout(() => {
      for (const client of sockets.clients) client.terminate();
    }, GRACE_MS);
    for (const client of sockets.clients) client.close(1001, "Going away");
    await new Promise<void>((resolve) => sockets.close(() => resolve()));
    clearTimeout(closeTimer);
  };
  return { close };
}

/**
 * Ends a subscription at the first result with an unexpected error, and throws that error. An event that could not be
 * resolved must not be skipped: the client subscribes again with its last cursor, and gets the event again.
 */
function endAtMaskedError(results: AsyncIterableIterator<ExecutionResult>): AsyncIterableIterator<ExecutionResult> {
  const end = async (): Promise<IteratorResult<ExecutionResult, undefined>> => {
    await results.return?.();
    return { value: undefined, done: true };
  };
  return {
    next: async () => {
      const result = await results.next();
      const maskedError = result.done ? undefined : result.value.errors?.find(isMasked);
      if (!maskedError) return result;
      await end();
      throw maskedError;
    },
    return: end,
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
