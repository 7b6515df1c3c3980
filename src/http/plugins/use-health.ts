import { setTimeout as sleep } from "node:timers/promises";
import type { Plugin } from "graphql-yoga";
import type { PrismaClient } from "../../db/generated/client/client.ts";
import type { LogContinuity } from "../../live/continuity.ts";
import type { Feed } from "../../live/feed.ts";
import { type Lag, MAX_LAG_MS, readLag } from "../../live/lag.ts";
import type { CommitNotifier, NotifierHealth } from "../../live/notifier.ts";
import type { MaintenanceHealth, MaintenanceTasks } from "../../maintenance.ts";

const ENDPOINT = "/health";
/** Milliseconds that the database may take to answer. */
const DATABASE_TIMEOUT_MS = 2000;

/** The parts of the server that /health reports on. */
export interface HealthSources {
  readonly prisma: PrismaClient;
  readonly feed: Feed;
  readonly notifier: CommitNotifier;
  readonly maintenance: Pick<MaintenanceTasks, "health">;
}

/** The JSON of GET /health. */
interface Health {
  /**
   * `degraded`: requests are served, but live changes or the recovery of lost leases may be late. `unavailable`: the
   * database does not answer.
   */
  readonly status: "ok" | "degraded" | "unavailable";
  readonly database: { readonly answers: boolean; readonly milliseconds: number };
  readonly feed: { readonly subscribers: number; readonly lastReadMsAgo: number | null } & Partial<Lag>;
  /** The epoch of the event log, when it began, and why (section 10). */
  readonly log: LogContinuity["health"];
  readonly sweeps: Pick<MaintenanceHealth, "lastMsAgo">;
  readonly signals: NotifierHealth;
}

/** Serves GET /health for operators and load balancers: 200 if requests can be served, otherwise 503. */
export function useHealth(sources: HealthSources): Plugin {
  return {
    async onRequest({ request, url, fetchAPI, endResponse }) {
      if (url.pathname !== ENDPOINT || (request.method !== "GET" && request.method !== "HEAD")) return;
      const health = await readHealth(sources);
      const status = health.status === "unavailable" ? 503 : 200;
      endResponse(fetchAPI.Response.json(health, { status, headers: { "cache-control": "no-store" } }));
    },
  };
}

async function readHealth({ prisma, feed, notifier, maintenance }: HealthSources): Promise<Health> {
  const startedAt = performance.now();
  const lag = await Promise.race([
    readLag(prisma).catch(() => undefined),
    sleep(DATABASE_TIMEOUT_MS, undefined, { ref: false }),
  ]);
  const database = { answers: lag !== undefined, milliseconds: Math.round(performance.now() - startedAt) };
  const { subscribers, lastReadMsAgo } = feed;
  const { lastMsAgo, isLate: isRecoveryLate } = maintenance.health;
  // Both can make the feed late: an open transaction, which shows in `behindMs`, and a read that hangs on a broken
  // connection, which shows only in `lastReadMsAgo`.
  const isFeedCurrent = Math.max(lag?.behindMs ?? 0, lastReadMsAgo ?? 0) <= MAX_LAG_MS;
  const isHealthy = notifier.health.connected && isFeedCurrent && !isRecoveryLate;
  return {
    status: lag ? (isHealthy ? "ok" : "degraded") : "unavailable",
    database,
    feed: { subscribers, lastReadMsAgo, ...lag },
    log: feed.continuity.health,
    // These names are public, because monitors read them, and so differ from the names in the code.
    sweeps: { lastMsAgo },
    signals: notifier.health,
  };
}
