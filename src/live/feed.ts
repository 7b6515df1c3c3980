import { setTimeout as sleep, setImmediate as yieldToEventLoop } from "node:timers/promises";
import pLimit from "p-limit";
import type { Database } from "../db/database.ts";
import { CursorExpiredError } from "../errors.ts";
import { comparePositions, type LogPosition } from "../log/cursor.ts";
import {
  CATCH_UP_PAGE_SIZE,
  FEED_PAGE_SIZE,
  type LoggedEvent,
  type LogState,
  type NewEvents,
  readEventsBetween,
  readLogState,
  readNewEvents,
} from "../log/read.ts";
import { readStopsBetween } from "../log/read-stops.ts";
import { LogContinuity } from "./continuity.ts";
import { LogCursors } from "./cursors.ts";
import { countOf, firstWithinPage } from "./event-size.ts";
import { ReadBehindCommit } from "./read-behind-commit.ts";
import { MIN_READ_INTERVAL_MS, ReadPace } from "./read-pace.ts";
import { SubscriberRegistry } from "./registry.ts";
import { type FeedItem, type FeedScope, isInScope, type LogPage, Subscriber } from "./subscriber.ts";

/** What a feed needs. */
export interface FeedOptions {
  readonly database: Pick<Database, "prisma" | "onCommitSent">;
  /**
   * Milliseconds after which the feed reads the log without a notify hint: the longest delay that a lost hint causes.
   */
  readonly pollMs: number;
  /** Called when the log cannot be read; for several failures in a row, only with the first. */
  readonly onError: (error: unknown) => void;
  /** Called when a new epoch of the log has begun; every subscriber has been told CURSOR_EXPIRED then. */
  readonly onNewEpoch?: (state: LogState) => void;
  /**
   * The number of newest events that may wait in memory for subscribers, large ones counting as several (`countOf`). A subscriber
   * that has not taken an event while this many newer ones were read loses its queue, and later reads from the log what it missed.
   */
  readonly maxBufferedEvents?: number;
}

const MAX_BUFFERED_EVENTS = 5000;
/**
 * Subscribers that may read the log themselves at the same time. Without a limit, a thousand clients that reconnect
 * together would take every database connection, and commands would wait behind them.
 */
const MAX_CONCURRENT_CATCH_UPS = 3;

/**
 * Follows the event log in log order and fans events out to subscribers in memory: one read per batch of events,
 * whatever the number of subscribers. The feed reads only below the oldest open transaction of this database, so an event that commits
 * late is never skipped (sections 4 and 10). Without subscribers it reads nothing.
 */
export class Feed {
  /** Watches that the log goes on where this server has seen it. */
  readonly continuity: LogContinuity;
  readonly cursors: LogCursors;
  readonly #options: FeedOptions;
  readonly #registry = new SubscriberRegistry();
  readonly #catchUpLimit = pLimit(MAX_CONCURRENT_CATCH_UPS);
  /** The position of the last event read; undefined while the feed follows nothing. */
  #position: LogPosition | undefined;
  #followLoop: Promise<void> | undefined;
  #isClosed = false;
  #isFailing = false;
  /** The number of events read since this feed was made, large ones counting as several, and when old ones were last evicted. */
  #eventCount = 0;
  #eventCountAtEviction = 0;
  /** When the log was last read successfully. */
  #lastReadAt: number | undefined;
  /** Ends the wait of the follow loop; undefined while the loop is not waiting. */
  #wake: (() => void) | undefined;
  #isHintPending = false;
  readonly #pace = new ReadPace();
  /** A read that was sent behind a COMMIT of this process. */
  readonly #readBehindCommit: ReadBehindCommit;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#readBehindCommit = new ReadBehindCommit(options.pollMs, () => this.#wake?.());
    options.database.onCommitSent?.((read) => {
      // Only while the feed waits and the rate limit allows a read, because then it would read next anyway.
      if (this.#position && this.#wake && this.#pace.msUntilAllowed() <= 0)
        this.#readBehindCommit.send(read, this.#position);
    });
    this.cursors = new LogCursors(options.database.prisma);
    this.continuity = new LogContinuity(options.database.prisma, (state) => {
      this.#expire();
      options.onNewEpoch?.(state);
    });
  }

