import type { ExecutionResult } from "graphql";
import { type FetchAPI, isAsyncIterable, type Plugin } from "graphql-yoga";
import type { Delivery } from "../../graphql/context.ts";
import { type EventStream, OperationStream, toResultIterator } from "../sse/event-stream.ts";

/** Where each request's subscription stands: between its resolvers and the stream that its client reads. */
export class Deliveries {
  readonly #byRequest = new WeakMap<Request, Delivery>();

  of(request: Request): Delivery {
    const known = this.#byRequest.get(request);
    if (known) return known;
    // What a browser's EventSource sends when it connects again.
    const resumeAfter = request.headers.get("last-event-id");
    const delivery: Delivery = resumeAfter ? { resumeAfter } : {};
    this.#byRequest.set(request, delivery);
    return delivery;
  }
}

const EVENT_STREAM = "text/event-stream";
const HEADERS = {
  "content-type": EVENT_STREAM,
  "cache-control": "no-cache",
  connection: "keep-alive",
  // For proxies that would hold a response back to fill their buffers.
  "x-accel-buffering": "no",
};

/** Server-sent events with ids, in the place of Yoga's own, which have none. */
export function useEventStream(deliveries: Deliveries, keepAliveMs: number): Plugin {
  return {
    onResultProcess({ request, result, resultProcessor, setResultProcessor }) {
      // Where Yoga found no way to answer, there is none.
      if (!resultProcessor || Array.isArray(result)) return;
      if (!isAsyncIterable(result) && !readsOnlyEvents(request)) return;
      const status = isAsyncIterable(result) ? 200 : statusOf(result);
      setResultProcessor((_result, fetchAPI) => {
        const of = { results: toResultIterator(result), delivery: deliveries.of(request) };
        return eventsResponse(new OperationStream(of, keepAliveMs), status, request, fetchAPI);
      }, EVENT_STREAM);
    },
  };
}

export function readsOnlyEvents({ headers }: Request): boolean {
  const types = (headers.get("accept") ?? "*/*").toLowerCase().split(",");
  return types.every((type) => type.split(";")[0]?.trim() === EVENT_STREAM);
}

/** @param onClientGone is called when the client has gone. */
export function eventsResponse(
  stream: EventStream,
  status: number,
  { signal }: Request,
  { Response, ReadableStream }: FetchAPI,
  onClientGone: () => void = () => undefined,
): Response {
  // Where it has gone by now nobody reads the response, and so nobody would end the stream.
  const end = () => {
    onClientGone();
    void stream.cancel();
  };
  if (signal.aborted) end();
  else signal.addEventListener("abort", end, { once: true });
  return new Response(new ReadableStream(stream), { status, headers: HEADERS });
}

/**
 * A refusal is told in the stream (graphql-sse protocol), since a browser tells nobody what else a response says; and
 * since for any other status it never connects again, an error that may pass must not have one.
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
