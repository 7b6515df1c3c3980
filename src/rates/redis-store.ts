import { createClient } from "@redis/client";
import { RateLimiterMemory, RateLimiterRedis, RLWrapperTimeouts } from "rate-limiter-flexible";
import type { OpenStore, RateStores } from "./rates.ts";

/** Milliseconds that an answer may take; without one, this server counts by itself. */
const ANSWER_MS = 250;
/** Milliseconds that a connection may take to be made. */
const CONNECT_MS = 5_000;
/** Milliseconds between two pings, and of silence after which a connection counts as broken: more than a busy process is late. */
const PING_MS = 5_000;
const SILENT_MS = 15_000;
/** The longest pause, in milliseconds, before the connection is made again. */
const MAX_PAUSE_MS = 2_000;

/**
 * Keeps rates in Redis, where all servers of a database count together. Where it does not answer, each server counts by itself, in
 * memory, until it does.
 * @param database the id that the servers of one database have in common: several databases may share one Redis.
 * @param onChange called when Redis cannot be reached, and when it can again.
 */
export function redisStores(
  redisUrl: string,
  database: string,
  onChange: (isConnected: boolean, error?: unknown) => void,
): RateStores {
  const keyPrefix = `ai-job-server:rates:${database}`;
  const client = createClient({
    url: redisUrl,
    name: keyPrefix,
    // What waited for a connection would keep its request waiting.
    disableOfflineQueue: true,
    pingInterval: PING_MS,
    socket: {
      connectTimeout: CONNECT_MS,
      socketTimeout: SILENT_MS,
      reconnectStrategy: (retries) => Math.min(100 * 2 ** retries, MAX_PAUSE_MS),
    },
  });
  let isConnected: boolean | undefined;
  const change = (connected: boolean, error?: unknown) => {
    if (isConnected === connected) return;
    isConnected = connected;
    onChange(connected, error);
  };
  client.on("ready", () => change(true));
  client.on("error", (error) => change(false, error));
  // It goes on trying, and tells each failure by "error".
  client.connect().catch(() => undefined);
  const open: OpenStore = (name, window) => {
    const redis = new RateLimiterRedis({
      ...window,
      storeClient: client,
      useRedisPackage: true,
      rejectIfRedisNotReady: true,
      keyPrefix: `${keyPrefix}:${name}`,
    });
    return new RLWrapperTimeouts({
      limiter: redis,
      timeoutMs: ANSWER_MS,
      insuranceLimiter: new RateLimiterMemory(window),
    });
  };
  return { open, close: () => client.destroy() };
}
