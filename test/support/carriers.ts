import { afterEach, describe, expect, test, vi } from "vitest";
import { type Carrier, Signals, type SignalsHealth } from "../../src/recorder/signals.ts";
import { type Proxy, startProxy } from "./interrupt.ts";

/** What is true of hints whatever carries them. */

export interface CarrierUnderTest {
  readonly url: string;
  carrier(url: string): Carrier;
  /** Breaks every connection that a carrier has, from the other side. */
  breakAll(): Promise<void>;
  /** How many connections carriers have. */
  connections(): Promise<number>;
}

interface Server {
  readonly signals: Signals;
  readonly changes: SignalsHealth[];
  /** How many hints it has heard. */
  heard(): number;
}

export function hintsOver(name: string, open: () => CarrierUnderTest): void {
  const servers: Signals[] = [];
  const proxies: Proxy[] = [];
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((signals) => signals.close()));
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
  });

  function server(url: string, pingMs = 60_000): Server {
    const changes: SignalsHealth[] = [];
    const signals = new Signals(open().carrier(url), { onChange: (health) => changes.push(health), pingMs });
    servers.push(signals);
    let heard = 0;
    signals.onWake(() => {
      heard += 1;
    });
    return { signals, changes, heard: () => heard };
  }

  async function connected(url: string, pingMs?: number): Promise<Server> {
    const one = server(url, pingMs);
    await until(() => one.signals.health.connected);
    return one;
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
      const before = [two.heard(), three.heard()];
      const own = one.heard();
      one.signals.wake();
      expect(one.heard()).toBe(own + 1);
      await until(() => two.heard() > (before[0] ?? 0) && three.heard() > (before[1] ?? 0));
      // What comes back of one's own would have come by now.
      two.signals.wake();
      await until(() => one.heard() >= own + 2);
      expect(one.heard()).toBe(own + 2);
    });

    test("of a burst are few, and the last of it is among them", async () => {
      const { url } = open();
      const [one, two] = [await connected(url), await connected(url)];
      const before = two.heard();
      const startedAt = performance.now();
      for (let commits = 0; commits < 200; commits++) {
        one.signals.wake();
        if (commits % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      }
      const beforeTheLast = two.heard();
      one.signals.wake();
      await until(() => two.heard() > beforeTheLast);
      expect(two.heard() - before).toBeLessThan((performance.now() - startedAt) / 50 + 3);
    });

    test("go on after the connection was broken, which health shows, and which is a hint itself", async () => {
      const { url, breakAll } = open();
      const [one, two] = [await connected(url), await connected(url)];
      const before = two.heard();
      await breakAll();
      await until(() => two.changes.length >= 3);
      expect(two.changes.map((health) => health.connected)).toEqual([true, false, true]);
      expect(two.heard()).toBeGreaterThan(before);
      await until(() => one.signals.health.connected);
      const healed = two.heard();
      await until(() => {
        one.signals.wake();
        return two.heard() > healed;
      });
    });

    test("go on after a network that fell silent, without either side having been told", async () => {
      const { url } = open();
      const proxy = await proxyTo(url);
      const one = await connected(proxy.url, 300);
      proxy.silence();
      await until(() => !one.signals.health.connected);
      expect(one.changes.map((health) => health.connected)).toEqual([true, false]);
      proxy.cut();
      proxy.allow();
      await until(() => one.signals.health.connected);
    });

    test("begin when the other side can be had, however late; until then nothing fails", async () => {
      const { url } = open();
      const proxy = await proxyTo(url);
      proxy.refuse();
      const one = server(proxy.url);
      await until(() => one.changes.length === 1);
      expect(one.signals.health).toMatchObject({ connected: false });
      one.signals.wake();
      expect(one.heard()).toBe(1);
      proxy.allow();
      await until(() => one.signals.health.connected);
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
      await Promise.all(servers.splice(0).map((signals) => signals.close()));
      expect(stuck.signals.health.connected).toBe(false);
      proxy.cut();
      await vi.waitUntil(async () => (await connections()) === 0, { timeout: 20_000, interval: 20 });
    });
  });
}

function until(condition: () => boolean): Promise<unknown> {
  return vi.waitUntil(condition, { timeout: 20_000, interval: 10 });
}
