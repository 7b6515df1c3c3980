import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { type BatchOptions, batchCalls } from "../../src/db/batch.ts";

/** What may share a batch, on a `runTogether` that keeps which calls went together. */

type Options = BatchOptions<number, string>;

function batches(
  send: Options["send"],
  more: Partial<Options> & { readonly shared?: (calls: readonly number[]) => unknown } = {},
) {
  const together: (readonly number[])[] = [];
  const alone: number[] = [];
  const { shared, ...options } = more;
  const call = batchCalls<number, string>({
    keyOf: () => "",
    maxCalls: 10,
    send,
    runTogether: async (calls) => {
      together.push(calls);
      await shared?.(calls);
      return calls.map((one) => `answer ${one}`);
    },
    runAlone: async (one) => {
      alone.push(one);
      return `alone ${one}`;
    },
    mayRunAgain: () => true,
    ...options,
  });
  return { together, alone, call };
}

const answers = (calls: readonly number[]) => calls.map((one) => `answer ${one}`);

describe("END_OF_TICK", () => {
  test("calls of one tick of the event loop go together, whatever else happens in it", async () => {
    const { together, call } = batches("END_OF_TICK");
    const first = [call(0), call(1)];
    await Promise.resolve();
    const second = new Promise<string>((resolve) => process.nextTick(() => resolve(call(2))));
    expect(await Promise.all([...first, second])).toEqual(answers([0, 1, 2]));
    expect(together).toEqual([[0, 1, 2]]);
  });

  test("a call never joins a batch that is on its way: what it reads must be as new as the call", async () => {
    const { together, call } = batches("END_OF_TICK", { shared: () => sleep(5) });
    const first = call(0);
    await vi.waitUntil(() => together.length === 1);
    expect(await Promise.all([first, call(1)])).toEqual(answers([0, 1]));
    expect(together).toEqual([[0], [1]]);
  });

  test("what is over the limit goes with the next batch", async () => {
    const { together, call } = batches("END_OF_TICK", { maxCalls: 3 });
    const calls = [0, 1, 2, 3, 4, 5, 6];
    expect(await Promise.all(calls.map(call))).toEqual(answers(calls));
    expect(together).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
  });

  test("only calls of one key share", async () => {
    const { together, call } = batches("END_OF_TICK", { keyOf: (one) => String(one % 2) });
    await Promise.all([0, 1, 2, 3].map(call));
    expect(together).toEqual([
      [0, 2],
      [1, 3],
    ]);
  });
});

describe("AFTER_PREVIOUS", () => {
  test("a call goes at once where none is under way, and those that come meanwhile go together after it", async () => {
    const { together, call } = batches("AFTER_PREVIOUS", { shared: () => sleep(10) });
    const first = call(0);
    await sleep(2);
    expect(await Promise.all([first, ...[1, 2, 3].map(call)])).toEqual(answers([0, 1, 2, 3]));
    expect(together).toEqual([[0], [1, 2, 3]]);
    expect(await call(4)).toBe("answer 4");
    expect(together).toHaveLength(3);
  });

  test("a batch that is under way holds up no call of another key", async () => {
    const { together, call } = batches("AFTER_PREVIOUS", {
      keyOf: (one) => String(one),
      shared: (calls) => (calls.includes(0) ? new Promise(() => undefined) : undefined),
    });
    void call(0);
    await sleep(2);
    expect(await call(1)).toBe("answer 1");
    expect(together).toEqual([[0], [1]]);
  });

  test("what is stuck holds up nobody for long", async () => {
    const { together, call } = batches("AFTER_PREVIOUS", {
      shared: (calls) => (calls.includes(0) ? new Promise(() => undefined) : undefined),
    });
    void call(0);
    await sleep(2);
    const began = performance.now();
    expect(await Promise.all([call(1), call(2)])).toEqual(answers([1, 2]));
    expect(performance.now() - began).toBeLessThan(1000);
    expect(together).toEqual([[0], [1, 2]]);
  });

  test("each call is answered when its own answer is there, and no later", async () => {
    let release: () => void = () => undefined;
    const slow = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { call } = batches("AFTER_PREVIOUS", {
      runTogether: async (calls) => calls.map((one) => (one === 0 ? slow.then(() => "slow") : `answer ${one}`)),
    });
    const waits = call(0);
    expect(await call(1)).toBe("answer 1");
    release();
    expect(await waits).toBe("slow");
  });
});

describe.each(["END_OF_TICK", "AFTER_PREVIOUS"] as const)("%s: one bad call", (send) => {
  const failure = () => Promise.reject(new Error("No."));

  test("fails no neighbour: what fails together is run again, each alone", async () => {
    const { call } = batches(send, {
      shared: failure,
      runAlone: async (one) => {
        if (one === 1) throw new Error(`Not ${one}.`);
        return `alone ${one}`;
      },
    });
    expect(await Promise.allSettled([0, 1, 2].map(call))).toMatchObject([
      { value: "alone 0" },
      { reason: { message: "Not 1." } },
      { value: "alone 2" },
    ]);
  });

  test("that was alone in its batch is not run twice", async () => {
    const { alone, call } = batches(send, { shared: failure });
    await expect(call(0)).rejects.toThrow("No.");
    expect(alone).toEqual([]);
  });

  test("fails all of its batch, without a second run, where a commit may have been kept", async () => {
    const { alone, call } = batches(send, { shared: failure, mayRunAgain: () => false });
    const settled = await Promise.allSettled([0, 1].map(call));
    expect(settled.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(alone).toEqual([]);
  });

  test("an answer that lacks is an error, and nobody waits for it", async () => {
    const { call } = batches(send, { runTogether: async () => [], mayRunAgain: () => false });
    await expect(call(0)).rejects.toThrow("one answer for each");
  });
});
