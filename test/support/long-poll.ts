import type { TestDatabase } from "./database.ts";

/** What waiting claims cost, counted in SQL statements. */
export interface Cost {
  /** Reads that find where jobs are due, each for all waiting claims together. */
  readonly looks: number;
  /** Attempts to lock jobs for a claim. */
  readonly claims: number;
  readonly statements: number;
}

/** The statements that were sent to the database since the last call. */
export function costSince(db: Pick<TestDatabase, "statements">): Cost {
  const received = db.statements();
  const looks = received.filter((sql) => sql.includes("scheduled_due") && sql.includes("SELECT DISTINCT")).length;
  const claims = received.filter((sql) => sql.includes("SKIP LOCKED")).length;
  return { looks, claims, statements: received.length };
}

const LIMIT_MS = 10_000;

/**
 * Waits until the statements sent since the last `costSince`, added up, satisfy the condition.
 * @throws TimeoutError after 10 seconds.
 */
export async function untilCost(
  db: Pick<TestDatabase, "statements">,
  condition: (cost: Cost) => boolean,
): Promise<Cost> {
  const deadline = AbortSignal.timeout(LIMIT_MS);
  let total: Cost = { looks: 0, claims: 0, statements: 0 };
  for (;;) {
    const more = costSince(db);
    total = {
      looks: total.looks + more.looks,
      claims: total.claims + more.claims,
      statements: total.statements + more.statements,
    };
    if (condition(total)) return total;
    deadline.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * Waits until no claim waits any more: for 600 ms, more than two of the server's poll intervals, no statement is sent.
 * @throws TimeoutError after 10 seconds.
 */
export async function untilNobodyWaits(db: Pick<TestDatabase, "statements">): Promise<void> {
  const deadline = AbortSignal.timeout(LIMIT_MS);
  for (let quietMs = 0; quietMs < 600; ) {
    deadline.throwIfAborted();
    costSince(db);
    await new Promise((resolve) => setTimeout(resolve, 50));
    quietMs = costSince(db).statements > 0 ? 0 : quietMs + 50;
  }
}
