import { expect, vi } from "vitest";
import { comparePositions, decodeCursor } from "../../../src/log/cursor.ts";
import type { LogState } from "../../../src/log/read.ts";
import type { Client } from "./client.ts";
import { eventsFor, isBeginningOf, type Log, losesEvents, type Moved } from "./log.ts";
import { MAX_JOBS } from "./recount.ts";
import type { Subscription } from "./server.ts";
import { FAR_BEHIND } from "./step.ts";

/** What must hold while a database is moved back (section 10). */

/** Clients of a test's PostgreSQL server wait until the transactions of other tests have ended. */
const PATIENCE = { timeout: 20_000, interval: 3 };
/** Why an epoch begins in a sequence. Any other reason is of one that had begun before. */
const REASON = /^the last event that this server had seen|^the database has (events that|an epoch again)|^by hand$/;

/** Expects that what a command wrote lies above all that was stored. */
export function expectAppended({ events: before }: Log, { events }: Log): void {
  const end = before.at(-1)?.orderXid ?? 0n;
  expect(events.slice(0, before.length)).toEqual(before);
  for (const { orderXid } of events.slice(before.length)) expect(orderXid).toBeGreaterThan(end);
}

/** Expects that a submit was refused exactly where the jobs that there are use the quota up. */
export function expectAdmission(isRefused: boolean, jobs: number): void {
  expect(isRefused).toBe(jobs >= MAX_JOBS);
}

/** Expects that a client could go on exactly where its cursor is of this epoch and its event stands; and that it skips nothing. */
export function expectResumed({ isExpired, start }: Client, cursor: string, stood: readonly boolean[]): void {
  // Where another server has begun an epoch meanwhile, both answers are right.
  expect(stood).toContain(!isExpired);
  const position = decodeCursor(cursor)?.position;
  if (!isExpired && position) expect(comparePositions(start, position)).toBeLessThanOrEqual(0);
}

/**
 * Expects that a client got exactly the log from where it began; or that it was told CURSOR_EXPIRED, because an epoch began.
 * @param told the epochs of which its server has told.
 * @param before the log before the last move.
 * @param log the log now.
 */
export async function expectDelivered(
  { client, toldBefore, toldSince }: Subscription,
  told: readonly LogState[],
  before: Log,
  log: Log,
): Promise<void> {
  const isUpToDate = () => told.length === toldSince && client.got.length >= eventsFor(client, log).length;
  const isOver = () => client.isExpired || client.failure !== undefined || isUpToDate();
  // What is missing then is what fails below.
  await vi.waitUntil(isOver, PATIENCE).catch(() => undefined);
  if (client.failure !== undefined) throw new Error("A subscription failed.", { cause: client.failure });
  if (client.isExpired) {
    expect(told.length, "it was not told without reason").toBeGreaterThan(toldBefore);
    const isWhole = [before, log].some((each) => isBeginningOf(client.got, eventsFor(client, each)));
    expect(isWhole, "what it got until then was without a gap").toBe(true);
  } else {
    expect(client.got).toEqual(eventsFor(client, log));
    expect(told, "no epoch began of which it was not told").toHaveLength(toldSince);
  }
}

/**
 * Expects that an epoch began where it had to, once for all servers, and nowhere else; and that all tell of the stored one.
 * @param known every epoch that there has been, in the order in which they began.
 * @param told what the servers have told of since.
 * @param stored the epoch that the database has now.
 */
export function expectEpochs(known: readonly string[], moved: Moved, told: readonly LogState[], stored: string): void {
  const { from, to, ids, isUnseen, isWatched } = moved;
  // A backup of a later epoch brings one that is new to the servers; another one may have to begin in it.
  const isOfLater = known.indexOf(to.epoch) > known.indexOf(from.epoch);
  const isLost = losesEvents(moved);
  const must = ids === FAR_BEHIND || (isWatched && (to.epoch !== from.epoch || (isLost && !isUnseen)));
  const may = must || typeof ids === "number" || (isWatched && isLost);
  const epochs = [...new Set(told.map(({ epoch }) => epoch))];
  expect(epochs.length).toBeGreaterThanOrEqual(must ? 1 : 0);
  expect(epochs.length).toBeLessThanOrEqual(may ? (isOfLater ? 2 : 1) : 0);
  if (epochs.length > 0) expect(epochs).toContain(stored);
  else expect(stored).toBe(to.epoch);
  for (const { epoch, reason } of told) {
    expect(reason).toMatch(REASON);
    if (!isOfLater || epoch !== to.epoch) expect(known).not.toContain(epoch);
  }
}
