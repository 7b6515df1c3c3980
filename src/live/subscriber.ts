import type { ScopedId } from "../db/batched-read.ts";
import { comparePositions, type LogPosition } from "../log/cursor.ts";
import type { LoggedEvent } from "../log/read.ts";
import type { StopsScope } from "../log/read-stops.ts";

/** The events of one read of the log. Rows that belong to them can be loaded for all events of the batch in one query. */
export interface FeedBatch {
  /**
   * The number of events that the feed had read before this batch, large ones counting as several; never decreases from batch to
   * batch.
   */
  readonly eventsReadBefore: number;
  /** The jobs of these events, each once. */
  readonly jobs: readonly ScopedId[];
}

/** An event with its batch. One object is shared by all subscribers. */
export interface FeedItem extends LoggedEvent {
  readonly batch: FeedBatch;
}

/** Which part of the log a subscriber follows: the jobs of a workspace, or the stops of a worker. */
export type FeedScope = JobsScope | StopsScope;

/** The events of the jobs of a workspace. */
export interface JobsScope {
  readonly workspaceId: string;
  /** One job; left out, every job of the workspace. */
  readonly jobId?: string;
  /** A filter over the remaining events; left out, every one matches. */
  readonly matches?: (item: FeedItem) => boolean;
  readonly worker?: never;
}

/** Whether a subscriber of this scope gets the item. */
export function isInScope(scope: FeedScope, item: FeedItem): boolean {
  const { event, stops } = item;
  if (scope.workspaceId !== null && event.workspaceId !== scope.workspaceId) return false;
  if (scope.worker) {
    const { workerId, principalId } = scope.worker;
    return stops?.workerId === workerId && stops.principalId === principalId;
  }
  return (scope.jobId === undefined || event.jobId === scope.jobId) && (scope.matches?.(item) ?? true);
}

/** A page of the log, cut down to one scope. */
export interface LogPage {
  readonly items: readonly FeedItem[];
  /**
   * The position up to which the log was read; events of other scopes may lie between the last item and this position.
   */
  readonly end: LogPosition;
}

/** What a subscriber needs from its feed. */
interface LogSource {
  /**
   * Reads one page of the subscriber's items after one position, up to and including another, in log order; undefined
   * if the subscriber ended before the page was read.
   * @throws CursorExpiredError if events after `after` are no longer kept.
   */
  readonly read: (after: LogPosition, upTo: LogPosition) => Promise<LogPage | undefined>;
  /** Called once, when the subscriber ends. */
  readonly onEnd: () => void;
}

/**
 * One live subscription: delivers every item of its scope once, in log order, from its position on (section 10).
 *
 * Items come from two sources. The feed offers new items, which wait in the queue. What lies between the subscriber's
 * position and the start of the queue is read from the log, page by page, into the backlog; that happens after
 * resuming from a cursor, and after a pause so long that the queue was evicted.
 */
export class Subscriber implements AsyncIterableIterator<FeedItem, undefined> {
  readonly scope: FeedScope;
  readonly #source: LogSource;
  /** Items that this subscriber read from the log, and the position up to which it has read. */
  #backlog: FeedItem[] = [];
  #backlogEnd: LogPosition | undefined;
  /** Items that the feed offered, all after `#queueStart`. */
  #queue: FeedItem[] = [];
  /** The position of the last item that was delivered or skipped. */
  #position: LogPosition;
  /** The queue has every item after this position; items up to it must be read from the log. */
  #queueStart: LogPosition;
  /**
   * Whether the queue was evicted and the client has not asked for an item since. Until then the feed queues nothing
   * here and only moves `#queueStart`, so that a client that stopped reading takes no memory.
   */
  #isPaused = false;
  #hasEnded = false;
  #failure: Error | undefined;
  /** Ends the wait for an item; undefined while `next` is not waiting. */
  #wake: (() => void) | undefined;

  /**
   * @param queueStart the position of the feed: it will offer every item after this position.
   * @param from the position to deliver from; left out, `queueStart`.
   */
  constructor(scope: FeedScope, queueStart: LogPosition, from: LogPosition | undefined, source: LogSource) {
    this.scope = scope;
    this.#queueStart = queueStart;
    this.#position = from ?? queueStart;
    this.#source = source;
  }

