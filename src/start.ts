import { once } from "node:events";
import type { Server } from "node:net";
import type { Logger } from "pino";
import { createClaimer } from "./claims/claim.ts";
import type { Config } from "./config.ts";
import { type Database, DatabaseError, openDatabase } from "./db/open.ts";
import { newRotation } from "./engine.ts";
import { ENDPOINT } from "./http/graphql.ts";
import { Feed } from "./live/feed.ts";
import { CommitNotifier, type NotifierTransport } from "./live/notifier.ts";
import { postgresTransport } from "./live/notifier-postgres.ts";
import { recoverAtStart, startMaintenance } from "./maintenance.ts";
import { guards } from "./security/guards/guards.ts";
import { createServer } from "./server.ts";

/** Generous: a guard that is late fails closed, and a large text on a busy machine takes seconds. */
const GUARD_TIMEOUT_MS = 10_000;
/** How soon a change is seen, at the latest, where the hint of it was lost. */
const FEED_POLL_MS = 250;

export interface RunningServer {
  /** Where the API answers. */
  readonly url: string;
  readonly database: Database;
  /** Stops taking work, finishes what is in flight, and lets go of the database. */
  close(): Promise<void>;
}

/** Configuration -> storage -> signals -> feed -> recovery -> server -> listen. */
export async function start(config: Config, log: Logger): Promise<RunningServer> {
  const database = await openDatabase(config.database);
  const { prisma } = database;
  const feed = new Feed({
    database,
    pollMs: FEED_POLL_MS,
    onError: (err) => log.warn({ err }, "the event log could not be read; trying again"),
  });
  const notifier = new CommitNotifier(await createTransport(config, await feed.epoch()), {
    onChange: ({ kind, connected }, err) =>
      connected
        ? log.info({ kind }, "hints go to the other servers and come from them")
        : log.warn({ kind, err }, "no hints from other servers: what they change is seen a little later"),
  });
  const notifyCommit = () => notifier.notify();
  const { backoff, revisePreferenceMs } = config;
  const engine = {
    prisma,
    notifyCommit,
    guards,
    guardTimeoutMs: GUARD_TIMEOUT_MS,
    rotation: newRotation(),
    backoff,
    revisePreferenceMs,
  };
  const claimer = createClaimer(engine, (err) => log.warn({ err }, "due jobs could not be looked for; trying again"));
  notifier.onNotify(() => feed.notify());
  notifier.onNotify(() => claimer.notify());
  const release = async () => {
    await notifier.close();
    await database.close();
  };
  try {
    // Before the first request: what a crash left behind is settled, so that nobody sees it (section 6).
    await recoverAtStart(engine, log).catch((error: unknown) => {
      throw new DatabaseError("Runs that a crash left behind could not be recovered. Start again.", error);
    });
    const { corsOrigins, maxBodyBytes } = config;
    const maintenance = startMaintenance(engine, config.recoveryIntervalMs, log);
    const server = createServer({
      engine,
      feed,
      claimer,
      notifier,
      maintenance,
      log,
      corsOrigins,
      maxBodyBytes,
    });
    await listen(server.http, config).catch(async (error: unknown) => {
      await maintenance.stop();
      throw error;
    });
    const close = async () => {
      // At the same time: a sweep that waits for a row must not take from the time that requests have to finish.
      await Promise.all([server.close(), maintenance.stop()]);
      await release();
    };
    return { url: urlOf(server.http.address(), config), database, close };
  } catch (error) {
    await release();
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
async function createTransport({ database, redisUrl }: Config, epoch: string): Promise<NotifierTransport | undefined> {
  if (database.kind !== "postgres") return undefined;
  if (redisUrl === undefined) return postgresTransport(database.url);
  // Loaded where it is asked for: the client is large, and every start would wait for it.
  const { redisTransport: overRedis } = await import("./live/notifier-redis.ts");
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
