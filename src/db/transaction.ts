import { setTimeout as sleep } from "node:timers/promises";
import { TryAgainError } from "../errors.ts";
import type { Client } from "../threads/turns.ts";
import { type Availability, unavailability } from "./availability.ts";
import { Prisma, type PrismaClient } from "./generated/client/client.ts";
import type { CommitObserver } from "./observer.ts";
import { type Scope, within } from "./scope.ts";
import { sqlState } from "./sql-state.ts";

/** An open transaction. Everything that is written with it commits together, or nothing does. */
export type Transaction = Prisma.TransactionClient;

/** What every command needs: the database, and what it calls after a commit. */
export interface CommandContext {
  readonly prisma: PrismaClient;
  /**
   * Sends a notify hint after a commit: to the feed, the waiting claims and other servers. If it is lost, they find the change
   * at their next poll.
   */
  readonly notifyCommit: () => void;
  /** Wakes jobs that wait for their children (section 13). A job that is not named, or lost, is found by the sweep. */
  readonly childrenEnded?: (parentIds: readonly string[]) => void;
  /** Counts what is committed; left out where nobody counts. */
  readonly observer?: CommitObserver;
  /** Learns in which state the database was met. Left out in tests that do not look at it. */
  readonly availability?: Availability;
  /** Whom the command is for: large work waits in turn by it (`threads/turns.ts`). Left out, it is the server's own. */
  readonly client?: Client;
  /** Whether a workspace must have been made (section 11): so on a server with auth. Left out, what is stored first makes it. */
  readonly workspacesMustExist?: boolean;
}

const MAX_ATTEMPTS = 4;

/**
 * Runs `work` in one transaction: all of it commits, or nothing does. After a deadlock, a serialisation failure or a timeout
 * the transaction is rolled back and `work` runs again from the start, so it must have no effect outside `tx` (section 4).
 * @param scope the workspaces whose rows it may see and write.
 * @returns what `work` returned, after the commit.
 * @throws TryAgainError when every attempt was rolled back, or the connection broke before the COMMIT: nothing was kept.
 * @throws Error of a connection that broke during the COMMIT: it may have been kept (`isOutcomeUnknown`).
 */
export async function inTransaction<T>(
  context: CommandContext,
  scope: Scope,
  work: (tx: Transaction) => Promise<T>,
): Promise<T> {
  let callbacks: readonly AfterCommit[] = [];
  const result = await runWithRetry(context, (onBegin, onBeforeCommit) =>
    within(scope, () =>
      context.prisma.$transaction(async (tx) => {
        onBegin();
        const worked = await work(tx);
        callbacks = afterCommits.get(tx) ?? [];
        onBeforeCommit();
        return worked;
      }),
    ),
  );
  for (const callback of callbacks) callback(context);
  return result;
}

type AfterCommit = (context: CommandContext) => void;
const afterCommits = new WeakMap<Transaction, AfterCommit[]>();

/** Has something called once this transaction has committed; never where it has not. */
export function afterCommit(tx: Transaction, callback: AfterCommit): void {
  const callbacks = afterCommits.get(tx) ?? [];
  callbacks.push(callback);
  afterCommits.set(tx, callbacks);
}

/**
 * The same for `work` that writes with a single statement. The statement is a transaction by itself, which saves the round
 * trips of BEGIN and COMMIT.
 * @throws TryAgainError when every attempt was rolled back, or the statement was never sent: nothing was kept.
 * @throws Error of a connection that broke during the statement: it may have been kept (`isOutcomeUnknown`).
 */
export function inSingleStatement<T>(
  context: CommandContext,
  scope: Scope,
  work: (db: PrismaClient) => Promise<T>,
): Promise<T> {
  return runWithRetry(context, (onBegin, onBeforeCommit) => {
    onBegin();
    onBeforeCommit();
    return within(scope, () => work(context.prisma));
  });
}

/**
 * Runs a read, and repeats it after a timeout or a broken connection: a read changes nothing, so repeating it is always safe.
 * @throws TryAgainError when every attempt timed out or lost its connection.
 */
