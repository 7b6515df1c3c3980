import { randomUUID } from "node:crypto";
import { IncomingMessage } from "node:http";
import { type ExecutionResult, GraphQLError } from "graphql";
import { isAsyncIterable, type Plugin } from "graphql-yoga";
import type { ErrorCode } from "../../errors.ts";
import type { Authenticator } from "../../identity/authenticator.ts";
import type { Caller } from "../authentication.ts";
import {
  MAX_ID_LENGTH,
  MAX_OPERATIONS,
  MAX_RESERVATIONS,
  MAX_RESERVATIONS_OF_CONNECTION,
  tooManyOperations,
} from "../connection-limit.ts";
import { toResultIterator } from "../sse/event-stream.ts";
import { SharedStream } from "../sse/shared-stream.ts";
import { eventsResponse, type ResumeStates, readsOnlyEvents } from "./use-event-stream.ts";

const TOKEN = { header: "x-graphql-event-stream-token", parameter: "token" };
const NO_STREAM = "There is no stream with this token. Reserve one with PUT.";
/** Milliseconds after which a reserved stream that no client has opened is removed. */
const RESERVATION_MS = 30_000;

/** Settings of the single connection mode; its limits and times are those of GraphQLOptions. */
export interface SingleConnectionOptions {
  /** The path of the API. */
  readonly endpoint: string;
  readonly resumeStates: ResumeStates;
  readonly keepAliveMs: number;
  /** Aborted when the server stops. */
  readonly stopping: AbortSignal;
  readonly maxOperations?: number | undefined;
  readonly maxReservations?: number | undefined;
  readonly authenticator: Pick<Authenticator, "onEnd">;
}

/**
 * The graphql-sse protocol's single connection mode, for browsers over HTTP/1, which open at most six connections to a
 * server. PUT reserves a stream and returns its token; GET with the token opens the stream; POST with the token runs an
 * operation, whose results go to the stream; DELETE stops an operation. Streams live in this process, so all requests
 * with a token must reach the same server.
 *
 * Written here because graphql-sse's own handler, which Yoga's plugin uses, keeps every result in memory for a client
 * that does not read, and keeps reservations forever.
 */
