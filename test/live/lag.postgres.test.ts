import { randomUUID } from "node:crypto";
import type pg from "pg";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type Lag, readLag, watchLag } from "../../src/live/lag.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";
import { connectTo } from "../support/interrupt.ts";
import { insertJob } from "../support/plain-sql.ts";

/** What holds the feed back is seen, and what this server does itself ends. */

let db: TestDatabase;
let other: pg.Client;
beforeAll(async () => {
  db = await openTestDatabase();
  other = await connectTo(db.url);
});
afterAll(async () => {
  await other.end();
  await db.close();
});

test("a transaction that stays open, and the events that wait for it, are seen until it ends", async () => {
  const { prisma } = db;
  await other.query("BEGIN; SELECT pg_current_xact_id()");
  // Nothing waits for it yet: it began before, and it is its age that grows.
  expect((await readLag(prisma)).behindMs).toBe(0);
  await submitted(engineOn(db));
  await vi.waitUntil(async () => (await readLag(prisma)).behindMs >= 100, { timeout: 20_000 });
  expect((await readLag(prisma)).oldestTransactionMs).toBeGreaterThanOrEqual(100);
  await vi.waitFor(
    async () =>
      expect((await readLag(prisma)).heldBackBy).toMatch(/^process \d+ \(.+\) of database \w+, open for \d+ ms$/),
    { timeout: 20_000, interval: 100 },
  );
  await other.query("COMMIT");
  await vi.waitUntil(async () => (await readLag(prisma)).behindMs === 0, { timeout: 20_000 });
});

test("a lag of more than a month is told as any other", async () => {
  const { prisma } = db;
  await other.query("BEGIN; SELECT pg_current_xact_id()");
  const old = { job: { created_at: "now() - interval '40 days'" } };
  await prisma.$transaction((tx) => insertJob(tx, randomUUID(), old));
  expect((await readLag(prisma)).behindMs).toBeGreaterThan(39 * 86_400_000);
  await other.query("COMMIT");
  await vi.waitUntil(async () => (await readLag(prisma)).behindMs === 0, { timeout: 20_000 });
});

test("a lag beyond the bound is told once, and once when it is over", async () => {
  const told: { isLate: boolean; lag: Lag }[] = [];
  const look = watchLag(db.prisma, 100, (isLate, lag) => told.push({ isLate, lag }));
  await look();
  await other.query("BEGIN; SELECT pg_current_xact_id()");
  await submitted(engineOn(db));
  const lookUntil = (count: number) =>
    vi.waitUntil(
      async () => {
        await look();
        return told.length >= count;
      },
      { timeout: 20_000 },
    );
  await lookUntil(1);
  await look();
  await look();
  await other.query("COMMIT");
  await lookUntil(2);
  await look();
  expect(told).toMatchObject([
    { isLate: true, lag: { behindMs: expect.any(Number), oldestTransactionMs: expect.any(Number) } },
    { isLate: false, lag: { behindMs: expect.any(Number), oldestTransactionMs: expect.any(Number), heldBackBy: null } },
  ]);
  expect(told[0]?.lag.behindMs).toBeGreaterThan(100);
});

test("a connection of this server holds nothing back for longer than its timeouts, whatever becomes of its process", async () => {
  const [settings] = await db.prisma.$queryRaw<object[]>`
    SELECT current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('statement_timeout') AS statement,
      current_setting('lock_timeout') AS lock`;
  expect(settings).toEqual({ idle: "15s", statement: "15s", lock: "8s" });
});
