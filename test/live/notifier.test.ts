import { expect, test } from "vitest";
import { CommitNotifier } from "../../src/live/notifier.ts";

/** The hints of one process, without a carrier. */

test("without other servers a hint is heard at once by everybody who listens, and by nobody who has left", async () => {
  const notifier = new CommitNotifier(undefined, { onChange: () => expect.unreachable("Nothing can break.") });
  const received = { one: 0, two: 0 };
  notifier.onNotify(() => {
    received.one += 1;
  });
  const leave = notifier.onNotify(() => {
    received.two += 1;
  });
  notifier.notify();
  expect(received).toEqual({ one: 1, two: 1 });
  leave();
  notifier.notify();
  expect(received).toEqual({ one: 2, two: 1 });
  expect(notifier.health).toEqual({ kind: "in_process", connected: true, since: expect.any(Date) });
  await notifier.close();
  notifier.notify();
  expect(received).toEqual({ one: 2, two: 1 });
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
  const notifier = new CommitNotifier(
    { kind: "postgres", connect: async () => connection },
    { onChange: () => isConnected() },
  );
  await connected;
  notifier.notify();
  expect(sent).toHaveLength(1);
  notifier.notify();
  notifier.notify();
  expect(sent).toHaveLength(1);
  await expect.poll(() => sent.length).toBe(2);
  await notifier.close();
});
