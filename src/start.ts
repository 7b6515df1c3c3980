import { once } from "node:events";
import type { Logger } from "pino";
import type { Config } from "./config.ts";
import { guards } from "./guards/guards.ts";
import { ENDPOINT } from "./http/graphql.ts";
import { Feed } from "./recorder/feed.ts";
import { foldTotals } from "./recorder/totals.ts";
import { createServer } from "./server.ts";
import { openStorage, type Storage } from "./storage/open.ts";
import { resumeBulkActions } from "./workflow/bulk-action.ts";
import { type Engine, newTurns } from "./workflow/engine.ts";
import { recoverStalledRuns } from "./workflow/recovery.ts";
import { openWaitingRoom } from "./workflow/waiting.ts";

/** Generous: a guard that is late fails closed, and a large text on a busy machine takes seconds. */
const GUARD_TIMEOUT_MS = 10_000;
/** How often totals are folded: what came since is added by each who reads them. */
const FOLD_EVERY_MS = 1_000;
/** How soon a change that another server committed is seen, at the latest; own changes wake the feed. */
const FEED_POLL_MS = 250;
/** How long a bulk action must have made no progress before a sweep goes on with it: its own server may be at it. */
const BULK_ACTION_IDLE_SECONDS = 10;

export interface RunningServer {
  /** Where the API answers. */
  readonly url: string;
  readonly storage: Storage;
  /** Stops taking work, finishes what is in flight, and lets go of the database. */
  close(): Promise<void>;
}

/** Configuration -> storage -> feed -> server -> listen. */
export async function start(config: Config, log: Logger): Promise<RunningServer> {
  const storage = await openStorage(config.storage);
  const { prisma } = storage;
  const feed = new Feed({
    prisma,
    pollMs: FEED_POLL_MS,
    onError: (err) => log.warn({ err }, "the event log could not be read; trying again"),
  });
  const { backoff, preferenceMs } = config;
  const wake = () => {
    feed.wake();
    waiting.call();
  };
  const engine = { prisma, wake, guards, guardTimeoutMs: GUARD_TIMEOUT_MS, turns: newTurns(), backoff, preferenceMs };
  const waiting = openWaitingRoom(engine, (err) => log.warn({ err }, "due jobs could not be looked for; trying again"));
  // Before the first request: what a crash left behind is settled, so that nobody sees it (section 6).
  await recoverStalledRuns(engine);
  await goOnWithBulkActions(engine, log, 0);
  const { corsOrigins, maxBodyBytes } = config;
  const server = createServer({ engine, feed, waiting, log, corsOrigins, maxBodyBytes });
  try {
    server.http.listen(config.port, config.host);
    await once(server.http, "listening");
  } catch (error) {
    await storage.close();
    throw new ListenError(config, error);
  }
  const sweeps = sweepEvery(config.recoveryIntervalMs, async () => {
    try {
      const recovered = await recoverStalledRuns(engine);
      if (recovered > 0) log.warn({ recovered }, "runs whose lease ran out were recovered");
    } catch (err) {
      log.error({ err }, "a sweep for lost leases failed; the next one tries again");
    }
    await goOnWithBulkActions(engine, log, BULK_ACTION_IDLE_SECONDS);
  });
  const folds = sweepEvery(FOLD_EVERY_MS, async () => {
    try {
      await foldTotals(prisma);
    } catch (err) {
      log.warn({ err }, "totals could not be folded, which makes reading them slow; the next fold tries again");
    }
  });
  const close = async () => {
    await Promise.all([sweeps.stop(), folds.stop()]);
    await server.close();
    await storage.close();
  };
  return { url: urlOf(server.http.address(), config), storage, close };
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

/** Runs `sweep` again and again, each time a while after it ended: two never overlap in one process. */
function sweepEvery(milliseconds: number, sweep: () => Promise<void>) {
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

function urlOf(address: ReturnType<import("node:net").Server["address"]>, { host, port }: Config): string {
  const bound = typeof address === "object" && address ? address.port : port;
  return `http://${host.includes(":") ? `[${host}]` : host}:${bound}${ENDPOINT}`;
}
