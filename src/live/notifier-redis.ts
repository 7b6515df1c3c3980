import { createClient } from "redis";
import type { NotifierTransport } from "./notifier.ts";

const CONNECT_TIMEOUT_MS = 5000;

/**
 * Redis pub/sub (Redis 6 or later): for many servers, or so many writes that NOTIFY's lock is felt.
 * @param epoch of the event log: several databases may share one Redis.
 */
export function redisTransport(redisUrl: string, epoch: string): NotifierTransport {
  const channel = `ai-job-server:${epoch}`;
  return {
    kind: "redis",
    connect: async (onHint) => {
      // It does not connect again by itself: that is done in one place, for every carrier alike.
      const socket = { reconnectStrategy: false, connectTimeout: CONNECT_TIMEOUT_MS } as const;
      const client = createClient({ url: redisUrl, name: channel, socket });
      const broken = new Promise<unknown>((resolve) => {
        client.on("error", resolve);
        client.on("end", () => resolve(undefined));
      });
      const close = () => {
        if (client.isOpen) client.destroy();
      };
      const late = setTimeout(close, CONNECT_TIMEOUT_MS);
      try {
        await client.connect();
        await client.subscribe(channel, onHint);
      } catch (error) {
        close();
        throw error;
      } finally {
        clearTimeout(late);
      }
      return {
        send: async (sender) => {
          await client.publish(channel, sender);
        },
        ping: async () => {
          await client.ping();
        },
        broken,
        close,
      };
    },
  };
}
