import { CursorExpiredError, InvalidInputError } from "../errors.ts";
import { EVENT_COLUMNS, JOB_COLUMNS } from "../storage/columns.ts";
import { type AiJob, type FlightRecorderEvent, Prisma, type PrismaClient } from "../storage/generated/client/client.ts";
import { comparePositions, decodeCursor, type LogPosition } from "./cursor.ts";

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

export interface FeedOptions {
  readonly prisma: PrismaClient;
  /** Milliseconds after which the log is read though nobody woke the feed: what another server committed is seen then. */
  readonly pollMs: number;
  readonly onError: (error: unknown) => void;
}

const PAGE = 500;
/** Milliseconds to the next read while there is something going on. */
const SOONEST_MS = 5;
/** Events that wait for one subscriber in memory; beyond them it reads the log itself, from where it stands. */
const QUEUE = 1000;
const ZERO_UUID = "00000000-0000-0000-0000-000000000000";

/**
 * Follows the event log in its own order and fans it out in memory: one read per batch of events, whatever the number
 * of subscribers. It reads only below the oldest open transaction, so an event that commits late is never skipped
 * (section 4). While nobody subscribes it reads nothing.
 */
export class Feed {
  readonly #options: FeedOptions;
  readonly #subscribers = new Set<Subscriber>();
  #position: LogPosition | undefined;
  #epoch: Promise<string> | undefined;
  #reading: Promise<void> | undefined;
  #closed = false;
  #hint: (() => void) | undefined;
  #hinted = false;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** There may be something to read. */
  wake(): void {
    this.#hinted = true;
    this.#hint?.();
  }

  /** Which log this is; it stands in every cursor. */
  epoch(): Promise<string> {
    this.#epoch ??= this.#options.prisma.eventLog.findFirstOrThrow().then(({ epoch }) => epoch);
    return this.#epoch;
  }

  /** The place below which every event has committed, and after which a subscription misses nothing. */
  async horizon(): Promise<LogPosition> {
    return { orderXid: (await this.#snapshot()).oldest, jobId: ZERO_UUID, version: 0 };
  }

  /**
   * The place that a client's cursor names.
   * @throws InvalidInputError for one that is malformed or ahead of the log, CursorExpiredError for another log's.
   */
  async locate(cursor: string): Promise<LogPosition> {
    const decoded = decodeCursor(cursor);
    if (!decoded) throw new InvalidInputError(["after"], "This is no cursor: pass one from a payload, unchanged.");
    if (decoded.epoch !== (await this.epoch())) throw new CursorExpiredError();
    if (decoded.position.orderXid > (await this.#snapshot()).newest) {
      throw new InvalidInputError(["after"], "This cursor is ahead of the log.");
    }
    return decoded.position;
  }

  /**
   * Joins the live stream. What the subscriber gets begins after `from`, or with what comes next where that is left
   * out; it may be set until the first item is asked for.
   */
  async subscribe(scope: FeedScope, from?: LogPosition): Promise<Subscriber> {
    const position = this.#position ?? (await this.horizon());
    this.#position ??= position;
    const subscriber = new Subscriber(scope, this.#position, from, {
      read: (after, upTo) => this.#readScope(scope, after, upTo),
      left: () => this.#subscribers.delete(subscriber),
    });
    this.#subscribers.add(subscriber);
    this.#reading ??= this.#follow();
    if (this.#closed) subscriber.end();
    return subscriber;
  }

  /** Ends every subscription and the reading. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const subscriber of this.#subscribers) subscriber.end();
    this.wake();
    await this.#reading;
  }

  async #follow(): Promise<void> {
    let wait = 0;
    while (!this.#closed && this.#subscribers.size > 0) {
      const hinted = this.#hinted;
      this.#hinted = false;
      const found = await this.#readBatch();
      // Woken and nothing there: a transaction that is still open holds the feed back. Look again soon, then less often.
      if (found === PAGE) wait = 0;
      else if (found > 0 || hinted) wait = SOONEST_MS;
      else wait = Math.min(Math.max(wait, SOONEST_MS) * 2, this.#options.pollMs);
      if (wait > 0) await this.#sleep(wait);
    }
    this.#reading = undefined;
    this.#position = undefined;
  }

  async #readBatch(): Promise<number> {
    try {
      const after = this.#position ?? (await this.horizon());
      const items = await this.#read(
        after,
        Prisma.sql`order_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint`,
      );
      const last = items.at(-1);
      if (!last) return 0;
      this.#position = last.event;
      for (const subscriber of this.#subscribers) subscriber.offer(items, last.event);
      return items.length;
    } catch (error) {
      // The database is away: nothing is lost, the next read goes on from the same place.
      this.#options.onError(error);
      return 0;
    }
  }

  #readScope(scope: FeedScope, after: LogPosition, upTo: LogPosition): Promise<readonly FeedItem[]> {
    const { orderXid, jobId, version } = upTo;
    const bound = Prisma.sql`(order_xid, job_id, version) <= (${orderXid}, ${jobId}::uuid, ${version})`;
    const job = scope.jobId === undefined ? Prisma.empty : Prisma.sql`AND job_id = ${scope.jobId}::uuid`;
    return this.#read(after, Prisma.sql`${bound} AND workspace_id = ${scope.workspaceId}::uuid ${job}`);
  }

  async #read(after: LogPosition, condition: Prisma.Sql): Promise<readonly FeedItem[]> {
    const { prisma } = this.#options;
    const events = await prisma.$queryRaw<FlightRecorderEvent[]>`
      SELECT ${EVENT_COLUMNS} FROM flight_recorder_events
      WHERE (order_xid, job_id, version) > (${after.orderXid}, ${after.jobId}::uuid, ${after.version}) AND ${condition}
      ORDER BY order_xid, job_id, version LIMIT ${PAGE}`;
    if (events.length === 0) return [];
    const ids = [...new Set(events.map(({ jobId }) => jobId))];
    const jobs = await prisma.$queryRaw<AiJob[]>`
      SELECT ${JOB_COLUMNS} FROM ai_jobs WHERE job_id = ANY(${ids}::uuid[])`;
    const byId = new Map(jobs.map((job) => [job.jobId, job]));
    return events.flatMap((event) => {
      const job = byId.get(event.jobId);
      return job ? [{ event, job }] : [];
    });
  }

  async #snapshot(): Promise<{ readonly oldest: bigint; readonly newest: bigint }> {
    const [row] = await this.#options.prisma.$queryRaw<{ oldest: bigint; newest: bigint }[]>`
      SELECT pg_snapshot_xmin(s)::text::bigint AS oldest, pg_snapshot_xmax(s)::text::bigint AS newest
      FROM pg_current_snapshot() AS s`;
    if (!row) throw new Error("SELECT of a snapshot answers one row.");
    return row;
  }

  async #sleep(milliseconds: number): Promise<void> {
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
        await new Promise<void>((resolve) => {
          this.#arrived = resolve;
        });
        this.#arrived = undefined;
      } else if (comparePositions(item.event, this.#position) > 0) {
        this.#position = item.event;
        return { value: item, done: false };
      }
    }
    return { value: undefined, done: true };
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
