import { once } from "node:events";
import type { Server } from "node:net";
import type { Logger } from "pino";
import type { Config } from "./config.ts";
import { guards } from "./guards/guards.ts";
import { ENDPOINT } from "./http/graphql.ts";
import { Feed } from "./recorder/feed.ts";
import { LONGEST_LAG_MS, lagWatch } from "./recorder/lag.ts";
import { type Carrier, Signals } from "./recorder/signals.ts";
import { overPostgres } from "./recorder/signals-postgres.ts";
import { overRedis } from "./recorder/signals-redis.ts";
import { foldTotals } from "./recorder/totals.ts";
import { createServer } from "./server.ts";
import type { PrismaClient } from "./storage/generated/client/client.ts";
import { openStorage, type Storage } from "./storage/open.ts";
import { resumeBulkActions } from "./workflow/bulk-action.ts";
import { type Engine, newTurns } from "./workflow/engine.ts";
import { recoverStalledRuns } from "./workflow/recovery.ts";
import { openWaitingRoom } from "./workflow/waiting.ts";

/** Generous: a guard that is late fails closed, and a large text on a busy machine takes seconds. */
const GUARD_TIMEOUT_MS = 10_000;
/** How often totals are folded: what came since is added by each who reads them. */
const FOLD_EVERY_MS = 1_000;
/** How soon a change is seen, at the latest, where the hint of it was lost. */
const FEED_POLL_MS = 250;
const LAG_LOOK_MS = 5000;
/** How long a bulk action must have made no progress before a sweep goes on with it: its own server may be at it. */
const BULK_ACTION_IDLE_SECONDS = 10;

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
    prisma,
    pollMs: FEED_POLL_MS,
    onError: (err) => log.warn({ err }, "the event log could not be read; trying again"),
  });
  const signals = new Signals(carrierOf(config, await feed.epoch()), {
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
    await recoverStalledRuns(engine);
    await goOnWithBulkActions(engine, log, 0);
    const { corsOrigins, maxBodyBytes } = config;
    const server = createServer({ engine, feed, waiting, signals, log, corsOrigins, maxBodyBytes });
    await listen(server.http, config);
    const sweeps = [
      repeat(config.recoveryIntervalMs, recoverySweep(engine, log)),
      repeat(FOLD_EVERY_MS, totalsFold(prisma, log)),
      repeat(
        LAG_LOOK_MS,
        lagWatch(prisma, LONGEST_LAG_MS, (isLate, lag) =>
          isLate
            ? log.warn(lag, "a transaction that stays open holds the live feed back")
            : log.info(lag, "the live feed is no longer held back"),
        ),
      ),
    ];
    const close = async () => {
      // At the same time: a sweep that waits for a row must not take from the time that requests have to finish.
      await Promise.all([server.close(), ...sweeps.map((sweep) => sweep.stop())]);
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

function recoverySweep(engine: Engine, log: Logger): () => Promise<void> {
  return async () => {
    try {
      const recovered = await recoverStalledRuns(engine);
      if (recovered > 0) log.warn({ recovered }, "runs whose lease ran out were recovered");
    } catch (err) {
      log.error({ err }, "a sweep for lost leases failed; the next one tries again");
    }
    await goOnWithBulkActions(engine, log, BULK_ACTION_IDLE_SECONDS);
  };
}

function totalsFold(prisma: PrismaClient, log: Logger): () => Promise<void> {
  return async () => {
    try {
      await foldTotals(prisma);
    } catch (err) {
      log.warn({ err }, "totals could not be folded, which makes reading them slow; the next fold tries again");
    }
  };
}

/** An action that cannot be finished now is left to the next sweep: it keeps the server from nothing else. */
async function goOnWithBulkActions(engine: Engine, log: Logger, idleSeconds: number): Promise<void> {
  try {
    const finished = await resumeBulkActions(engine, idleSeconds);
    if (finished > 0) log.warn({ finished }, "bulk actions that were left half way were finished");
  } catch (err) {
    log.error({ err }, "a bulk action could not be finished; the next sweep tries again");
  }
}

/** How hints reach other servers: not at all where there can be none. */
function carrierOf({ storage, redisUrl }: Config, epoch: string): Carrier | undefined {
  if (storage.kind !== "postgres") return undefined;
  return redisUrl === undefined ? overPostgres(storage.url) : overRedis(redisUrl, epoch);
}

/** Runs `sweep` again and again, each time a while after it ended: two never overlap in one process. */
function repeat(milliseconds: number, sweep: () => Promise<void>) {
  let timer: NodeJS.Timeout | undefined;
  let running = Promise.resolve();
  const schedule = () => {
    timer = setTimeout(() => {
      running = sweep().then(() => {
        if (timer) schedule();
      });
    }, milliseconds);
  };
  schedule();
  const stop = () => {
    clearTimeout(timer);
    timer = undefined;
    return running;
  };
  return { stop };
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
