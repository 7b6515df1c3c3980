import { expect, test } from "vitest";
import { money, moneyDecimals, sum, tick, whole } from "../../console/src/ui/numbers.ts";

/** Numbers beyond 2^53, which JavaScript's own would round. */

test("a sum is exact beyond 2^53", () => {
  const most = Number.MAX_SAFE_INTEGER;
  expect(sum([most, most, 1])).toBe(18_014_398_509_481_983n);
  expect(sum([])).toBe(0n);
});

test.each([
  [0, "0.00 USD"],
  [1, "0.000001 USD"],
  [1_500_000, "1.50 USD"],
  [12_345_678, "12.345678 USD"],
  [18_014_398_509_481_983n, "18,014,398,509.481983 USD"],
])("%s millionths are %s", (micros, text) => {
  expect(money(micros, "USD")).toBe(text);
});

test.each([
  [0.0001, 0.00005, "0.00010"],
  [0.00025, 0.00025, "0.00025"],
  [0.2, 0.1, "0.2"],
  [0, 0.00001, "0.00000"],
  [2000, 500, "2,000"],
  [5e-7, 1e-7, "0.0000005"],
])("%s on an axis of steps of %s is told from its neighbours", (value, step, text) => {
  expect(tick(value, step)).toBe(text);
});

test("amounts of a column have as many decimals as one of them needs", () => {
  const decimals = moneyDecimals([0, 268, 1_500_000]);
  expect([0, 268, 1_500_000].map((micros) => money(micros, "USD", decimals))).toEqual([
    "0.000000 USD",
    "0.000268 USD",
    "1.500000 USD",
  ]);
  expect(moneyDecimals([])).toBe(2);
});

test("a whole number is written as the person's language does", () => {
  expect(whole(9_007_199_254_740_993n)).toBe("9,007,199,254,740,993");
});
