import { expect, test } from "vitest";
import { Signals } from "../../src/recorder/signals.ts";

/** The hints of one process, without a carrier. */

test("without other servers a hint is heard at once by everybody who listens, and by nobody who has left", async () => {
  const signals = new Signals(undefined, { onChange: () => expect.unreachable("Nothing can break.") });
  const heard = { one: 0, two: 0 };
  signals.onWake(() => {
    heard.one += 1;
  });
  const leave = signals.onWake(() => {
    heard.two += 1;
  });
  signals.wake();
  expect(heard).toEqual({ one: 1, two: 1 });
  leave();
  signals.wake();
  expect(heard).toEqual({ one: 2, two: 1 });
  expect(signals.health).toEqual({ kind: "in_process", connected: true, since: expect.any(Date) });
  await signals.close();
  signals.wake();
  expect(heard).toEqual({ one: 2, two: 1 });
});

test("the first hint goes to other servers at once, and those that soon follow it go as one", async () => {
  const sent: string[] = [];
  const connection = {
    send: async (sender: string) => void sent.push(sender),
    ping: async () => undefined,
    broken: new Promise(() => undefined),
    close: () => undefined,
  };
  let isConnected: () => void = () => undefined;
  const connected = new Promise<void>((resolve) => {
    isConnected = resolve;
  });
  const signals = new Signals({ kind: "postgres", connect: async () => connection }, { onChange: () => isConnected() });
  await connected;
  signals.wake();
  expect(sent).toHaveLength(1);
  signals.wake();
  signals.wake();
  expect(sent).toHaveLength(1);
  await expect.poll(() => sent.length).toBe(2);
  await signals.close();
});
