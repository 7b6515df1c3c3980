import { once } from "node:events";
import type { Server } from "node:net";
import type { Logger } from "pino";
import type { Config } from "./config.ts";
import { guards } from "./guards/guards.ts";
import { ENDPOINT } from "./http/graphql.ts";
import { Feed } from "./recorder/feed.ts";
import { type Carrier, Signals } from "./recorder/signals.ts";
import { overPostgres } from "./recorder/signals-postgres.ts";
import { createServer } from "./server.ts";
import { openStorage, type Storage, StorageError } from "./storage/open.ts";
import { settle, startSweeps } from "./sweeps.ts";
import { newTurns } from "./workflow/engine.ts";
import { openWaitingRoom } from "./workflow/waiting.ts";

/** Generous: a guard that is late fails closed, and a large text on a busy machine takes seconds. */
const GUARD_TIMEOUT_MS = 10_000;
/** How soon a change is seen, at the latest, where the hint of it was lost. */
const FEED_POLL_MS = 250;

export interface RunningServer {
  /** Where the API answers. */
  readonly url: string;
  readonly storage: Storage;
  /** Stops taking work, finishes what is in flight, and lets go of the database. */
  close(): Promise<void>;
}

/** Configuration -> storage -> signals -> feed -> recovery -> server -> listen. */
export async function start(config: Config, log: Logger): Promise<RunningServer> {
  const storage = await openStorage(config.storage);
  const { prisma } = storage;
  const feed = new Feed({
    storage,
    pollMs: FEED_POLL_MS,
    onError: (err) => log.warn({ err }, "the event log could not be read; trying again"),
  });
  const signals = new Signals(await carrierOf(config, await feed.epoch()), {
    onChange: ({ kind, connected }, err) =>
      connected
        ? log.info({ kind }, "hints go to the other servers and come from them")
        : log.warn({ kind, err }, "no hints from other servers: what they change is seen a little later"),
  });
  const wake = () => signals.wake();
  const { backoff, preferenceMs } = config;
  const engine = { prisma, wake, guards, guardTimeoutMs: GUARD_TIMEOUT_MS, turns: newTurns(), backoff, preferenceMs };
  const waiting = openWaitingRoom(engine, (err) => log.warn({ err }, "due jobs could not be looked for; trying again"));
  signals.onWake(() => feed.wake());
  signals.onWake(() => waiting.call());
  const letGo = async () => {
    await signals.close();
    await storage.close();
  };
  try {
    // Before the first request: what a crash left behind is settled, so that nobody sees it (section 6).
    await settle(engine, log).catch((error: unknown) => {
      throw new StorageError("Runs that a crash left behind could not be recovered. Start again.", error);
    });
    const { corsOrigins, maxBodyBytes } = config;
    const sweeps = startSweeps(engine, config.recoveryIntervalMs, log);
    const server = createServer({ engine, feed, waiting, signals, sweeps, log, corsOrigins, maxBodyBytes });
    await listen(server.http, config).catch(async (error: unknown) => {
      await sweeps.stop();
      throw error;
    });
    const close = async () => {
      // At the same time: a sweep that waits for a row must not take from the time that requests have to finish.
      await Promise.all([server.close(), sweeps.stop()]);
      await letGo();
    };
    return { url: urlOf(server.http.address(), config), storage, close };
  } catch (error) {
    await letGo();
    throw error;
  }
}

async function listen(http: Server, config: Config): Promise<void> {
  try {
    http.listen(config.port, config.host);
    await once(http, "listening");
  } catch (error) {
    throw new ListenError(config, error);
  }
}

/** How hints reach other servers: not at all where there can be none. */
async function carrierOf({ storage, redisUrl }: Config, epoch: string): Promise<Carrier | undefined> {
  if (storage.kind !== "postgres") return undefined;
  if (redisUrl === undefined) return overPostgres(storage.url);
  // Loaded where it is asked for: the client is large, and every start would wait for it.
  const { overRedis } = await import("./recorder/signals-redis.ts");
  return overRedis(redisUrl, epoch);
}

/** The port cannot be had; the message says which. */
export class ListenError extends Error {
  constructor({ host, port }: Config, cause: unknown) {
    super(`The server cannot listen on ${host}:${port}. Stop what listens there, or set PORT (0 takes a free one).`, {
      cause,
    });
    this.name = "ListenError";
  }
}

function urlOf(address: ReturnType<Server["address"]>, { host, port }: Config): string {
  const bound = typeof address === "object" && address ? address.port : port;
  return `http://${host.includes(":") ? `[${host}]` : host}:${bound}${ENDPOINT}`;
}