export function useSingleConnection(options: SingleConnectionOptions): Plugin<object, Caller> {
  const { endpoint, resumeStates, keepAliveMs, stopping, authenticator } = options;
  const { maxOperations = MAX_OPERATIONS, maxReservations = MAX_RESERVATIONS } = options;
  const streams = new Map<string, SharedStream>();
  /** For a POST with a token: its stream, and the id of the operation that it registered there. */
  const streamByRequest = new WeakMap<Request, SharedStream>();
  const operationIdByRequest = new WeakMap<Request, string>();
  /** The streams that are reserved and not open, in the order of their reservations. */
  const reserved = new Map<string, SharedStream>();
  /** Those of one connection. */
  const reservedBy = new WeakMap<object, Map<string, SharedStream>>();

  const reserve = (connection: object, owner: string) => {
    const token = randomUUID();
    const stream = new SharedStream(keepAliveMs, owner);
    streams.set(token, stream);
    const own = reservedBy.get(connection) ?? new Map<string, SharedStream>();
    reservedBy.set(connection, own);
    for (const [known] of own) if (!reserved.has(known)) own.delete(known);
    // The oldest gives way, not the newest: whoever means it opens a stream at once. It is one of the same connection first, so that
    // whoever reserves a thousand gives up its own.
    for (const [kept, max] of [
      [own, MAX_RESERVATIONS_OF_CONNECTION],
      [reserved, maxReservations],
    ] as const) {
      kept.set(token, stream);
      const [oldest] = kept;
      if (!oldest || kept.size <= max) continue;
      kept.delete(oldest[0]);
      forget(...oldest);
    }
    setTimeout(() => {
      if (reserved.has(token)) forget(token, stream);
    }, RESERVATION_MS).unref();
    return token;
  };
  const forget = (token: string, stream: SharedStream) => {
    streams.delete(token);
    reserved.delete(token);
    void stream.cancel();
  };
  stopping.addEventListener("abort", () => {
    for (const stream of streams.values()) stream.end();
  });

  return {
    onRequest({ request, url, fetchAPI, serverContext, endResponse }) {
      const { principal } = serverContext;
      if (url.pathname !== endpoint || !principal) return;
      const answer = (status: number, text: string | null) => endResponse(new fetchAPI.Response(text, { status }));
      const refuse = (status: number, message: string, code: ErrorCode) =>
        endResponse(fetchAPI.Response.json({ errors: [{ message, extensions: { code } }] }, { status }));
      if (request.method === "PUT" && !hasBody(request))
        return answer(201, reserve(connectionOf(serverContext), principal.name));
      const token = request.headers.get(TOKEN.header) ?? url.searchParams.get(TOKEN.parameter);
      if (token === null) return;
      const stream = streams.get(token);
      // Another principal's is answered like none.
      if (stream?.owner !== principal.name) return refuse(404, NO_STREAM, "NOT_FOUND");
      if (request.method === "DELETE") {
        const id = url.searchParams.get("operationId");
        if (id === null) return refuse(400, "Pass the operation's id in the parameter operationId.", "INVALID_INPUT");
        stream.stop(id);
        return answer(200, null);
      }
      if (!readsOnlyEvents(request)) {
        streamByRequest.set(request, stream);
        return;
      }
      if (stream.isOpen) return refuse(409, "This stream is already open. It can have one reader.", "INVALID_INPUT");
      stream.isOpen = true;
      reserved.delete(token);
      // Its operations end by themselves, each with its own last word.
      const removeListener = authenticator.onEnd(principal, () => stream.end());
      const onClientGone = () => {
        removeListener();
        forget(token, stream);
      };
      endResponse(eventsResponse(stream, 200, request, fetchAPI, onClientGone));
    },

    onParams({ request, params }) {
      const stream = streamByRequest.get(request);
      if (!stream) return;
      const id: unknown = params.extensions?.operationId;
      if (typeof id !== "string" || id === "" || id.length > MAX_ID_LENGTH)
        throw refusal(400, `Give the operation an id of 1 to ${MAX_ID_LENGTH} characters in extensions.operationId.`);
      // The reader may have gone while the request was parsed. Nothing would ever end an operation that is added now.
      if (stream.hasClientLeft) throw refusal(404, NO_STREAM, "NOT_FOUND");
      if (stream.size >= maxOperations) throw tooManyOperations(maxOperations);
      if (!stream.register(id)) throw refusal(409, "This stream already has an operation with this id.");
      operationIdByRequest.set(request, id);
    },

    onResultProcess({ request, result, setResultProcessor }) {
      const stream = streamByRequest.get(request);
      const id = operationIdByRequest.get(request);
      if (!stream || id === undefined || Array.isArray(result)) return;
      // A refused request is answered directly, and not over the stream.
      if (isRefused(result)) return stream.stop(id);
      setResultProcessor((_result, fetchAPI) => {
        stream.attach(id, { results: toResultIterator(result), resumeState: resumeStates.of(request) });
        return new fetchAPI.Response(null, { status: 202 });
      }, "text/plain");
    },
  };
}

/** What stands for the client: many may share a key, or, behind a proxy, an address. */
function connectionOf(serverContext: object): object {
  const request: unknown = Reflect.get(serverContext, "req");
  return request instanceof IncomingMessage ? request.socket : serverContext;
}

/** Whether the request has a body. A PUT with one is not a reservation. */
function hasBody({ headers }: Request): boolean {
  return headers.has("transfer-encoding") || Number(headers.get("content-length") ?? 0) > 0;
}

/** Whether the operation was refused before it ran: errors of a running operation have the path of a field. */
function isRefused(result: ExecutionResult | AsyncIterable<ExecutionResult>): boolean {
  return !isAsyncIterable(result) && !result.data && (result.errors?.every(({ path }) => !path) ?? false);
}

function refusal(status: number, message: string, code: ErrorCode = "INVALID_INPUT"): GraphQLError {
  return new GraphQLError(message, { extensions: { code, http: { status } } });
}
