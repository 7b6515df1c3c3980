import { expect, test } from "vitest";
import { untilEnded } from "../../src/http/until-ended.ts";

/** When a stream of results is over: otherwise what it holds would be held for ever. */

async function* numbers(count: number) {
  for (let number = 1; number <= count; number += 1) yield number;
  if (count === 0) throw new Error("broken");
}

function watched(results: AsyncIterator<number>) {
  let hasEnded = false;
  const iterator = untilEnded(results, () => {
    hasEnded = true;
  });
  return { iterator, hasEnded: () => hasEnded };
}

test("with its last result", async () => {
  const { iterator, hasEnded } = watched(numbers(2));
  expect([await iterator.next(), await iterator.next()]).toEqual([
    { done: false, value: 1 },
    { done: false, value: 2 },
  ]);
  expect(hasEnded()).toBe(false);
  expect(await iterator.next()).toEqual({ done: true, value: undefined });
  expect(hasEnded()).toBe(true);
});

test("with one that fails", async () => {
  const { iterator, hasEnded } = watched(numbers(0));
  await expect(iterator.next()).rejects.toThrow("broken");
  expect(hasEnded()).toBe(true);
});

test("when nobody wants more, also while none is awaited", async () => {
  const { iterator, hasEnded } = watched(numbers(5));
  await iterator.next();
  expect(await iterator.return?.()).toMatchObject({ done: true });
  expect(hasEnded()).toBe(true);
  expect(await iterator.next()).toMatchObject({ done: true });
});

test("of one that cannot be told, too", async () => {
  const { iterator, hasEnded } = watched({ next: () => new Promise(() => undefined) });
  expect(await iterator.return?.()).toEqual({ done: true, value: undefined });
  expect(hasEnded()).toBe(true);
});
