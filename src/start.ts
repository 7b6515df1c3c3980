import type { Server } from "node:net";
import type { Logger } from "pino";
import { createClaimer } from "./claims/claim.ts";
import type { Config } from "./config.ts";
import { Availability } from "./db/availability.ts";
import type { Database, DatabaseLocation } from "./db/database.ts";
import { DatabaseError } from "./db/database-error.ts";
import type { PrismaClient } from "./db/generated/client/client.ts";
import { openDatabase } from "./db/open.ts";
import { allWorkspaces, NO_WORKSPACE, within } from "./db/scope.ts";
import { type EngineContext, newRotation } from "./engine.ts";
import { ENDPOINT } from "./http/graphql.ts";
import { trustProxies } from "./http/proxies.ts";
import { readTrustedDocuments } from "./http/trusted-documents.ts";
import { type Authenticator, createAuthenticator, OPEN } from "./identity/authenticator.ts";
import { assertMayBeOpen } from "./identity/may-be-open.ts";
import { JSON_LIMIT } from "./jobs/input-text.ts";
import { listen } from "./listen.ts";
import { Feed } from "./live/feed.ts";
import { CommitNotifier, type NotifierTransport } from "./live/notifier.ts";
import { postgresTransport } from "./live/notifier-postgres.ts";
import { recoverAtStart, startMaintenance } from "./maintenance.ts";
import type { Metrics } from "./metrics/metrics.ts";
import { serveMetrics } from "./metrics/serve.ts";
import { OutputWatch } from "./output/watch.ts";
import { IN_MEMORY, type RateStores, Rates } from "./rates/rates.ts";
import { ChildrenHints, wakeParents } from "./runs/children.ts";
import { createReportedRunsReader } from "./runs/lock.ts";
import { PROGRESS_INTERVAL_MS } from "./runs/progress.ts";
import { guards } from "./security/guards/guards.ts";
import { scanContent } from "./security/guards/scan-content.ts";
import { createServer } from "./server.ts";
import type { Tracing } from "./tracing/traced.ts";

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
 * @throws ConfigError if the manifest of trusted documents cannot be used.
 * @throws ListenError if the port cannot be used.
 */
