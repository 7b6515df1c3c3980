import type { ExecutionResult } from "graphql";
import { type FetchAPI, isAsyncIterable, type Plugin } from "graphql-yoga";
import type { ResumeState } from "../../graphql/context.ts";
import { type EventStream, OperationStream, toResultIterator } from "../sse/event-stream.ts";

/**
 * For each HTTP request, where its subscription can be resumed. Resolvers write the state, and the stream that the
 * client reads takes its event ids from it.
 */
export class ResumeStates {
  readonly #byRequest = new WeakMap<Request, ResumeState>();

  of(request: Request): ResumeState {
    const existing = this.#byRequest.get(request);
    if (existing) return existing;
    // A browser's EventSource sends the id of the last event when it reconnects.
    const resumeAfter = request.headers.get("last-event-id");
    const resumeState: ResumeState = resumeAfter ? { resumeAfter } : {};
    this.#byRequest.set(request, resumeState);
    return resumeState;
  }
}

const EVENT_STREAM = "text/event-stream";
const HEADERS = {
  "content-type": EVENT_STREAM,
  "cache-control": "no-cache",
  connection: "keep-alive",
  // Tells nginx not to buffer: otherwise events would arrive only when its buffer is full.
  "x-accel-buffering": "no",
};

/**
 * Sends results as server-sent events with ids, so that a browser can resume after a break. Replaces Yoga's own event
 * stream, whose events have no ids.
 */
export function useEventStream(resumeStates: ResumeStates, keepAliveMs: number): Plugin {
  return {
    onResultProcess({ request, result, resultProcessor, setResultProcessor }) {
      if (Array.isArray(result)) return;
      if (!resultProcessor) {
        // Yoga answers 406: the client accepts none of the formats, and nobody would ever end the subscription.
        if (isAsyncIterable(result)) void result[Symbol.asyncIterator]().return?.();
        return;
      }
      if (!isAsyncIterable(result) && !readsOnlyEvents(request)) return;
      const status = isAsyncIterable(result) ? 200 : statusOf(result);
      setResultProcessor((_result, fetchAPI) => {
        const operation = { results: toResultIterator(result), resumeState: resumeStates.of(request) };
        return eventsResponse(new OperationStream(operation, keepAliveMs), status, request, fetchAPI);
      }, EVENT_STREAM);
    },
  };
}

/** Whether the request accepts text/event-stream and nothing else. */
export function readsOnlyEvents({ headers }: Request): boolean {
  const types = (headers.get("accept") ?? "*/*").toLowerCase().split(",");
  return types.every((type) => type.split(";")[0]?.trim() === EVENT_STREAM);
}

/**
 * Makes the HTTP response of an event stream, and ends the stream when the client disconnects.
 * @param onClientGone called when the client has disconnected.
 */
export function eventsResponse(
  stream: EventStream,
  status: number,
  { signal }: Request,
  { Response, ReadableStream }: FetchAPI,
  onClientGone: () => void = () => undefined,
): Response {
  // If the client has gone before the response is read, the stream is never pulled or cancelled: without this, its
  // operations would never end.
  const end = () => {
    onClientGone();
    void stream.cancel();
  };
  if (signal.aborted) end();
  else signal.addEventListener("abort", end, { once: true });
  return new Response(new ReadableStream(stream), { status, headers: HEADERS });
}

/**
 * The HTTP status of a stream with a single result. It is 200 for most errors: the graphql-sse protocol reports them in
 * the stream, because a browser's EventSource hides the body of any other status from the page. A 4xx that an error
 * asks for explicitly is kept. A 5xx is not: after it an EventSource never reconnects, although the error may pass.
 */
function statusOf({ errors }: ExecutionResult): number {
  const statuses = errors?.flatMap(({ extensions: { http } }) =>
    hasStatus(http) && http.spec !== true ? [http.status] : [],
  );
  return Math.max(200, ...(statuses ?? []).filter((status) => status < 500));
}

function hasStatus(http: unknown): http is { readonly status: number; readonly spec?: boolean } {
  return typeof http === "object" && http !== null && "status" in http && typeof http.status === "number";
}
