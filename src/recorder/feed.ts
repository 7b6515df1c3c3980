import { CursorExpiredError, InvalidInputError } from "../errors.ts";
import { EVENT_COLUMNS, JOB_COLUMNS } from "../storage/columns.ts";
import { type AiJob, type FlightRecorderEvent, Prisma, type PrismaClient } from "../storage/generated/client/client.ts";
import { comparePositions, decodeCursor, type LogPosition } from "./cursor.ts";
import { type FeedItem, type FeedScope, Subscriber } from "./subscriber.ts";

export interface FeedOptions {
  readonly prisma: PrismaClient;
  /** Milliseconds after which the log is read though nobody woke the feed: what another server committed is seen then. */
  readonly pollMs: number;
  readonly onError: (error: unknown) => void;
}

const PAGE = 500;
/** Milliseconds to the next read while there is something going on. */
const SOONEST_MS = 5;
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
    this.#epoch ??= this.#options.prisma.eventLog.findFirstOrThrow().then(
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
    const next = { orderXid: (await this.#snapshot()).newest, jobId: ZERO_UUID, version: 0 };
    if (comparePositions(decoded.position, next) > 0) {
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
