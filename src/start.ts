import { once } from "node:events";
import type { Server } from "node:net";
import type { Logger } from "pino";
import { createClaimer } from "./claims/claim.ts";
import type { Config } from "./config.ts";
import { Availability } from "./db/availability.ts";
import type { Database } from "./db/database.ts";
import { DatabaseError } from "./db/database-error.ts";
import type { PrismaClient } from "./db/generated/client/client.ts";
import { openDatabase } from "./db/open.ts";
import { newRotation } from "./engine.ts";
import { ENDPOINT } from "./http/graphql.ts";
import { KeyAuthenticator, OPEN } from "./identity/authenticator.ts";
import { JSON_LIMIT } from "./jobs/input-text.ts";
import { Feed } from "./live/feed.ts";
import { CommitNotifier, type NotifierTransport } from "./live/notifier.ts";
import { postgresTransport } from "./live/notifier-postgres.ts";
import { recoverAtStart, startMaintenance } from "./maintenance.ts";
import { createReportedRunsReader } from "./runs/lock.ts";
import { guards } from "./security/guards/guards.ts";
import { scanContent } from "./security/guards/scan-content.ts";
import { createServer } from "./server.ts";

/**
 * Milliseconds that one guard may take. Generous, because a guard that is late fails closed and refuses the content,
 * and a large text takes seconds on a busy machine.
 */
const GUARD_TIMEOUT_MS = 10_000;
/** Milliseconds after which the feed reads the log without a notify hint: the delay of a change whose hint was lost. */
const FEED_POLL_MS = 250;

/** Milliseconds after the start until the guards are made ready; a request that needs them sooner does it itself. */
const WARM_UP_MS = 2_000;
const NOTHING = { sources: [{ sourceId: null, path: "", value: "nothing" }], patterns: [] };

/** A server that answers requests. */
export interface RunningServer {
  /** The URL of the API, with the port that was bound. */
  readonly url: string;
  readonly database: Database;
  /** Refuses new work, finishes running requests, and closes the database. */
  close(): Promise<void>;
}

/**
 * Starts a server, in this order: database, feed, commit notifier, recovery after a crash, maintenance tasks, HTTP. If
 * the recovery or a later step fails, the steps before it are closed again.
 * @returns the server, which answers requests.
 * @throws DatabaseError, MigrationError or FolderInUseError if the database cannot be opened or recovered.
 * @throws ListenError if the port cannot be used.
 */
export async function start(config: Config, log: Logger): Promise<RunningServer> {
  const database = await openDatabase(config.database);
  const { prisma } = database;
  const feed = new Feed({
    database,
    pollMs: FEED_POLL_MS,
    onError: (err) => log.warn({ err }, "the event log could not be read; trying again"),
    onNewEpoch: ({ epoch, reason }) =>
      log.warn({ epoch, reason }, "the event log does not go on where it was: a new epoch has begun"),
  });
  const notifier = new CommitNotifier(await createTransport(config, prisma), {
    withoutTransport: database.kind === "postgres" ? "polling" : "in_process",
    onChange: ({ kind, connected }, err) =>
      connected
        ? log.info({ kind }, "connected to other servers for notify hints")
        : log.warn(
            { kind, err },
            "no connection to other servers for notify hints: their changes are seen a little later",
          ),
  });
  const notifyCommit = () => notifier.notify();
  const { backoff, revisePreferenceMs } = config;
  const availability = new Availability((reason) => log.warn({ reason }, "the database cannot be used as it is now"));
  const engine = {
    prisma,
    notifyCommit,
    availability,
    guards,
    guardTimeoutMs: GUARD_TIMEOUT_MS,
    rotation: newRotation(),
    readReportedRuns: createReportedRunsReader(prisma),
    backoff,
    revisePreferenceMs,
  };
  const claimer = createClaimer(engine, (err) => {
    if (!availability.explains(err)) log.warn({ err }, "due jobs could not be read; trying again");
  });
  notifier.onNotify(() => feed.notify());
  notifier.onNotify(() => claimer.notify());
  const release = async () => {
    await notifier.close();
    await database.close();
  };
  try {
    // Before anything is written: what is written under an epoch that has ended would lie before what is stored.
    await feed.continuity.check();
    database.onConnect?.(() => feed.continuity.checkSoon());
    await recoverAtStart(engine, log).catch((error: unknown) => {
      throw new DatabaseError("Runs whose lease has passed could not be recovered. Start the server again.", error);
    });
    const authenticator = config.auth === "required" ? keyAuthenticator(config, prisma, log) : OPEN;
    if (config.auth === "unset") await assertNoKeys(prisma);
    const { corsOrigins, maxBodyBytes, maxDocumentTokens, maxJsonValues } = config;
    JSON_LIMIT.maxDepth = config.maxJsonDepth;
    const maintenance = startMaintenance(engine, feed.continuity, config.recoveryIntervalMs, log);
    const server = createServer({
      engine,
      authenticator,
      feed,
      claimer,
      notifier,
      maintenance,
      log,
      corsOrigins,
      maxBodyBytes,
      maxDocumentTokens,
      maxJsonValues,
    });
    await listen(server.http, config).catch(async (error: unknown) => {
      await maintenance.stop();
      throw error;
    });
    // Soon, and not when somebody waits for it: the first scan takes a third of a second more, to build automata.
    const warming = setTimeout(() => scanContent(NOTHING), WARM_UP_MS);
    const close = async () => {
      clearTimeout(warming);
      // At the same time: if the maintenance tasks were stopped first, one that waits for a lock would delay the end of
      // the requests.
      await Promise.all([server.close(), maintenance.stop()]);
      authenticator.close();
      await release();
    };
    return { url: urlOf(server.http.address(), config), database, close };
  } catch (error) {
    await release();
    throw error;
  }
}

