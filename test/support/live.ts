import { inspect } from "node:util";
import { createClient as createSseClient } from "graphql-sse";
import { createClient as createWsClient } from "graphql-ws";
import { WebSocket } from "ws";

/** A running subscription: the payloads so far, and a way to wait for more. */
export interface Watch<Payload> extends AsyncDisposable {
  readonly seen: readonly Payload[];
  /** Resolves when the payloads so far satisfy the condition; rejects after 25 seconds, or when the stream fails. */
  until(condition: (seen: readonly Payload[]) => boolean): Promise<readonly Payload[]>;
}

export interface Operation {
  readonly query: string;
  readonly variables?: Record<string, unknown>;
  readonly workspaceId?: string;
  /** Sent as headers; over WebSocket, as the connection's parameters. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Long, because the machine may be busy with other tests. */
const LIMIT_MS = 25_000;

/** The protocols of subscriptions. */
export const PROTOCOLS = ["graphql-sse", "graphql-ws"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** Subscribes with the reference client of the protocol. */
export function watch<Payload>(
  protocol: Protocol,
  url: string,
  { query, variables = {}, workspaceId, headers = {} }: Operation,
  pick: (data: Record<string, unknown>) => Payload,
): Watch<Payload> {
  const header = { ...headers, ...(workspaceId === undefined ? {} : { "x-workspace-id": workspaceId }) };
  const client =
    protocol === "graphql-sse"
      ? createSseClient({ url, headers: header, retryAttempts: 0 })
      : createWsClient({
          url: url.replace("http", "ws"),
          webSocketImpl: WebSocket,
          connectionParams: header,
          retryAttempts: 0,
        });
  return follow(client.iterate<Record<string, unknown>>({ query, variables }), pick, () => client.dispose());
}

interface Result {
  readonly data?: Record<string, unknown> | null | undefined;
  readonly errors?: readonly unknown[] | undefined;
}

function follow<Payload>(
  stream: AsyncIterableIterator<Result>,
  pick: (data: Record<string, unknown>) => Payload,
  dispose: () => void | Promise<void>,
): Watch<Payload> {
  const seen: Payload[] = [];
  let failure: unknown;
  let ended = false;
  let wake: () => void = () => undefined;
  const reading = (async () => {
    try {
      for await (const { data, errors } of stream) {
        if (errors || !data) throw new Error(`The subscription answered ${JSON.stringify(errors)}`);
        seen.push(pick(data));
        wake();
      }
    } catch (error) {
      failure = error;
    }
    ended = true;
    wake();
  })();
  const until = async (condition: (seen: readonly Payload[]) => boolean) => {
    let isTimedOut = false;
    const timer = setTimeout(() => {
      isTimedOut = true;
      wake();
    }, LIMIT_MS);
    try {
      while (!condition(seen)) {
        if (failure !== undefined) throw new Error(inspect(failure));
        if (ended || isTimedOut) throw new Error(`${ended ? "Ended" : "Timed out"} after ${JSON.stringify(seen)}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return seen;
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    seen,
    until,
    [Symbol.asyncDispose]: async () => {
      await stream.return?.();
      await dispose();
      await reading;
    },
  };
}