export async function readWithRetry<T>(scope: Scope, read: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await within(scope, read);
    } catch (error) {
      const unavailable = unavailability(error);
      if (unavailable !== undefined && !connectionBroke(error))
        throw new TryAgainError(`${unavailable} Send the same again later.`);
      if (!wasRolledBack(error) && !connectionBroke(error)) throw error;
      if (attempt === MAX_ATTEMPTS) throw new TryAgainError();
      await pauseAfter(attempt);
    }
  }
}

/** @param run calls `onBegin` once it has a working connection, and `onBeforeCommit` when only the COMMIT remains. */
async function runWithRetry<T>(
  context: CommandContext,
  run: (onBegin: () => void, onBeforeCommit: () => void) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    let hasBegun = false;
    let isCommitting = false;
    try {
      const result = await run(
        () => {
          hasBegun = true;
        },
        () => {
          isCommitting = true;
        },
      );
      context.notifyCommit();
      return result;
    } catch (error) {
      const unavailable = unavailability(error);
      if (unavailable !== undefined) context.availability?.met(unavailable);
      // The pool may hand out a connection that broke while it was idle. Nothing was sent yet, and the next one may work.
      if (wasRolledBack(error) || (!hasBegun && connectionBroke(error))) {
        if (attempt === MAX_ATTEMPTS)
          throw new TryAgainError(unavailable && `${unavailable} Nothing was kept; send the same again.`);
        await pauseAfter(attempt);
      } else if ((!isCommitting && connectionBroke(error)) || wasNeverSent(error)) {
        throw new TryAgainError(
          `${unavailable ?? "The database connection broke."} Nothing was kept; send the same again.`,
        );
      } else if (unavailable !== undefined && !connectionBroke(error)) {
        throw new TryAgainError(`${unavailable} Nothing was kept; send the same again later.`);
      } else {
        // If the connection broke during the COMMIT, the changes may have been kept. TRY_AGAIN would say that they were not.
        throw error;
      }
    }
  }
}

function pauseAfter(attempt: number): Promise<void> {
  return sleep(2 ** attempt * 5 * (0.5 + Math.random()));
}

/** The database refuses events, because its log needs a new epoch (section 10); a server begins one within a second. */
const NEEDS_EPOCH = "AJ009";

/** Whether the transaction was certainly rolled back: deadlock, serialisation failure, timeout, or no free connection. */
function wasRolledBack(error: unknown): boolean {
  if (hadNoConnection(error)) return true;
  const state = sqlState(error);
  if (state !== undefined) return ["40001", "40P01", "55P03", "57014", "53300", NEEDS_EPOCH].includes(state);
  return isPrismaError(error, ["P2024", "P2028", "P2034"]);
}

function connectionBroke(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return state.startsWith("08") || state.startsWith("57P") || state === "25P03";
  if (isPrismaError(error, ["P1001", "P1002", "P1008", "P1017", "P2010"])) {
    return BROKEN_CONNECTION.test(error.message) || /terminat|closed|reset|refused|timed out/i.test(error.message);
  }
  return error instanceof Error && BROKEN_CONNECTION.test(error.message);
}

/** How Node and `pg` report a connection that closed before or while it was used. */
const BROKEN_CONNECTION = /Connection terminated|ECONN(?:RESET|REFUSED|ABORTED)|EPIPE|ETIMEDOUT|not queryable/i;

/** Whether a command that failed with this error may have been kept: its connection broke during the COMMIT. */
export function isOutcomeUnknown(error: unknown): boolean {
  return connectionBroke(error);
}

/** Whether no connection was available in time, neither a free one of the pool nor a new one. */
function hadNoConnection(error: unknown): boolean {
  return error instanceof Error && /timeout exceeded when trying to connect|connection timeout/i.test(error.message);
}

/** Whether the driver already knew that the connection was broken and did not send the statement, even if it was a COMMIT. */
function wasNeverSent(error: unknown): boolean {
  return error instanceof Error && /not queryable/i.test(error.message);
}

function isPrismaError(error: unknown, codes: readonly string[]): error is Prisma.PrismaClientKnownRequestError {
  return error instanceof Prisma.PrismaClientKnownRequestError && codes.includes(error.code);
}
