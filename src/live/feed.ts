import { setImmediate as immediate, setTimeout as sleep } from "node:timers/promises";
import pLimit from "p-limit";
import type { Database, ReadRows } from "../db/open.ts";
import { CursorExpiredError, InvalidInputError } from "../errors.ts";
import { comparePositions, decodeCursor, type LogPosition } from "../log/cursor.ts";
import {
  CATCH_UP_PAGE_SIZE,
  type EventRow,
  FEED_PAGE_SIZE,
  type LoggedEvent,
  readEventsBetween,
  readLogState,
  readNewEvents,
  selectNewEvents,
  toLoggedEvent,
} from "../log/read.ts";
import { SubscriberRegistry } from "./registry.ts";
import { type FeedItem, type FeedScope, isInScope, type LogPage, Subscriber } from "./subscriber.ts";

export interface FeedOptions {
  readonly database: Pick<Database, "prisma" | "onCommitSent">;
  /** Milliseconds after which the log is read though nobody woke the feed: a hint that was lost costs no more. */
  readonly pollMs: number;
  /** Hears of a failure to read the log; of several in a row, the first. */
  readonly onError: (error: unknown) => void;
  /**
   * Events that wait in memory, for all subscribers together: whoever has not taken an event while so many more came
   * reads the log itself, from where it stands.
   */
  readonly window?: number;
}

/**
 * Milliseconds between two reads, on average, at least: under steady writing a batch is read, and not every event by
 * itself. After a rest so many may follow one another at once: one event is told when it comes.
 */
const SOONEST_MS = 5;
const AT_ONCE = 4;
const WINDOW = 5000;
/** Subscribers that read the log by themselves at once: the others of a thousand wait in line, and commands do not. */
const READERS = 3;

/**
 * Follows the event log in its own order and fans it out in memory: one read per batch of events, whatever the number
 * of subscribers. It reads only below the oldest open transaction, so an event that commits late is never skipped
 * (section 4). While nobody subscribes it reads nothing.
 */
export class Feed {
  readonly #options: FeedOptions;
  readonly #audience = new SubscriberRegistry();
  readonly #catchUp = pLimit(READERS);
  #position: LogPosition | undefined;
  #epoch: Promise<string> | undefined;
  #reading: Promise<void> | undefined;
  #closed = false;
  #failing = false;
  /** Events read so far, and when those that had waited for too long were let go. */
  #count = 0;
  #forgotAt = 0;
  /** When the log was last read, and that went well. */
  #readAt: number | undefined;
  #hint: (() => void) | undefined;
  #hinted = false;
  /** When the reads up to now would be over, had each come when the average allows it. */
  #readsUntil = 0;
  /** The next read, where it was sent behind a COMMIT: from where, and what it found; undefined if it failed. */
  #sent: { readonly from: LogPosition; readonly found: Promise<readonly LoggedEvent[] | undefined> } | undefined;

  constructor(options: FeedOptions) {
    this.#options = options;
    options.database.onCommitSent?.((read) => this.#readBehindCommit(read));
  }

  /** How many listen. */
  get subscribers(): number {
    return this.#audience.size;
  }

  /** Milliseconds since the log was last read; null while nobody listens, and nothing is. */
  get lastReadMsAgo(): number | null {
    return this.#readAt === undefined ? null : Math.round(performance.now() - this.#readAt);
  }

  /** Whether it ends every stream because the server stops: they go on elsewhere, from where they are. */
  get closed(): boolean {
    return this.#closed;
  }

  /** There may be something to read. */
  notify(): void {
    this.#hinted = true;
    this.#hint?.();
  }

  /** Which log this is; it stands in every cursor. */
  epoch(): Promise<string> {
    this.#epoch ??= readLogState(this.#options.database.prisma).then(
      ({ epoch }) => epoch,
      (error: unknown) => {
        // Not kept: the next one to ask reads again.
        this.#epoch = undefined;
        throw error;
      },
    );
    return this.#epoch;
  }

