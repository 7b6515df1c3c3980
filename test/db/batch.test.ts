import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { inTurns } from "../../src/db/batch.ts";

/** Calls that go together, on a run that only keeps who went with whom. */

function line(run: (calls: readonly number[]) => Promise<unknown>) {
  const runs: (readonly number[])[] = [];
  const call = inTurns<number, string>(async (calls) => {
    runs.push(calls);
    await run(calls);
    return calls.map(async (one) => `answer ${one}`);
  });
  return { runs, call };
}

test("a call goes at once where none is under way, and those that come meanwhile go together after it", async () => {
  const { runs, call } = line(() => sleep(10));
  const first = call(0);
  await sleep(2);
  const others = [1, 2, 3].map(call);
  expect(await Promise.all([first, ...others])).toEqual([0, 1, 2, 3].map((one) => `answer ${one}`));
  expect(runs).toEqual([[0], [1, 2, 3]]);
  expect(await call(4)).toBe("answer 4");
  expect(runs).toHaveLength(3);
});

test("no more than ten go together", async () => {
  const { runs, call } = line(() => sleep(5));
  await Promise.all(Array.from({ length: 25 }, (_, one) => call(one)));
  expect(runs.map(({ length }) => length)).toEqual([10, 10, 5]);
});

test("each is answered when its own answer is there, and no later", async () => {
  let release: () => void = () => undefined;
  const slow = new Promise<void>((resolve) => {
    release = resolve;
  });
  const call = inTurns<string, string>(async (calls) =>
    calls.map(async (one) => {
      if (one === "slow") await slow;
      return one;
    }),
  );
  const waits = call("slow");
  expect(await call("quick")).toBe("quick");
  release();
  expect(await waits).toBe("slow");
});

test("what is stuck holds up nobody for long, and what failed fails only those who went together", async () => {
  const { runs, call } = line(async (calls) => {
    if (calls.includes(0)) await new Promise(() => undefined);
    if (calls.includes(1)) throw new Error("No.");
  });
  void call(0);
  await sleep(2);
  const began = performance.now();
  await expect(Promise.allSettled([call(1), call(2)])).resolves.toMatchObject([
    { status: "rejected", reason: { message: "No." } },
    { status: "rejected", reason: { message: "No." } },
  ]);
  expect(performance.now() - began).toBeLessThan(1000);
  expect(await call(3)).toBe("answer 3");
  expect(runs).toEqual([[0], [1, 2], [3]]);
});
