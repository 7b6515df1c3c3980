import type { TestDatabase } from "./database.ts";

/** What those who wait for work cost, as the database hears it. */
export interface Cost {
  /** Reads of where something is due, for everybody who waits. */
  readonly looks: number;
  /** Attempts of one of them to take something. */
  readonly claims: number;
  readonly statements: number;
}

/** What was sent to the database since this was asked before. */
export function costSince(db: Pick<TestDatabase, "statements">): Cost {
  const received = db.statements();
  const looks = received.filter((sql) => sql.includes("delay_over") && sql.includes("SELECT DISTINCT")).length;
  const claims = received.filter((sql) => sql.includes("SKIP LOCKED")).length;
  return { looks, claims, statements: received.length };
}

const LIMIT_MS = 10_000;

/** Waits until what was sent to the database, all together, satisfies the condition. */
export async function untilCost(
  db: Pick<TestDatabase, "statements">,
  condition: (cost: Cost) => boolean,
): Promise<Cost> {
  const deadline = AbortSignal.timeout(LIMIT_MS);
  let all: Cost = { looks: 0, claims: 0, statements: 0 };
  for (;;) {
    const more = costSince(db);
    all = {
      looks: all.looks + more.looks,
      claims: all.claims + more.claims,
      statements: all.statements + more.statements,
    };
    if (condition(all)) return all;
    deadline.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Waits until nobody waits any more: the server looks for nobody for more than two of its rounds. */
export async function untilNobodyWaits(db: Pick<TestDatabase, "statements">): Promise<void> {
  const deadline = AbortSignal.timeout(LIMIT_MS);
  for (let quietMs = 0; quietMs < 600; ) {
    deadline.throwIfAborted();
    costSince(db);
    await new Promise((resolve) => setTimeout(resolve, 50));
    quietMs = costSince(db).statements > 0 ? 0 : quietMs + 50;
  }
}