  /** The place below which every event has committed, and after which a subscription misses nothing. */
  async watermark(): Promise<LogPosition> {
    return (await readLogState(this.#options.database.prisma)).watermark;
  }

  /**
   * The place that a client's cursor names, for a subscription of one job, or of many.
   * @throws InvalidInputError for one that is malformed or ahead of the log; CursorExpiredError for another log's, and
   * where what came after it has left the log.
   */
  async locate(cursor: string, jobId?: string): Promise<LogPosition> {
    const decoded = decodeCursor(cursor);
    if (!decoded) throw new InvalidInputError(["after"], "This is no cursor: pass one from a payload, unchanged.");
    const { position } = decoded;
    const { epoch, start, watermark: horizon, end } = await readLogState(this.#options.database.prisma);
    if (decoded.epoch !== epoch || comparePositions(position, start) < 0) throw new CursorExpiredError();
    if (comparePositions(position, end) > 0) throw new InvalidInputError(["after"], "This cursor is ahead of the log.");
    // Of an event that was found by a query, and not by the feed: what commits later may still come before it. A job's
    // own events do not, each having waited for the one before.
    return position.jobId === jobId || comparePositions(position, horizon) < 0 ? position : horizon;
  }

  /**
   * Joins the live stream. What the subscriber gets begins after `from`, or with what comes next where that is left
   * out; it may be set until the first item is asked for.
   */
  async subscribe(scope: FeedScope, from?: LogPosition): Promise<Subscriber> {
    const position = this.#position ?? (await this.watermark());
    this.#position ??= position;
    const subscriber = new Subscriber(scope, this.#position, from, {
      read: (after, upTo) => this.#readBehind(subscriber, after, upTo),
      left: () => this.#audience.remove(subscriber),
    });
    this.#audience.add(subscriber);
    this.#reading ??= this.#follow();
    if (this.#closed) subscriber.end();
    return subscriber;
  }

  /** Ends every subscription and the reading. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#audience.end();
    this.notify();
    await this.#reading;
  }

  async #follow(): Promise<void> {
    let wait = SOONEST_MS;
    this.#readAt = performance.now();
    while (!this.#closed && this.#audience.size > 0) {
      const hinted = this.#hinted;
      this.#hinted = false;
      const found = await this.#readBatch();
      if (found === FEED_PAGE_SIZE) {
        // The embedded database runs in this thread: a loop of reads alone would keep sockets and timers waiting.
        await immediate();
        continue;
      }
      this.#readsUntil = Math.max(this.#readsUntil, performance.now()) + SOONEST_MS;
      // Woken and nothing there: a transaction that is still open holds the feed back. Look again soon, then less often.
      wait = found > 0 || hinted ? SOONEST_MS : Math.min(wait * 2, this.#options.pollMs);
      await this.#hintOr(wait);
      const early = this.#early();
      if (early > 0) await sleep(early);
    }
    this.#reading = undefined;
    this.#position = undefined;
    this.#readAt = undefined;
  }

  /** Milliseconds to the moment at which the log may be read again. */
  #early(): number {
    return this.#readsUntil - AT_ONCE * SOONEST_MS - performance.now();
  }

  /** A commit of this process: what it adds is read behind it, where the feed is at rest and would read it next anyway. */
  #readBehindCommit(read: ReadRows): void {
    const from = this.#position;
    if (!from || !this.#hint || this.#sent || this.#early() > 0) return;
    const found = read<EventRow>(selectNewEvents(from)).then(
      (rows) => rows.map(toLoggedEvent),
      () => undefined,
    );
    this.#sent = { from, found };
    // Somebody's commit without news wakes nobody.
    void found.then(() => this.#hint?.());
  }

  /** Undefined where nothing was sent, it failed, or its connection has gone silent: the feed reads by itself then. */
  async #foundBehindCommit(from: LogPosition): Promise<readonly LoggedEvent[] | undefined> {
    const sent = this.#sent;
    this.#sent = undefined;
    // Everybody may have gone since it was sent, and others come, who begin elsewhere.
    if (sent?.from !== from) return undefined;
    const late = new AbortController();
    const silence = sleep(this.#options.pollMs, undefined, { signal: late.signal }).catch(() => undefined);
    const found = await Promise.race([sent.found, silence]);
    late.abort();
    if (found) this.#failing = false;
    return found;
  }

  async #readBatch(): Promise<number> {
    const from = this.#position;
    if (!from) return 0;
    const found =
      (await this.#foundBehindCommit(from)) ??
      (await this.#attempt(() => readNewEvents(this.#options.database.prisma, from)));
    if (found) this.#readAt = performance.now();
    const last = found?.at(-1);
    if (!found || !last) return 0;
    this.#position = last.event;
    this.#audience.publish(this.#toBatch(found), from);
    this.#count += found.length;
    const { window = WINDOW } = this.#options;
    if (this.#count - this.#forgotAt > window / 10) {
      this.#forgotAt = this.#count;
      this.#audience.evictOlderThan(this.#count - window);
    }
    return found.length;
  }

  /** For a subscriber that fell behind, or came back: the same as from the feed, by a read of its own, while it is there. */
  async #readBehind(subscriber: Subscriber, after: LogPosition, upTo: LogPosition): Promise<LogPage | undefined> {
    const { pollMs } = this.#options;
    while (!subscriber.ended) {
      const page = await this.#catchUp(async () => {
        // It may have left while it stood in line.
        if (subscriber.ended) return undefined;
        return this.#attempt(async () => {
          const events = await readEventsBetween(this.#options.database.prisma, subscriber.scope, after, upTo);
          // Looked at afterwards: what retention took before the read was missing in it.
          const { start } = await readLogState(this.#options.database.prisma);
          return { events, isWhole: comparePositions(after, start) >= 0 };
        });
      });
      if (page?.isWhole === false) throw new CursorExpiredError();
      if (page) {
        const items = this.#toBatch(page.events).filter((item) => isInScope(subscriber.scope, item));
        const last = page.events.length === CATCH_UP_PAGE_SIZE ? page.events.at(-1) : undefined;
        return { items, end: last?.event ?? upTo };
      }
      await sleep(pollMs);
    }
    return undefined;
  }

  #toBatch(events: readonly LoggedEvent[]): readonly FeedItem[] {
    const jobs = new Map(events.map(({ event: { workspaceId, jobId } }) => [jobId, { workspaceId, id: jobId }]));
    const batch = { number: this.#count, jobs: [...jobs.values()] };
    return events.map(({ event, job }) => ({ event, job, batch }));
  }

  /** Undefined where the database is away: nothing is lost, the next read goes on from the same place. */
  async #attempt<T>(read: () => Promise<T>): Promise<T | undefined> {
    try {
      const value = await read();
      this.#failing = false;
      return value;
    } catch (error) {
      if (!this.#failing) this.#options.onError(error);
      this.#failing = true;
      return undefined;
    }
  }

  async #hintOr(milliseconds: number): Promise<void> {
    if (this.#hinted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#hint = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#hint = undefined;
  }
}