  /** The number of live subscriptions. */
  get subscribers(): number {
    return this.#registry.size;
  }

  /** Milliseconds since the log was last read; null without subscribers, because then the feed does not read. */
  get lastReadMsAgo(): number | null {
    return this.#lastReadAt === undefined ? null : Math.round(performance.now() - this.#lastReadAt);
  }

  /** Whether the feed was closed because the server stops. Streams that end then can be resumed at another server. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** A notify hint: the log may have new events. Makes the feed read sooner; never throws. */
  notify(): void {
    this.#isHintPending = true;
    this.#wake?.();
  }

  /** The id of this database's event log, which is part of every cursor (section 10). */
  epoch(): Promise<string> {
    return this.continuity.epoch();
  }

  /**
   * The current watermark (section 4): every event up to it has committed, so a subscription from it misses nothing.
   */
  async watermark(): Promise<LogPosition> {
    return (await readLogState(this.#options.database.prisma)).watermark;
  }

  /** The position before everything that is kept: a subscription from it begins with all that its scope has. */
  async start(): Promise<LogPosition> {
    return (await readLogState(this.#options.database.prisma)).start;
  }

  /**
   * Adds a subscriber to the live stream, and starts reading the log if the feed is not reading yet.
   * @param scope which events the subscriber gets.
   * @param from the subscriber gets the events after this position; left out, those after the feed's current position.
   * Until the first call of `next`, `Subscriber.skipTo` can still move that position forward.
   * @returns the subscriber; the caller must end it with `end` or `return`, or the registry keeps it.
   */
  async subscribe(scope: FeedScope, from?: LogPosition): Promise<Subscriber> {
    const position = this.#position ?? (await this.watermark());
    this.#position ??= position;
    const subscriber = new Subscriber(scope, this.#position, from, {
      read: (after, upTo) => this.#readCatchUpPage(subscriber, after, upTo),
      onEnd: () => this.#registry.remove(subscriber),
    });
    this.#registry.add(subscriber);
    this.#followLoop ??= this.#follow();
    if (this.#isClosed) subscriber.end();
    return subscriber;
  }

  /** Ends every subscription; resolves when the feed has stopped reading. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#registry.end();
    this.notify();
    await this.#followLoop;
  }

  async #follow(): Promise<void> {
    let waitMs = MIN_READ_INTERVAL_MS;
    this.#lastReadAt = performance.now();
    while (!this.#isClosed && this.#registry.size > 0) {
      const wasHinted = this.#isHintPending;
      this.#isHintPending = false;
      const eventCount = await this.#readBatch();
      if (eventCount === FEED_PAGE_SIZE) {
        // The embedded database runs in this thread: a loop that only reads would keep sockets and timers waiting.
        await yieldToEventLoop();
        continue;
      }
      this.#pace.count();
      // A hint without new events: an open transaction holds the feed back. Read again soon, then less and less often.
      waitMs = eventCount > 0 || wasHinted ? MIN_READ_INTERVAL_MS : Math.min(waitMs * 2, this.#options.pollMs);
      await this.#waitForHint(waitMs);
      const rateLimitMs = this.#pace.msUntilAllowed();
      if (rateLimitMs > 0) await sleep(rateLimitMs);
    }
    this.#followLoop = undefined;
    this.#position = undefined;
    this.#lastReadAt = undefined;
  }

  async #takeReadBehindCommit(from: LogPosition): Promise<NewEvents | undefined> {
    const page = await this.#readBehindCommit.take(from);
    if (page) this.#isFailing = false;
    return page;
  }

  /**
   * Reads the next page of the log and publishes it.
   * @returns the number of events, at most FEED_PAGE_SIZE.
   */
  async #readBatch(): Promise<number> {
    const from = this.#position;
    if (!from) return 0;
    const page =
      (await this.#takeReadBehindCommit(from)) ??
      (await this.#attempt(() => readNewEvents(this.#options.database.prisma, from)));
    // A new epoch may have begun during the read: what was read belongs to none of those who subscribe now.
    if (!page || this.#position !== from) return 0;
    if (!page.continues) {
      const goesOn = await this.#attempt(() => this.continuity.check(from));
      // Where another check has begun the epoch, it has told those who were there; those who have come since stay.
      if (goesOn === false && this.#position === from) this.#expire();
      return 0;
    }
    this.#lastReadAt = performance.now();
    const { events } = page;
    const last = events.at(-1);
    if (!last) return 0;
    this.#position = last.event;
    this.continuity.saw(last.event);
    this.#registry.publish(this.#toFeedItems(events), from);
    for (const event of events) this.#eventCount += countOf(event);
    const { maxBufferedEvents = MAX_BUFFERED_EVENTS } = this.#options;
    // Eviction visits every subscriber, so it does not follow every batch.
    if (this.#eventCount - this.#eventCountAtEviction > maxBufferedEvents / 10) {
      this.#eventCountAtEviction = this.#eventCount;
      this.#registry.evictOlderThan(this.#eventCount - maxBufferedEvents);
    }
    return events.length;
  }

  /**
   * Reads a page of the log for one subscriber that fell behind or resumed from a cursor; tries again while the
   * database is unavailable.
   * @returns undefined if the subscriber has ended.
   * @throws CursorExpiredError if events after `after` are no longer kept.
   */
  async #readCatchUpPage(subscriber: Subscriber, after: LogPosition, upTo: LogPosition): Promise<LogPage | undefined> {
    const { pollMs } = this.#options;
    while (!subscriber.hasEnded) {
      const page = await this.#catchUpLimit(async () => {
        // The subscriber may have ended while it waited to be allowed to read.
        if (subscriber.hasEnded) return undefined;
        return this.#attempt(async () => {
          const events = await this.#readInScope(subscriber.scope, after, upTo);
          // Read after the events: if retention, or a restore, had removed some before, this shows it, and no gap stays
          // unnoticed.
          const { start, stands } = await readLogState(this.#options.database.prisma, [after]);
          return { events, isComplete: stands && comparePositions(after, start) >= 0 };
        });
      });
      if (page?.isComplete === false) throw new CursorExpiredError();
      if (page) {
        const events = firstWithinPage(page.events);
        const items = this.#toFeedItems(events).filter((item) => isInScope(subscriber.scope, item));
        const isWhole = events.length === page.events.length && events.length < CATCH_UP_PAGE_SIZE;
        const last = isWhole ? undefined : events.at(-1);
        return { items, end: last?.event ?? upTo };
      }
      await sleep(pollMs);
    }
    return undefined;
  }

  #readInScope(scope: FeedScope, after: LogPosition, upTo: LogPosition): Promise<readonly LoggedEvent[]> {
    const { prisma } = this.#options.database;
    return scope.worker ? readStopsBetween(prisma, scope, after, upTo) : readEventsBetween(prisma, scope, after, upTo);
  }

  /** Ends every subscription with CURSOR_EXPIRED: the log does not go on where they were. */
  #expire(): void {
    this.#position = undefined;
    this.#registry.end(new CursorExpiredError());
    this.notify();
  }

  #toFeedItems(events: readonly LoggedEvent[]): readonly FeedItem[] {
    const jobs = new Map(events.map(({ event: { workspaceId, jobId } }) => [jobId, { workspaceId, id: jobId }]));
    const batch = { eventsReadBefore: this.#eventCount, jobs: [...jobs.values()] };
    return events.map((event) => ({ ...event, batch }));
  }

  /** @returns undefined if the read failed: no event is lost, because the next read begins at the same position. */
  async #attempt<T>(read: () => Promise<T>): Promise<T | undefined> {
    try {
      const value = await read();
      this.#isFailing = false;
      return value;
    } catch (error) {
      if (!this.#isFailing) this.#options.onError(error);
      this.#isFailing = true;
      return undefined;
    }
  }

  async #waitForHint(timeoutMs: number): Promise<void> {
    if (this.#isHintPending) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }
}
