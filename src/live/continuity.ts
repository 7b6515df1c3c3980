import type { PrismaClient } from "../db/generated/client/client.ts";
import { comparePositions, LOG_START, type LogPosition } from "../log/cursor.ts";
import { type LogState, readLogState } from "../log/read.ts";
import { beginEpoch } from "./epoch.ts";

/** Why an epoch begins, as the log and /health tell it. */
const REASONS = {
  LOST:
    "the last event that this server had seen is not in the database: a standby that had not received everything was " +
    "promoted, or a backup was restored",
  EARLIER_EPOCH: "the database has an epoch again that had ended: a backup from before was restored",
  BEYOND_IDS:
    "the database has events that this PostgreSQL server's transaction ids have not reached: it was restored from another server",
};

/**
 * Watches that the log goes on where it had been (section 10). Numbers alone do not tell: a copy of the files keeps every
 * identifier of its origin, and ids that are given again make a lost end look like a continuation. So this remembers the last
 * event that it has seen, and looks whether it still stands with its hash. Where it does not, the log gets a new epoch.
 */
export class LogContinuity {
  readonly #prisma: PrismaClient;
  readonly #onNewEpoch: (state: LogState) => void;
  /** The log at the first check of its epoch; undefined before the first one of all. */
  #state: LogState | undefined;
  #isCheckSoon = false;
  /** The last event that this server has seen. */
  #last: LogPosition = LOG_START;

  /** @param onNewEpoch called when another epoch has begun, by this server or by another one; not for the first one known. */
  constructor(prisma: PrismaClient, onNewEpoch: (state: LogState) => void) {
    this.#prisma = prisma;
    this.#onNewEpoch = onNewEpoch;
  }

  /** The log's epoch, which is part of every cursor. */
  async epoch(): Promise<string> {
    if (!this.#state) await this.check();
    if (!this.#state) throw new Error("A check learns the epoch.");
    return this.#state.epoch;
  }

  /** The epoch, when it began and why; undefined before the first check. */
  get health(): Pick<LogState, "epoch" | "beganAt" | "reason"> | undefined {
    return this.#state && { epoch: this.#state.epoch, beganAt: this.#state.beganAt, reason: this.#state.reason };
  }

  /** Tells of an event that was read from the log. */
  saw(position: LogPosition): void {
    if (comparePositions(position, this.#last) > 0) this.#last = position;
  }

  /**
   * Looks whether the log goes on, and begins a new epoch where it does not, also where one that had ended is there again. May be called at any time, also while another
   * call is under way.
   * @param position a position from which a reader wants to go on.
   * @returns whether it can: its event still stands, and the epoch is the one that was known.
   * @throws Error of the database, when it cannot be read, or the epoch cannot begin; the next call tries again.
   */
  async check(position: LogPosition = this.#last): Promise<boolean> {
    this.saw(position);
    const last = this.#last;
    const known = this.#state;
    const state = await readLogState(this.#prisma, last === position ? [position] : [position, last]);
    // Another check has learnt of an epoch meanwhile: what was read, or asked about, may be of the one before.
    if (this.#state?.epoch !== known?.epoch) return known === undefined ? this.check(position) : false;
    // Epochs begin one after the other. One that began before the known one is there again only where a backup was restored.
    const isEarlier = known !== undefined && state.epoch !== known.epoch && state.beganAt < known.beganAt;
    if (!isEarlier && this.#adopt(state)) return false;
    const isKept = comparePositions(position, state.start) >= 0;
    if (!isEarlier && !state.isBeyondIds && (state.stands || !isKept)) {
      this.saw(state.end);
      return isKept;
    }
    const before = this.#state;
    const reason = state.isBeyondIds ? REASONS.BEYOND_IDS : isEarlier ? REASONS.EARLIER_EPOCH : REASONS.LOST;
    await beginEpoch(this.#prisma, state.epoch, reason, before?.beganAt);
    const begun = await readLogState(this.#prisma);
    if (this.#state?.epoch === before?.epoch) this.#adopt(begun);
    return false;
  }

  /** Checks in the next turn of the event loop, once for all calls of this one. A failure is left to the next check. */
  checkSoon(): void {
    if (this.#isCheckSoon) return;
    this.#isCheckSoon = true;
    setImmediate(() => {
      this.#isCheckSoon = false;
      this.check().catch(() => undefined);
    });
  }

  /** @returns whether the state is of an epoch that came after the known one. */
  #adopt(state: LogState): boolean {
    if (state.epoch === this.#state?.epoch) return false;
    const isFirst = !this.#state;
    this.#state = state;
    if (isFirst) return false;
    this.#last = state.end;
    this.#onNewEpoch(state);
    return true;
  }
}
