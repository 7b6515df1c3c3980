import { TryAgainError } from "../../errors.ts";
import type { FeedItem, Subscriber } from "../../live/subscriber.ts";
import type { LogPosition } from "../../log/cursor.ts";
import type { GraphQLContext } from "../context.ts";
import type { WatchRight } from "./watch-rule.ts";

/** How a subscription makes its payloads of the feed's items. */
export interface StreamRules<Payload> {
  readonly cursorAt: (position: LogPosition) => string;
  /** Looked at when the item is to be told, for whatever came to hold after it was offered. */
  readonly mayBeTold: (item: FeedItem) => boolean;
  readonly toPayload: (cursor: string, item: FeedItem) => Payload;
  /** Whether the stream completes after this payload; left out: never. */
  readonly isLast?: (payload: Payload) => boolean;
}

/**
 * The iterator over the snapshots, then over the subscriber's events. It is not a generator because a client may
 * disconnect while the iterator waits for an event: `return` of a generator takes effect only when the wait is over,
 * and on a quiet workspace the subscriber would stay registered for as long as no event comes.
 */
export function streamOf<Payload extends { readonly cursor: string }>(
  context: GraphQLContext,
  right: WatchRight,
  subscriber: Subscriber,
  snapshots: Payload[],
  { cursorAt, mayBeTold, toPayload, isLast = () => false }: StreamRules<Payload>,
): AsyncIterableIterator<Payload> {
  const { resumeState, feed, sharedReads } = context;
  let isOver = false;
  let isInterrupted = false;
  const removeCallback = right.onEnd((reason) => {
    // Who cannot be told now may go on from the cursor, here or at another server; whose right has ended is told so.
    isInterrupted = reason instanceof TryAgainError;
    subscriber.end(isInterrupted ? undefined : reason);
  });
  const leave = () => {
    removeCallback();
    subscriber.end();
  };
  const next = async (): Promise<IteratorResult<Payload, undefined>> => {
    if (isOver) {
      leave();
      return { value: undefined, done: true };
    }
    const nextSnapshot = subscriber.hasEnded ? undefined : snapshots.shift();
    if (nextSnapshot) {
      isOver = isLast(nextSnapshot);
      // A client that continues from an earlier snapshot would not get the remaining ones.
      if (snapshots.length === 0) resumeState.cursor = nextSnapshot.cursor;
      return { value: nextSnapshot, done: false };
    }
    let { value: item } = await subscriber.next();
    while (item && !mayBeTold(item)) ({ value: item } = await subscriber.next());
    if (!item) {
      leave();
      resumeState.interrupted = isInterrupted || feed.isClosed;
      if (snapshots.length === 0) resumeState.cursor = cursorAt(subscriber.position);
      return { value: undefined, done: true };
    }
    const payload = toPayload(cursorAt(item.event), item);
    isOver = isLast(payload);
    resumeState.cursor = payload.cursor;
    context.reads = sharedReads.of(item.batch);
    return { value: payload, done: false };
  };
  return {
    next: () =>
      next().catch((error: unknown) => {
        leave();
        throw error;
      }),
    return: async () => {
      leave();
      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
