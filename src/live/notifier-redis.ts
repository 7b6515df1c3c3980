import { createClient } from "@redis/client";
import type { NotifierTransport } from "./notifier.ts";

const CONNECT_TIMEOUT_MS = 5000;

/**
 * Notify hints over Redis pub/sub (Redis 6 or later): for many servers, or so many writes that NOTIFY's lock slows
 * them.
 * @param hintChannel the database's own id for it, part of the channel's name because several databases may share one Redis.
 */
export function redisTransport(redisUrl: string, hintChannel: string): NotifierTransport {
  const channel = `ai-job-server:${hintChannel}`;
  return {
    kind: "redis",
    connect: async (onHint) => {
      // The client must not reconnect by itself: CommitNotifier does that, for every transport in the same way.
      const socket = { reconnectStrategy: false, connectTimeout: CONNECT_TIMEOUT_MS } as const;
      const client = createClient({ url: redisUrl, name: channel, socket });
      const broken = new Promise<unknown>((resolve) => {
        client.on("error", resolve);
        client.on("end", () => resolve(undefined));
      });
      const close = () => {
        if (client.isOpen) client.destroy();
      };
      // `connectTimeout` covers the socket only; this timer also covers a server that accepts and then says nothing.
      const timer = setTimeout(close, CONNECT_TIMEOUT_MS);
      try {
        await client.connect();
        await client.subscribe(channel, onHint);
      } catch (error) {
        close();
        throw error;
      } finally {
        clearTimeout(timer);
      }
      return {
        send: async (senderId) => {
          await client.publish(channel, senderId);
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
