import { setTimeout as sleep } from "node:timers/promises";
import type { ReadRows } from "../db/database.ts";
import type { LogPosition } from "../log/cursor.ts";
import { type EventRow, type NewEvents, selectNewEvents, toNewEvents } from "../log/read.ts";

/**
 * The feed's read that goes right behind a COMMIT of this process, on its connection and before its answer (pipelining): so
 * it takes no round trip of its own, and needs no process of PostgreSQL that has to be woken up first. At most one is under
 * way.
 */
export class ReadBehindCommit {
  readonly #timeoutMs: number;
  readonly #onAnswer: () => void;
  /** The position after which it reads, and what it found; undefined where it failed. */
  #read: { readonly from: LogPosition; readonly page: Promise<NewEvents | undefined> } | undefined;

  /**
   * @param timeoutMs milliseconds that `take` waits for the answer.
   * @param onAnswer called with each answer. A commit without events of its own sends no hint (an aggregation, a claim that
   *   changed nothing), but it can raise the watermark, so that this read finds events of others. Without a wake-up they
   *   would wait until the next poll.
   */
  constructor(timeoutMs: number, onAnswer: () => void) {
    this.#timeoutMs = timeoutMs;
    this.#onAnswer = onAnswer;
  }

  /** Sends the read, unless one is under way. */
  send(read: ReadRows, from: LogPosition): void {
    if (this.#read) return;
    const page = read<EventRow>(selectNewEvents(from)).then(
      (rows) => toNewEvents(from, rows),
      () => undefined,
    );
    this.#read = { from, page };
    void page.then(this.#onAnswer);
  }

  /**
   * Takes the result, so that the next COMMIT can send another read.
   * @returns undefined if there was no such read after this position, if it failed, or if it got no answer in time. The feed
   *   then reads by itself.
   */
  async take(from: LogPosition): Promise<NewEvents | undefined> {
    const read = this.#read;
    this.#read = undefined;
    // The feed may have stopped since the read was sent, and started again at another position.
    if (read?.from !== from) return undefined;
    const cancelTimeout = new AbortController();
    const timeout = sleep(this.#timeoutMs, undefined, { signal: cancelTimeout.signal }).catch(() => undefined);
    const page = await Promise.race([read.page, timeout]);
    cancelTimeout.abort();
    return page;
  }
}
