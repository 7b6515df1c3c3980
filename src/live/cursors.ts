import { setTimeout as sleep } from "node:timers/promises";
import { batchEqualReads } from "../db/batched-read.ts";
import type { PrismaClient } from "../db/generated/client/client.ts";
import { CursorExpiredError, InvalidInputError } from "../errors.ts";
import { comparePositions, decodeCursor, encodeCursor, type LogPosition } from "../log/cursor.ts";
import { type LogState, readLogState } from "../log/read.ts";

/** Reads of the watermark until one that is too low for a cursor is believed, and the milliseconds between two. */
const MAX_WATERMARK_READS = 8;
const WATERMARK_READ_INTERVAL_MS = 5;

/** The cursors that clients go on from: where the log is now, and what a cursor of a client means (section 10). */
export class LogCursors {
  readonly #prisma: PrismaClient;
  /** One statement for all lists of an operation that ask. */
  readonly #readCurrent: (query: null) => Promise<string>;

  constructor(prisma: PrismaClient) {
    this.#prisma = prisma;
    this.#readCurrent = batchEqualReads<null, string>(async () => {
      const { epoch, watermark } = await readLogState(prisma);
      return encodeCursor(epoch, watermark);
    });
  }

  /** @returns the cursor of the current watermark: a subscription from it misses nothing. */
  current(): Promise<string> {
    return this.#readCurrent(null);
  }

  /**
   * Turns a client's cursor into the position at which its subscription goes on.
   * @param jobId the job that the subscription follows; left out for a subscription to many jobs.
   * @throws InvalidInputError if the cursor is malformed.
   * @throws CursorExpiredError if it belongs to another log or epoch, if its event or one of its snapshots' events is not
   *   there any more, or if events after it are no longer kept.
   */
  async resolve(cursor: string, jobId?: string): Promise<LogPosition> {
    const decoded = decodeCursor(cursor);
    if (!decoded) throw new InvalidInputError(["after"], "This is not a cursor. Pass one from a payload, unchanged.");
    const { position, snapshotPositions = [] } = decoded;
    const { epoch, start, watermark, stands } = await this.#readStateFor(position, snapshotPositions, jobId);
    const isKept = comparePositions(position, start) >= 0;
    const isOfEvent = position.hash !== "";
    // A position before the first event is known by its number alone, and there is none beyond the log's last one.
    const isThere = isOfEvent ? stands : comparePositions(position, watermark) <= 0;
    if (decoded.epoch !== epoch || !isKept || !isThere) throw new CursorExpiredError();
    // A query, unlike the feed, also returns events above the watermark. Transactions that are still open may yet add
    // events before such a position, and going on after it would skip them; so the subscription starts at the
    // watermark. For the job's own events the position is safe: they commit in the order of their versions.
    return position.jobId === jobId || comparePositions(position, watermark) <= 0 ? position : watermark;
  }

  /**
   * Reads the state of the log for somebody who goes on from a position. The watermark may be lower for a moment than it was
   * when an event was delivered (section 4): a few reads later it is not, and nobody gets an event twice.
   */
  async #readStateFor(
    position: LogPosition,
    snapshotPositions: readonly LogPosition[],
    jobId: string | undefined,
  ): Promise<LogState> {
    for (let read = 1; ; read++) {
      const state = await readLogState(this.#prisma, [position, ...snapshotPositions]);
      const isBelowWatermark = comparePositions(position, state.watermark) <= 0;
      if (isBelowWatermark || !state.stands || position.jobId === jobId || read === MAX_WATERMARK_READS) return state;
      await sleep(WATERMARK_READ_INTERVAL_MS);
    }
  }
}
