import { setTimeout as sleep } from "node:timers/promises";
import { TryAgainError } from "../errors.ts";
import { Prisma, type PrismaClient } from "./generated/client/client.ts";

/** An open transaction: what is written with it commits together, or not at all. */
export type Transaction = Prisma.TransactionClient;

/** What every command needs: the database, and somebody to tell after a commit that there is something to read. */
export interface CommandContext {
  readonly prisma: PrismaClient;
  /** A hint for the feed; lost, it delays the feed by its poll interval. */
  readonly notifyCommit: () => void;
}

const MAX_ATTEMPTS = 4;

/**
 * Runs `work` in one transaction: all of it commits, or nothing. `work` may run again, from the start, when the
 * database chose this transaction to give way; so it must have no effect outside `tx`.
 * @throws TryAgainError when it gave way too often, or the connection broke before the commit. Nothing was kept then.
 */
export function inTransaction<T>(context: CommandContext, work: (tx: Transaction) => Promise<T>): Promise<T> {
  return runWithRetry(context, (onBegin, onCommit) =>
    context.prisma.$transaction(async (tx) => {
      onBegin();
      const result = await work(tx);
      onCommit();
      return result;
    }),
  );
}

/**
 * The same for `work` that writes with one statement only: that is a transaction by itself, without the round trips of
 * BEGIN and COMMIT.
 */
export function inSingleStatement<T>(context: CommandContext, work: (db: PrismaClient) => Promise<T>): Promise<T> {
  return runWithRetry(context, (onBegin, onCommit) => {
    onBegin();
    onCommit();
    return work(context.prisma);
  });
}

/**
 * Reads what a command needs before its transaction. It changes nothing, so however it failed it may be repeated.
 * @throws TryAgainError when the database gave way, or the connection broke, too often.
 */
export async function readWithRetry<T>(read: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await read();
    } catch (error) {
      if (!wasRolledBack(error) && !connectionBroke(error)) throw error;
      if (attempt === MAX_ATTEMPTS) throw new TryAgainError();
      await pauseAfter(attempt);
    }
  }
}

/** @param run calls `begins` when it has a connection that works, `commits` when all that is left to do is the commit. */
async function runWithRetry<T>(
  context: CommandContext,
  run: (onBegin: () => void, commits: () => void) => Promise<T>,
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
      // The pool hands out a connection once more that broke while nobody used it: the next one may be sound.
      if (wasRolledBack(error) || (!hasBegun && connectionBroke(error))) {
        if (attempt === MAX_ATTEMPTS) throw new TryAgainError();
        await pauseAfter(attempt);
      } else if ((!isCommitting && connectionBroke(error)) || wasNeverSent(error)) {
        throw new TryAgainError("The database connection broke. Nothing was kept; send the same again.");
      } else {
        // A connection that broke while the commit was under way leaves open whether it was kept: that is no TRY_AGAIN.
        throw error;
      }
    }
  }
}

function pauseAfter(attempt: number): Promise<void> {
  return sleep(2 ** attempt * 5 * (0.5 + Math.random()));
}

/** Deadlock, serialisation failure, lock and statement timeouts, no connection or no time left: rolled back for sure. */
function wasRolledBack(error: unknown): boolean {
  if (hadNoConnection(error)) return true;
  const state = sqlState(error);
  if (state !== undefined) return ["40001", "40P01", "55P03", "57014", "53300"].includes(state);
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

/** As Node and `pg` say it of a socket, which another one may have closed before or while it is written to, or read. */
const BROKEN_CONNECTION = /Connection terminated|ECONN(?:RESET|REFUSED|ABORTED)|EPIPE|ETIMEDOUT|not queryable/i;

/** Whether a failed command may yet have been kept: its connection broke while the commit was under way. */
export function isOutcomeUnknown(error: unknown): boolean {
  return connectionBroke(error);
}

/** Neither of those in the pool nor a new one, in time. */
function hadNoConnection(error: unknown): boolean {
  return error instanceof Error && /timeout exceeded when trying to connect|connection timeout/i.test(error.message);
}

/** The driver knew that the connection was broken, and kept the statement to itself: a COMMIT, too. */
function wasNeverSent(error: unknown): boolean {
  return error instanceof Error && /not queryable/i.test(error.message);
}

function isPrismaError(error: unknown, codes: readonly string[]): error is Prisma.PrismaClientKnownRequestError {
  return error instanceof Prisma.PrismaClientKnownRequestError && codes.includes(error.code);
}

/** PostgreSQL's own code for an error, where Prisma passes it on. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  // The embedded database's COMMIT raises its own error, with nothing of Prisma around it.
  if (error.name === "error" && "severity" in error && "code" in error && typeof error.code === "string") {
    return error.code;
  }
  const inner = "meta" in error && isRecord(error.meta) ? error.meta.driverAdapterError : error;
  const cause = isRecord(inner) ? inner.cause : undefined;
  const code = isRecord(cause) ? cause.originalCode : undefined;
  return typeof code === "string" ? code : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
