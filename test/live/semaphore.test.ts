import { expect, test } from "vitest";
import { Semaphore } from "../../src/live/semaphore.ts";

test("so many pass at once and no more, the others in the order in which they came, whoever fails", async () => {
  const gate = new Semaphore(2);
  const began: number[] = [];
  let inside = 0;
  let max = 0;
  const passed = Array.from({ length: 10 }, (_, number) =>
    gate.run(async () => {
      began.push(number);
      inside += 1;
      max = Math.max(max, inside);
      await new Promise((resolve) => setTimeout(resolve, 1));
      inside -= 1;
      if (number % 3 === 0) throw new Error("It failed.");
      return number;
    }),
  );
  const results = await Promise.allSettled(passed);
  expect(max).toBe(2);
  expect(began).toEqual(Array.from({ length: 10 }, (_, number) => number));
  expect(results.map(({ status }) => status === "fulfilled")).toEqual(began.map((number) => number % 3 !== 0));
  expect(await gate.run(async () => "free again")).toBe("free again");
});
