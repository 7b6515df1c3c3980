import type { ScopedId } from "../db/batched-read.ts";
import { comparePositions, type LogPosition } from "../log/cursor.ts";
import type { LoggedEvent } from "../log/read.ts";

/** Events that were read together; what is loaded for one of them may be loaded for all. */
export interface FeedBatch {
  /** How many events this feed had read before it. */
  readonly number: number;
  /** The jobs that they are about. */
  readonly jobs: readonly ScopedId[];
}

/** An event of the log, read once and shared by every subscriber. */
export interface FeedItem extends LoggedEvent {
  readonly batch: FeedBatch;
}

/** Which part of the log a subscriber follows. */
export interface FeedScope {
  readonly workspaceId: string;
  /** One job; every job of the workspace where it is left out. */
  readonly jobId?: string;
  /** Asked for each event of the rest; what it refuses is passed over. */
  readonly matches?: (item: FeedItem) => boolean;
}

/** Whether a subscriber of this scope gets the item. */
export function isInScope({ workspaceId, jobId, matches: wants }: FeedScope, item: FeedItem): boolean {
  const { event } = item;
  return event.workspaceId === workspaceId && (jobId === undefined || event.jobId === jobId) && (wants?.(item) ?? true);
}

/** A page of the log. */
export interface LogPage {
  readonly items: readonly FeedItem[];
  /** The place that it reaches to. */
  readonly end: LogPosition;
}

interface LogSource {
  /**
   * What of the log lies between two places and in the subscriber's scope, for one that fell behind or came back;
   * undefined where it has left before that was read.
   */
  readonly read: (after: LogPosition, upTo: LogPosition) => Promise<LogPage | undefined>;
  readonly onEnd: () => void;
}

/** One subscriber's way through the log: every item of its scope once, in order. */
export class Subscriber implements AsyncIterableIterator<FeedItem, undefined> {
  readonly scope: FeedScope;
  readonly #source: LogSource;
  /** Read from the log by itself, and where that reading reached to. */
  #backlog: FeedItem[] = [];
  #backlogEnd: LogPosition | undefined;
  /** Handed out by the feed, after `#liveFrom`. */
  #queue: FeedItem[] = [];
  /** After the last item that was given out, or passed over. */
  #position: LogPosition;
  /** Up to here the log has to be read; the queue holds what comes after. */
  #queueStart: LogPosition;
  /** Nobody has asked since it fell behind: nothing is kept for it but its place. */
  #isPaused = false;
  #hasEnded = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(scope: FeedScope, queueStart: LogPosition, from: LogPosition | undefined, source: LogSource) {
    this.scope = scope;
    this.#queueStart = queueStart;
    this.#position = from ?? queueStart;
    this.#source = source;
  }

  /** After the last item that was given out, or passed over; at first, where the live stream was when it joined. */
  get position(): LogPosition {
    return this.#position;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Passes over everything up to this place: a snapshot holds it. */
  skipTo(position: LogPosition): void {
    if (comparePositions(position, this.#position) > 0) this.#position = position;
  }

  /**
   * Called by the feed with each item of its scope.
   * @param from where the item's batch begins: between there and the item is nothing of this scope that was not offered.
   */
  offer(item: FeedItem, from: LogPosition): void {
    if (this.#isPaused) {
      this.#queueStart = item.event;
      return;
    }
    if (this.#queue.length === 0 && this.#backlog.length === 0 && !this.#isBehind()) this.skipTo(from);
    this.#queue.push(item);
    this.#wake?.();
  }

  /** Lets go of what has waited for longer than since this batch: it is in the log, and is read there when it is asked for. */
  evictOlderThan(minBatchNumber: number): void {
    const isOld = (oldest: FeedItem | undefined) => oldest !== undefined && oldest.batch.number < minBatchNumber;
    const isBacklogOld = isOld(this.#backlog[0]);
    if (!isBacklogOld && !isOld(this.#queue[0])) return;
    this.#queueStart = this.#queue.at(-1)?.event ?? this.#queueStart;
    this.#queue = [];
    this.#isPaused = true;
    // A page that it has just read is its own, and small: only what waits behind it may be old.
    if (!isBacklogOld) return;
    this.#backlog = [];
    this.#backlogEnd = undefined;
  }

  async next(): Promise<IteratorResult<FeedItem, undefined>> {
    while (!this.#hasEnded) {
      await this.#catchUp();
      // Taken and passed in one go: what the feed offers meanwhile is judged by the place after it.
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

  /** Reads the log while it is behind and has nothing of it left to give. */
  async #catchUp(): Promise<void> {
    while (this.#backlog.length === 0) {
      // Each time: it may have fallen behind while it was reading.
      this.#isPaused = false;
      if (this.#backlogEnd) this.skipTo(this.#backlogEnd);
      this.#backlogEnd = undefined;
      if (this.#hasEnded || !this.#isBehind()) return;
      const page = await this.#source.read(this.#position, this.#queueStart);
      // It may have ended meanwhile, and its place stays after what it gave: it goes on from there elsewhere.
      if (!page || this.#hasEnded) return;
      this.#backlog = [...page.items];
      this.#backlogEnd = page.end;
    }
  }

  /** Settles when there may be something; at once where it came while the log was being read. */
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

  /** The client has gone: nothing of this subscriber stays behind. */
  async return(): Promise<IteratorResult<FeedItem, undefined>> {
    this.end();
    return { value: undefined, done: true };
  }

  /**
   * Ends the stream after what has been given out.
   * @param failure what the next item is instead, where it must not go on.
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
