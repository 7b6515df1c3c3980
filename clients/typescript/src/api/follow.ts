import { pause } from "./abort.ts";
import type { TypedDocument } from "./document.ts";
import type { Connection } from "./request.ts";
import { isTransient, pauseMsAfter } from "./retry.ts";
import { subscribeOnce } from "./subscribe.ts";
import { trust } from "./trust.ts";

/** How a subscription is run once; over a connection of its own, or together with others. `onOpen` is told when the server has taken it. */
export type Subscribe = <Data, Variables>(
  connection: Connection,
  operation: TypedDocument<Data, Variables>,
  variables: Variables,
  signal: AbortSignal,
  onOpen?: () => void,
) => AsyncIterable<Data>;

/** Told that a stream is broken off, and why; then, once, that it goes on. */
export type OnConnection = (isConnected: boolean, reason?: unknown) => void;

export interface Followed<Data, Variables> {
  readonly connection: Connection;
  readonly operation: TypedDocument<Data, Variables>;
  readonly variables: Omit<Variables, "after">;
  /** The place in the log from which to go on; left out: from now, with what there is. */
  readonly after?: string | null | undefined;
  /** @returns the place of an item, to go on behind it. */
  readonly cursorOf: (data: Data) => string;
  readonly signal: AbortSignal;
  readonly subscribe?: Subscribe;
  readonly onConnection?: OnConnection | undefined;
}

/**
 * Runs a subscription until it completes, over as many connections as that takes: where one breaks off, the next goes on behind the last
 * item, so each comes once and none is missed.
 * @throws JobServerError where it is refused for good, CURSOR_EXPIRED included; the reason of `signal`, once it is aborted.
 */
export async function* follow<Data, Variables>({
  connection,
  operation,
  variables,
  after,
  cursorOf,
  signal,
  subscribe = subscribeOnce,
  onConnection = () => undefined,
}: Followed<Data, Variables>): AsyncGenerator<Data, void, undefined> {
  let cursor = after ?? null;
  let isBroken = false;
  const onOpen = () => {
    if (isBroken) onConnection(true);
    isBroken = false;
  };
  for (let failures = 0; ; failures += 1) {
    try {
      const from = trust<Variables>({ ...variables, ...(cursor === null ? {} : { after: cursor }) });
      for await (const data of subscribe(connection, operation, from, signal, onOpen)) {
        failures = 0;
        cursor = cursorOf(data);
        yield data;
      }
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (!isTransient(error)) throw error;
      if (!isBroken) onConnection(false, error);
      isBroken = true;
      await pause(pauseMsAfter(failures, error), signal);
    }
  }
}
