import { describe, expect, test } from "vitest";
import { TryAgainError } from "../../src/errors.ts";
import { Turns } from "../../src/threads/turns.ts";

/** Large work waits in turn, one client after another. */

const ROOM = { perClient: 100, total: 1000 };

/** Work that ends when it is told to, and keeps a list of what was begun. */
function workplace(turns: Turns) {
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const take = (client: string, name: string, size = 10) =>
    turns.take(client, size, async () => {
      begun.push(name);
      await new Promise<void>((end) => ends.push(end));
      return name;
    });
  /** Ends the piece of work that was begun first, and lets the next one begin. */
  const endOne = async () => {
    ends.shift()?.();
    await new Promise(setImmediate);
  };
  return { begun, take, endOne };
}

test("as many pieces of work run at once as there are threads", async () => {
  const { begun, take, endOne } = workplace(new Turns(2, ROOM));
  const all = ["a", "b", "c", "d"].map((name) => take("client", name));
  expect(begun).toEqual(["a", "b"]);
  await endOne();
  expect(begun).toEqual(["a", "b", "c"]);
  for (let left = 3; left > 0; left--) await endOne();
  expect(await Promise.all(all)).toEqual(["a", "b", "c", "d"]);
});

test("clients take turns, so that one with much to do delays another by one piece of it", async () => {
  const { begun, take, endOne } = workplace(new Turns(1, ROOM));
  const all = [
    ...["1", "2", "3", "4"].map((name) => take("busy", `busy ${name}`)),
    take("one", "one 1"),
    take("other", "other 1"),
    take("other", "other 2"),
  ];
  for (let left = all.length; left > 0; left--) await endOne();
  await Promise.all(all);
  expect(begun).toEqual(["busy 1", "busy 2", "one 1", "other 1", "busy 3", "other 2", "busy 4"]);
});

test("work that fails gives its turn on", async () => {
  const turns = new Turns(1, ROOM);
  const failing = turns.take("a", 1, () => Promise.reject(new Error("no")));
  const next = turns.take("b", 1, async () => "done");
  await expect(failing).rejects.toThrow("no");
  expect(await next).toBe("done");
  expect(await turns.take("a", 1, async () => "again")).toBe("again");
});

describe("what waits is bounded", () => {
  test("for each client: more of it is refused, and others still find room", async () => {
    const { take, endOne } = workplace(new Turns(1, ROOM));
    const begun = [take("busy", "runs"), take("busy", "waits", 60), take("busy", "waits, too", 40)];
    await expect(take("busy", "refused", 1)).rejects.toThrow(TryAgainError);
    begun.push(take("other", "waits as well", 60));
    for (let left = begun.length; left > 0; left--) await endOne();
    await Promise.all(begun);
  });

  test("for all together", async () => {
    const { take, endOne } = workplace(new Turns(1, ROOM));
    const begun = [take("first", "runs")];
    for (let client = 0; client < 10; client++) begun.push(take(`client ${client}`, "waits", 100));
    await expect(take("late", "refused", 1)).rejects.toThrow(TryAgainError);
    for (let left = begun.length; left > 0; left--) await endOne();
    await Promise.all(begun);
    const later = take("late", "runs", 1);
    await endOne();
    expect(await later).toBe("runs");
  });

  test("but not so that one piece of work could never be done", async () => {
    const { take, endOne } = workplace(new Turns(1, ROOM));
    const begun = [take("a", "runs"), take("b", "larger than a client's share", 500)];
    for (let left = begun.length; left > 0; left--) await endOne();
    expect(await Promise.all(begun)).toHaveLength(2);
  });
});