  /**
   * The position of the last item that was delivered or skipped; at first, the position that the subscription began at.
   */
  get position(): LogPosition {
    return this.#position;
  }

  /** Whether the subscription is over, so that `next` returns no further item. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Skips every item up to and including this position, because a snapshot already contains it; never moves back. */
  skipTo(position: LogPosition): void {
    if (comparePositions(position, this.#position) > 0) this.#position = position;
  }

  /**
   * Called by the feed with each new item of this scope.
   * @param from the position after which the item's batch was read. Every item of this scope between there and this
   * item was offered before.
   */
  offer(item: FeedItem, from: LogPosition): void {
    if (this.#isPaused) {
      this.#queueStart = item.event;
      return;
    }
    // Nothing waits, so everything of this scope up to `from` was delivered. Moving on keeps the position recent: after
    // an eviction or a reconnect, a subscriber of few events would otherwise read a long part of the log in vain.
    if (this.#queue.length === 0 && this.#backlog.length === 0 && !this.#isBehind()) this.skipTo(from);
    this.#queue.push(item);
    this.#wake?.();
  }

  /**
   * Drops waiting items if the oldest one is from an old batch. They are read from the log again when the client asks
   * for the next item.
   * @param minEventsReadBefore batches whose `eventsReadBefore` is smaller are old.
   */
  evictOlderThan(minEventsReadBefore: number): void {
    const isOld = (item: FeedItem | undefined) =>
      item !== undefined && item.batch.eventsReadBefore < minEventsReadBefore;
    const isBacklogOld = isOld(this.#backlog[0]);
    if (!isBacklogOld && !isOld(this.#queue[0])) return;
    this.#queueStart = this.#queue.at(-1)?.event ?? this.#queueStart;
    this.#queue = [];
    this.#isPaused = true;
    // A page that was read recently is small, and stays: only the queue behind it is dropped.
    if (!isBacklogOld) return;
    this.#backlog = [];
    this.#backlogEnd = undefined;
  }

  /**
   * The next item, as soon as there is one; done after `end`. Calls must not overlap.
   * @throws CursorExpiredError if events that were not delivered yet are no longer kept.
   * @throws the failure that `end` was called with, once.
   */
  async next(): Promise<IteratorResult<FeedItem, undefined>> {
    while (!this.#hasEnded) {
      await this.#catchUp();
      // The item is taken and the position moved without an `await` in between: otherwise an `offer` in that moment
      // would see neither of them, find nothing waiting, and skip the item.
      const item = this.#backlog.shift() ?? this.#queue.shift();
      if (item === undefined) {
        await this.#waitForItem();
      } else if (comparePositions(item.event, this.#position) > 0) {
        this.#position = item.event;
        return { value: item, done: false };
      }
    }
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
    return { value: undefined, done: true };
  }

  /** Fills an empty backlog from the log, until it has an item or the subscriber has reached the start of the queue. */
  async #catchUp(): Promise<void> {
    while (this.#backlog.length === 0) {
      // In every round, because the queue may have been evicted again during the read.
      this.#isPaused = false;
      if (this.#backlogEnd) this.skipTo(this.#backlogEnd);
      this.#backlogEnd = undefined;
      if (this.#hasEnded || !this.#isBehind()) return;
      const page = await this.#source.read(this.#position, this.#queueStart);
      // If the subscriber has ended, its position must stay at the last delivered item: the client resumes from there.
      if (!page || this.#hasEnded) return;
      this.#backlog = [...page.items];
      this.#backlogEnd = page.end;
    }
  }

  /** Resolves when there may be an item; at once if one came while the log was being read. */
  async #waitForItem(): Promise<void> {
    if (this.#hasEnded || this.#isBehind() || this.#queue.length > 0) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }

  #isBehind(): boolean {
    return comparePositions(this.#position, this.#queueStart) < 0;
  }

  /** Ends the subscription because the client has gone. */
  async return(): Promise<IteratorResult<FeedItem, undefined>> {
    this.end();
    return { value: undefined, done: true };
  }

  /**
   * Ends the subscription and drops waiting items. Later calls do nothing.
   * @param failure the error that `next` throws instead of ending normally, for example because a right was withdrawn.
   */
  end(failure?: Error): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#failure = failure;
    this.#queue = [];
    this.#backlog = [];
    this.#source.onEnd();
    this.#wake?.();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
