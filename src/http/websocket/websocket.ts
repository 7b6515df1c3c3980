import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import type { DocumentNode, ExecutionArgs, ExecutionResult, GraphQLError, GraphQLSchema } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import type { Logger } from "pino";
import { type WebSocket, WebSocketServer } from "ws";
import { MAX_OPERATIONS, tooManyOperations } from "../connection-limit.ts";
import { isMasked, maskError, withoutStatus } from "../error-format.ts";
import { ENDPOINT, type GraphQLServer } from "../graphql.ts";
import { isAllowedOrigin, isOwnHost } from "../plugins/use-same-site.ts";
import { viewerOf, WORKSPACE_HEADER } from "../viewer.ts";
import { SocketOperations } from "./socket-operations.ts";

export interface WebSocketOptions {
  readonly corsOrigins: readonly string[];
  readonly maxBodyBytes: number;
  readonly log: Logger;
  readonly maxOperations?: number;
}

/** Milliseconds that a client may take to read that it was refused, or to answer that its socket is closed. */
const GRACE_MS = 2000;

/** What Yoga does to an operation, with the types that its plugin system has lost. */
interface Pipeline {
  readonly schema: GraphQLSchema;
  readonly parse: (query: string) => DocumentNode;
  readonly validate: (schema: GraphQLSchema, document: DocumentNode) => readonly GraphQLError[];
  readonly contextFactory: () => Promise<object> | object;
  readonly execute: (args: ExecutionArgs) => Promise<ExecutionResult> | ExecutionResult;
  readonly subscribe: (args: ExecutionArgs) => Promise<AsyncIterableIterator<ExecutionResult> | ExecutionResult>;
}

/** GraphQL over WebSocket (graphql-ws protocol) on the same path, through the same pipeline. */
export function serveWebSocket(
  http: Server,
  yoga: GraphQLServer,
  options: WebSocketOptions,
): { close(): Promise<void> } {
  const { corsOrigins, maxBodyBytes, log, maxOperations = MAX_OPERATIONS } = options;
  const sockets = new WebSocketServer({ noServer: true, maxPayload: maxBodyBytes });
  const operationsOf = new WeakMap<WebSocket, SocketOperations>();
  let stopping = false;

  // A browser sends no preflight for a WebSocket: the origin is checked here, or nowhere.
  http.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Node has let go of it: an error of a connection that nobody listens to would end the process.
    socket.on("error", () => undefined);
    // Nor does anything end one that was refused, and whose client reads nothing or keeps its side open.
    const late = setTimeout(() => socket.destroy(), GRACE_MS);
    socket.once("close", () => clearTimeout(late));
    if (stopping) {
      socket.destroy();
      return;
    }
    const { origin, host } = request.headers;
    const url = `http://${host ?? ""}${request.url ?? ""}`;
    const isAllowed =
      URL.canParse(url) &&
      new URL(url).pathname === ENDPOINT &&
      isOwnHost(new URL(url).hostname) &&
      isAllowedOrigin(origin, host, corsOrigins);
    if (!isAllowed) {
      socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n", () => socket.destroy());
      return;
    }
    sockets.handleUpgrade(request, socket, head, (accepted) => {
      clearTimeout(late);
      const operations = new SocketOperations();
      operationsOf.set(accepted, operations);
      accepted.on("message", (data) => operations.handleMessage(data));
      accepted.once("close", () => operations.abortAll());
      sockets.emit("connection", accepted, request);
    });
  });

  const pipelines = new WeakMap<object, Pipeline>();
  const pipelineOf = ({ contextValue }: ExecutionArgs) => {
    const pipeline = isObject(contextValue) ? pipelines.get(contextValue) : undefined;
    if (!pipeline) throw new Error("An operation was executed that had not been subscribed.");
    return pipeline;
  };
  const graphqlWs = useServer(
    {
      onSubscribe: async ({ connectionParams, extra }, id, operation) => {
        const { query, operationName, variables } = operation;
        const operations = operationsOf.get(extra.socket);
        const signal = operations?.begin(id, operation);
        const requestedWorkspaceId = connectionParams?.[WORKSPACE_HEADER] ?? extra.request.headers[WORKSPACE_HEADER];
        try {
          if (operations && operations.size > maxOperations) throw tooManyOperations(maxOperations);
          // What is there and no text is no UUID, either: it must not pass for the default workspace.
          const viewer = viewerOf(
            typeof requestedWorkspaceId === "string" || requestedWorkspaceId == null ? requestedWorkspaceId : "",
          );
          const pipeline: Pipeline = yoga.getEnveloped({ viewer, ...(signal ? { signal } : {}) });
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
          return [maskError(error, log)];
        }
      },
      execute: (args) => pipelineOf(args).execute(args),
      subscribe: async (args) => {
        const results = await pipelineOf(args).subscribe(args);
        return Symbol.asyncIterator in results ? endAtMaskedError(results) : results;
      },
      onError: ({ extra }, _id, operation, errors) => {
        operationsOf.get(extra.socket)?.end(operation);
        return errors.map((error) => withoutStatus(maskError(error, log)));
      },
      onComplete: ({ extra }, _id, operation) => operationsOf.get(extra.socket)?.end(operation),
      onNext: (_context, _id, _payload, _args, { data, errors }) =>
        errors && { ...(data === undefined ? {} : { data }), errors: errors.map(withoutStatus) },
    },
    sockets,
  );
  const close = async () => {
    stopping = true;
    const late = setTimeout(() => {
      for (const client of sockets.clients) client.terminate();
    }, GRACE_MS);
    await graphqlWs.dispose();
    clearTimeout(late);
  };
  return { close };
}

/** A change that could not be told is not passed over: the operation ends before it, with its error. */
function endAtMaskedError(results: AsyncIterableIterator<ExecutionResult>): AsyncIterableIterator<ExecutionResult> {
  const leave = async (): Promise<IteratorResult<ExecutionResult, undefined>> => {
    await results.return?.();
    return { value: undefined, done: true };
  };
  return {
    next: async () => {
      const result = await results.next();
      const maskedError = result.done ? undefined : result.value.errors?.find(isMasked);
      if (!maskedError) return result;
      await leave();
      throw maskedError;
    },
    return: leave,
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