/**
 * @throws DatabaseError where there are API keys: whoever made them wants them to be asked for, and a forgotten setting must not
 * open all.
 */
async function assertNoKeys(prisma: PrismaClient): Promise<void> {
  if ((await prisma.apiKey.count({ where: { revokedAt: null }, take: 1 })) === 0) return;
  throw new DatabaseError(
    "This database has API keys, and the server is not told to ask for them. Set AUTH=required, or AUTH=off to let everybody in.",
  );
}

function keyAuthenticator({ operatorKey }: Config, prisma: PrismaClient, log: Logger): KeyAuthenticator {
  const onError = (err: unknown) => log.warn({ err }, "API keys could not be read; trying again");
  return new KeyAuthenticator({ prisma, operatorKey, onError });
}

async function listen(http: Server, config: Config): Promise<void> {
  try {
    http.listen(config.port, config.host);
    await once(http, "listening");
  } catch (error) {
    throw new ListenError(config, error);
  }
}

/**
 * The way of notify hints to other servers; undefined for an embedded database, which has one server only, and where there is
 * none: each server then finds the others' changes at its next poll.
 */
async function createTransport(
  { database, redisUrl }: Config,
  prisma: PrismaClient,
): Promise<NotifierTransport | undefined> {
  if (database.kind !== "postgres") return undefined;
  if (redisUrl === undefined) {
    // LISTEN needs a session of its own, which a pooler in transaction mode does not give.
    const url = database.directUrl ?? (database.poolMode === "transaction" ? undefined : database.url);
    return url === undefined ? undefined : postgresTransport(url);
  }
  // Imported on demand: the Redis client is large, and would slow every start down.
  const { redisTransport } = await import("./live/notifier-redis.ts");
  const { hintChannel } = await prisma.eventLog.findFirstOrThrow({ select: { hintChannel: true } });
  return redisTransport(redisUrl, hintChannel);
}

/** The server cannot listen on its host and port, which the message names. */
export class ListenError extends Error {
  constructor({ host, port }: Config, cause: unknown) {
    super(`The server cannot listen on ${host}:${port}. Stop what listens there, or set PORT (0 picks a free port).`, {
      cause,
    });
    this.name = "ListenError";
  }
}

function urlOf(address: ReturnType<Server["address"]>, { host, port }: Config): string {
  const bound = typeof address === "object" && address ? address.port : port;
  return `http://${host.includes(":") ? `[${host}]` : host}:${bound}${ENDPOINT}`;
}
