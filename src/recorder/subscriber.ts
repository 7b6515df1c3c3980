import type { AiJob, FlightRecorderEvent } from "../storage/generated/client/client.ts";
import { comparePositions, type LogPosition } from "./cursor.ts";

/** An event with the job it is about, which may already be newer: loaded once, shared by every subscriber. */
export interface FeedItem {
  readonly event: FlightRecorderEvent;
  readonly job: AiJob;
}

/** Which part of the log a subscriber follows. */
export interface FeedScope {
  readonly workspaceId: string;
  /** One job; every job of the workspace where it is left out. */
  readonly jobId?: string;
}

/** Events that wait for one subscriber in memory; beyond them it reads the log itself, from where it stands. */
const QUEUE = 1000;

interface Source {
  /** A page of the log between two places, for one that fell behind or came back. */
  readonly read: (after: LogPosition, upTo: LogPosition) => Promise<readonly FeedItem[]>;
  readonly left: () => void;
}

/** One subscriber's way through the log: every item of its scope once, in order. */
export class Subscriber implements AsyncIterableIterator<FeedItem, undefined> {
  readonly #scope: FeedScope;
  readonly #source: Source;
  #backlog: FeedItem[] = [];
  #queue: FeedItem[] = [];
  /** After the last item that was given out, or passed over. */
  #position: LogPosition;
  /** Up to here the log has to be read; the queue holds what comes after. */
  #liveFrom: LogPosition;
  #ended = false;
  #arrived: (() => void) | undefined;

  constructor(scope: FeedScope, liveFrom: LogPosition, from: LogPosition | undefined, source: Source) {
    this.#scope = scope;
    this.#liveFrom = liveFrom;
    this.#position = from ?? liveFrom;
    this.#source = source;
  }

  /** Where the live stream was when this subscriber joined it. */
  get position(): LogPosition {
    return this.#position;
  }

  /** Passes over everything up to this place: a snapshot holds it. */
  skipTo(position: LogPosition): void {
    if (comparePositions(position, this.#position) > 0) this.#position = position;
  }

  /** Called by the feed with each batch; `end` is the place it reaches to. */
  offer(items: readonly FeedItem[], end: LogPosition): void {
    const wanted = items.filter(({ event }) => this.#wants(event));
    if (this.#queue.length + wanted.length > QUEUE) {
      this.#queue = [];
      this.#liveFrom = end;
    } else {
      this.#queue.push(...wanted);
    }
    this.#arrived?.();
  }

  #wants(event: FlightRecorderEvent): boolean {
    const { workspaceId, jobId } = this.#scope;
    return event.workspaceId === workspaceId && (jobId === undefined || event.jobId === jobId);
  }

  async next(): Promise<IteratorResult<FeedItem, undefined>> {
    while (!this.#ended) {
      const item = await this.#take();
      if (item === undefined) {
        await this.#arrival();
      } else if (comparePositions(item.event, this.#position) > 0) {
        this.#position = item.event;
        return { value: item, done: false };
      }
    }
    return { value: undefined, done: true };
  }

  /** Settles when there may be something; at once where it came while the log was being read. */
  async #arrival(): Promise<void> {
    const behind = comparePositions(this.#position, this.#liveFrom) < 0;
    if (this.#ended || behind || this.#queue.length > 0) return;
    await new Promise<void>((resolve) => {
      this.#arrived = resolve;
    });
    this.#arrived = undefined;
  }

  /** The next item: of the log while it is behind, then of the queue; undefined where there is none yet. */
  async #take(): Promise<FeedItem | undefined> {
    while (this.#backlog.length === 0 && comparePositions(this.#position, this.#liveFrom) < 0) {
      const upTo = this.#liveFrom;
      this.#backlog = [...(await this.#source.read(this.#position, upTo))];
      if (this.#backlog.length === 0) this.#position = upTo;
    }
    return this.#backlog.shift() ?? this.#queue.shift();
  }

  /** The client has gone: nothing of this subscriber stays behind. */
  async return(): Promise<IteratorResult<FeedItem, undefined>> {
    this.end();
    this.#source.left();
    return { value: undefined, done: true };
  }

  /** Ends the stream after what is being given out now. */
  end(): void {
    this.#ended = true;
    this.#queue = [];
    this.#backlog = [];
    this.#arrived?.();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
