import { RateLimiterMemory } from "rate-limiter-flexible";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Allowance } from "../../src/rates/allowance.ts";

/** Points of a window, of which a server takes a part at a time from the store that it may share. */

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance", "Date", "setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A store that counts how often it is asked. */
function storeOf(points: number, duration = 60) {
  const memory = new RateLimiterMemory({ points, duration });
  let asked = 0;
  const store = {
    consume: (key: string | number, taken?: number) => {
      asked += 1;
      return memory.consume(key, taken);
    },
  };
  return { store, asked: () => asked };
}

test("a principal spends its points and no more, until the window ends", async () => {
  const allowance = new Allowance(storeOf(10).store, 10);
  for (let spent = 0; spent < 10; spent += 1) expect(await allowance.spend("key:1", 1)).toBe(0);
  vi.advanceTimersByTime(20_000);
  expect(await allowance.spend("key:1", 1)).toBe(40_000);
  expect(await allowance.spend("key:2", 1)).toBe(0);
  vi.advanceTimersByTime(40_001);
  expect(await allowance.spend("key:1", 1)).toBe(0);
});

test("the store is asked for a fiftieth at a time, and not at all while there are points or there are none", async () => {
  const { store, asked } = storeOf(1_000);
  const allowance = new Allowance(store, 1_000);
  for (let spent = 0; spent < 1_000; spent += 1) expect(await allowance.spend("key:1", 1)).toBe(0);
  expect(asked()).toBe(50);
  for (let more = 0; more < 10; more += 1) expect(await allowance.spend("key:1", 1)).toBeGreaterThan(0);
  expect(asked()).toBe(51);
});

test("what is spent of points that are here is known at once", async () => {
  const allowance = new Allowance(storeOf(1_000).store, 1_000);
  expect(allowance.spend("key:1", 1)).toBeInstanceOf(Promise);
  await vi.advanceTimersByTimeAsync(0);
  expect(allowance.spend("key:1", 1)).toBe(0);
});

test("many at once together take no more than what they spend, and a part", async () => {
  const { store, asked } = storeOf(1_000);
  const allowance = new Allowance(store, 1_000);
  const answers = await Promise.all(Array.from({ length: 900 }, async () => allowance.spend("key:1", 1)));
  expect(answers.filter((ms) => ms === 0)).toHaveLength(900);
  expect(asked()).toBe(45);
});

test("two servers with one store spend the points together", async () => {
  const { store } = storeOf(100);
  const servers = [new Allowance(store, 100), new Allowance(store, 100)];
  let spent = 0;
  for (let time = 0; time < 100; time += 1)
    for (const server of servers) if ((await server.spend("key:1", 1)) === 0) spent += 1;
  expect(spent).toBe(100);
});

test("a price beyond all points takes all of them, and is refused where some are spent", async () => {
  const allowance = new Allowance(storeOf(10).store, 10);
  expect(await allowance.spend("key:1", 500)).toBe(0);
  expect(await allowance.spend("key:1", 1)).toBeGreaterThan(0);
  expect(await allowance.spend("key:2", 1)).toBe(0);
  expect(await allowance.spend("key:2", 500)).toBeGreaterThan(0);
});

test("points that were not spent end with their window", async () => {
  const { store } = storeOf(100, 1);
  const allowance = new Allowance(store, 100);
  expect(await allowance.spend("key:1", 1)).toBe(0);
  vi.advanceTimersByTime(1_001);
  let spent = 0;
  while ((await allowance.spend("key:1", 1)) === 0) spent += 1;
  expect(spent).toBe(100);
});

test("an error of the store is one of the request, and the next one asks again", async () => {
  let isBroken = true;
  const { store } = storeOf(10);
  const consume = async (key: string | number, taken?: number) => {
    if (isBroken) throw new Error("broken");
    return store.consume(key, taken);
  };
  const allowance = new Allowance({ consume }, 10);
  await expect(allowance.spend("key:1", 1)).rejects.toThrow("broken");
  isBroken = false;
  expect(await allowance.spend("key:1", 1)).toBe(0);
});
