import { expect, test } from "vitest";
import { Gate } from "../../src/recorder/gate.ts";

test("so many pass at once and no more, the others in the order in which they came, whoever fails", async () => {
  const gate = new Gate(2);
  const began: number[] = [];
  let inside = 0;
  let most = 0;
  const passed = Array.from({ length: 10 }, (_, number) =>
    gate.pass(async () => {
      began.push(number);
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setTimeout(resolve, 1));
      inside -= 1;
      if (number % 3 === 0) throw new Error("It failed.");
      return number;
    }),
  );
  const results = await Promise.allSettled(passed);
  expect(most).toBe(2);
  expect(began).toEqual(Array.from({ length: 10 }, (_, number) => number));
  expect(results.map(({ status }) => status === "fulfilled")).toEqual(began.map((number) => number % 3 !== 0));
  expect(await gate.pass(async () => "free again")).toBe("free again");
});
