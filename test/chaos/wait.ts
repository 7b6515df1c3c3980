import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";

/** How long to wait for anything, in milliseconds. */
export const LIMIT_MS = 120_000;

/** The number of rows that a query selects. */
export async function count(admin: pg.Client, query: string): Promise<number> {
  const { rows } = await admin.query<{ count: number }>(`SELECT count(*)::int FROM (${query}) AS selected`);
  return rows[0]?.count ?? 0;
}

/** Polls until the condition holds, or until `limitMs` has passed. */
export async function until(condition: () => Promise<boolean>, limitMs = LIMIT_MS): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await condition()) && performance.now() < deadline) await sleep(100);
}
