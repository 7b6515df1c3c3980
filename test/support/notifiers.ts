import { afterEach, describe, expect, test, vi } from "vitest";
import { CommitNotifier, type NotifierHealth, type NotifierTransport } from "../../src/live/notifier.ts";
import { type Proxy, startProxy } from "./interrupt.ts";

/** Tests of notify hints that every notifier transport must pass. */

export interface TransportUnderTest {
  readonly url: string;
  transport(url: string): NotifierTransport;
  /** Breaks every connection of the transports, from the other side. */
  breakAll(): Promise<void>;
  /** The number of connections of the transports. */
  connections(): Promise<number>;
}

interface Server {
  readonly notifier: CommitNotifier;
  readonly changes: NotifierHealth[];
  /** The number of hints that it has received. */
  received(): number;
}

export function hintsOver(name: string, open: () => TransportUnderTest): void {
  const servers: CommitNotifier[] = [];
  const proxies: Proxy[] = [];
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((notifier) => notifier.close()));
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
  });

  function server(url: string, pingMs = 60_000): Server {
    const changes: NotifierHealth[] = [];
    const notifier = new CommitNotifier(open().transport(url), {
      onChange: (health) => changes.push(health),
      pingIntervalMs: pingMs,
    });
    servers.push(notifier);
    let received = 0;
    notifier.onNotify(() => {
      received += 1;
    });
    return { notifier, changes, received: () => received };
  }

  async function connected(url: string, pingMs?: number): Promise<Server> {
    const started = server(url, pingMs);
    await until(() => started.notifier.health.connected);
    return started;
  }

  async function proxyTo(url: string): Promise<Proxy> {
    const proxy = await startProxy(url);
    proxies.push(proxy);
    return proxy;
  }

  describe(`hints over ${name}`, () => {
    test("reach every other server, and their own process at once, and once", async () => {
      const { url } = open();
      const [one, two, three] = [await connected(url), await connected(url), await connected(url)];
      const before = [two.received(), three.received()];
      const initial = one.received();
      one.notifier.notify();
      expect(one.received()).toBe(initial + 1);
      await until(() => two.received() > (before[0] ?? 0) && three.received() > (before[1] ?? 0));
      // If a server received its own hints back from the transport, one would have arrived before this one.
      two.notifier.notify();
      await until(() => one.received() >= initial + 2);
      expect(one.received()).toBe(initial + 2);
    });

    test("of a burst are few, and the last of it is among them", async () => {
      const { url } = open();
      const [one, two] = [await connected(url), await connected(url)];
      const before = two.received();
      const startedAt = performance.now();
      for (let commits = 0; commits < 200; commits++) {
        one.notifier.notify();
        if (commits % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      }
      const beforeTheLast = two.received();
      one.notifier.notify();
      await until(() => two.received() > beforeTheLast);
      expect(two.received() - before).toBeLessThan((performance.now() - startedAt) / 50 + 3);
    });

    test("go on after the connection was broken, which health shows, and which is a hint itself", async () => {
      const { url, breakAll } = open();
      const [one, two] = [await connected(url), await connected(url)];
      const before = two.received();
      await breakAll();
      await until(() => two.changes.length >= 3);
      expect(two.changes.map((health) => health.connected)).toEqual([true, false, true]);
      expect(two.received()).toBeGreaterThan(before);
      await until(() => one.notifier.health.connected);
      const healed = two.received();
      await until(() => {
        one.notifier.notify();
        return two.received() > healed;
      });
    });

    test("go on after a network that fell silent, without either side having been told", async () => {
      const { url } = open();
      const proxy = await proxyTo(url);
      const one = await connected(proxy.url, 300);
      proxy.silence();
      await until(() => !one.notifier.health.connected);
      expect(one.changes.map((health) => health.connected)).toEqual([true, false]);
      proxy.cut();
      proxy.allow();
      await until(() => one.notifier.health.connected);
    });

    test("begin when the other side can be had, however late; until then nothing fails", async () => {
      const { url } = open();
      const proxy = await proxyTo(url);
      proxy.refuse();
      const one = server(proxy.url);
      await until(() => one.changes.length === 1);
      expect(one.notifier.health).toMatchObject({ connected: false });
      one.notifier.notify();
      expect(one.received()).toBe(1);
      proxy.allow();
      await until(() => one.notifier.health.connected);
      expect(one.changes.map((health) => health.connected)).toEqual([false, true]);
    });

    test("leave no connection behind, in whatever state it is", async () => {
      const { url, connections } = open();
      const proxy = await proxyTo(url);
      await connected(url);
      await connected(proxy.url, 300);
      expect(await connections()).toBe(2);
      proxy.silence();
      const stuck = server(proxy.url);
      await Promise.all(servers.splice(0).map((notifier) => notifier.close()));
      expect(stuck.notifier.health.connected).toBe(false);
      proxy.cut();
      await vi.waitUntil(async () => (await connections()) === 0, { timeout: 20_000, interval: 20 });
    });
  });
}

function until(condition: () => boolean): Promise<unknown> {
  return vi.waitUntil(condition, { timeout: 20_000, interval: 10 });
}
