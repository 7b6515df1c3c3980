import { once } from "node:events";
import type { Logger } from "pino";
import type { Config } from "./config.ts";
import { guards } from "./guards/guards.ts";
import { ENDPOINT } from "./http/graphql.ts";
import { Feed } from "./recorder/feed.ts";
import { createServer } from "./server.ts";
import { openStorage, type Storage, StorageError } from "./storage/open.ts";
import { newTurns } from "./workflow/engine.ts";
import { recoverStalledRuns } from "./workflow/recovery.ts";
import { openWaitingRoom } from "./workflow/waiting.ts";

/** Generous: a guard that is late fails closed, and a large text on a busy machine takes seconds. */
const GUARD_TIMEOUT_MS = 10_000;
/** How soon a change that another server committed is seen, at the latest; own changes wake the feed. */
const FEED_POLL_MS = 250;

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
  try {
    await recoverStalledRuns(engine);
  } catch (error) {
    await storage.close();
    throw new StorageError("Runs that a crash left behind could not be recovered. Start again.", error);
  }
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
  });
  const close = async () => {
    await sweeps.stop();
    await server.close();
    await storage.close();
  };
  return { url: urlOf(server.http.address(), config), storage, close };
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