export async function start(config: Config, log: Logger): Promise<RunningServer> {
  // Before the database: a setting that cannot be used costs nobody anything yet.
  const trustedDocuments =
    config.trustedDocuments === undefined ? undefined : await readTrustedDocuments(config.trustedDocuments);
  const database = await openDatabase(locationOf(config));
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
  const { backoff, revisePreferenceMs, costCurrency } = config;
  const availability = new Availability((reason) => log.warn({ reason }, "the database cannot be used as it is now"));
  const hints = new ChildrenHints(
    (parentIds) => wakeParents(engine, parentIds),
    (err) => {
      if (!availability.explains(err))
        log.warn({ err }, "jobs whose children ended could not be woken; the next look tries again");
    },
  );
  const metrics = await metricsOf(config, database, feed);
  const tracing = await tracingOf(config, log);
  const engine: EngineContext = {
    prisma,
    notifyCommit,
    ...(metrics ? { observer: metrics } : {}),
    childrenEnded: (parentIds) => hints.hint(parentIds),
    availability,
    guards,
    guardTimeoutMs: GUARD_TIMEOUT_MS,
    rotation: newRotation(),
    readReportedRuns: createReportedRunsReader(prisma),
    // Only PostgreSQL has other servers, whose chunks are looked for.
    outputs: new OutputWatch(prisma, database.kind === "postgres" ? FEED_POLL_MS : undefined),
    backoff,
    revisePreferenceMs,
    progressIntervalMs: PROGRESS_INTERVAL_MS,
    costCurrency,
  };
  const claimer = createClaimer(engine, (err) => {
    if (!availability.explains(err)) log.warn({ err }, "due jobs could not be read; trying again");
  });
  notifier.onNotify(() => feed.notify());
  notifier.onNotify(() => claimer.notify());
  const release = async () => {
    await notifier.close();
    await database.close();
    await tracing?.close();
  };
  try {
    // Before anything is written: what is written under an epoch that has ended would lie before what is stored.
    await feed.continuity.check();
    database.onConnect?.(() => feed.continuity.checkSoon());
    await recoverAtStart(engine).catch((error: unknown) => {
      throw new DatabaseError("Runs whose lease has passed could not be recovered. Start the server again.", error);
    });
    const authenticator = config.auth === "required" ? authenticatorOf(config, prisma, log) : OPEN;
    if (config.auth === "unset") await assertMayBeOpen(prisma);
    if (config.auth === "required") await markAsServedWithAuth(prisma);
    const rates =
      config.auth === "required" ? new Rates(config.rates, await rateStores(config, prisma, log)) : undefined;
    const { publicUrl, corsOrigins, maxBodyBytes, maxDocumentTokens, maxJsonValues } = config;
    JSON_LIMIT.maxDepth = config.maxJsonDepth;
    const maintenance = startMaintenance(engine, feed.continuity, config.recoveryIntervalMs, log);
    const server = createServer({
      engine,
      authenticator,
      rates,
      feed,
      claimer,
      notifier,
      maintenance,
      log,
      publicUrl,
      trustedDocuments,
      proxies: trustProxies(config.trustedProxies),
      corsOrigins,
      maxBodyBytes,
      maxDocumentTokens,
      maxJsonValues,
      tracing,
      onErrors: metrics && ((codes) => metrics.countErrors(codes)),
    });
    const listening = listenToBoth(server.http, config, metrics, log);
    const { origin, metricsServer } = await listening.catch(async (error: unknown) => {
      rates?.close();
      await maintenance.stop();
      throw error;
    });
    // Soon, and not when somebody waits for it: the first scan takes a third of a second more, to build automata.
    const warming = setTimeout(() => scanContent(NOTHING), WARM_UP_MS);
    const close = async () => {
      clearTimeout(warming);
      metricsServer?.close();
      // At the same time: if the maintenance tasks were stopped first, one that waits for a lock would delay the end of
      // the requests.
      await Promise.all([server.close(), maintenance.stop()]);
      await hints.idle();
      authenticator.close();
      rates?.close();
      await release();
    };
    return { url: origin + ENDPOINT, database, close };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Where callers must prove who they are, the database keeps their workspaces apart, too. */
function locationOf({ database, auth }: Config): DatabaseLocation {
  return database.kind === "postgres" ? { ...database, needsOwnRole: auth === "required" } : database;
}

async function markAsServedWithAuth(prisma: PrismaClient): Promise<void> {
  await within(allWorkspaces("server"), () =>
    prisma.eventLog.updateMany({ where: { servedWithAuth: false }, data: { servedWithAuth: true } }),
  );
}

function authenticatorOf({ operatorKey, jwt }: Config, prisma: PrismaClient, log: Logger): Authenticator {
  const onError = (err: unknown) => log.warn({ err }, "credentials could not be checked; trying again");
  return createAuthenticator({ prisma, operatorKey, jwt, onError });
}

/** Imported on demand: without a collector there is no span, and nothing is loaded. */
async function tracingOf({ tracing }: Config, log: Logger): Promise<Tracing | undefined> {
  const onFault = (reason: string) => log.warn({ reason }, "traces could not be sent to the collector");
  return tracing && (await import("./tracing/tracing.ts")).startTracing(tracing, onFault);
}

/** Imported on demand: without a port for them nothing is counted, and nothing is loaded. */
async function metricsOf({ metrics }: Config, { prisma, pool }: Database, feed: Feed): Promise<Metrics | undefined> {
  if (!metrics) return undefined;
  const { Metrics } = await import("./metrics/metrics.ts");
  return new Metrics({ prisma, feed, pool });
}

/** Lets the API and, where there are any, the metrics be asked for: both, or neither. */
async function listenToBoth(api: Server, config: Config, metrics: Metrics | undefined, log: Logger) {
  const metricsServer = metrics && config.metrics && (await serveMetrics(metrics, config.metrics, log));
  try {
    return { origin: await listen(api, config, "PORT"), metricsServer };
  } catch (error) {
    metricsServer?.close();
    throw error;
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
  return redisTransport(redisUrl, await hintChannelOf(prisma));
}

/** Where rates are counted: by all servers of the database together where there is Redis, else by each. */
async function rateStores({ redisUrl }: Config, prisma: PrismaClient, log: Logger): Promise<RateStores> {
  if (redisUrl === undefined) return IN_MEMORY;
  const { redisStores } = await import("./rates/redis-store.ts");
  return redisStores(redisUrl, await hintChannelOf(prisma), (isConnected, err) =>
    isConnected
      ? log.info("rates are counted in Redis, together with other servers")
      : log.warn({ err }, "no connection to Redis: this server counts rates by itself"),
  );
}

/** The id that all servers of a database know it by. */
async function hintChannelOf(prisma: PrismaClient): Promise<string> {
  const { hintChannel } = await within(NO_WORKSPACE, () =>
    prisma.eventLog.findFirstOrThrow({ select: { hintChannel: true } }),
  );
  return hintChannel;
}
