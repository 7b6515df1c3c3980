import { setTimeout as sleep } from "node:timers/promises";
import type { Plugin } from "graphql-yoga";
import type { PrismaClient } from "../../db/generated/client/client.ts";
import type { Feed } from "../../live/feed.ts";
import { type Lag, MAX_LAG_MS, readLag } from "../../live/lag.ts";
import type { CommitNotifier, NotifierHealth } from "../../live/notifier.ts";
import type { MaintenanceHealth, MaintenanceTasks } from "../../maintenance.ts";

const ENDPOINT = "/health";
/** Milliseconds that the database may take to answer. */
const DATABASE_TIMEOUT_MS = 2000;

/** What there is to look at. */
export interface HealthSources {
  readonly prisma: PrismaClient;
  readonly feed: Feed;
  readonly notifier: CommitNotifier;
  readonly maintenance: Pick<MaintenanceTasks, "health">;
}

interface Health {
  /**
   * Degraded: everything is served, but live changes come late, or lost leases are found late. Unavailable: the
   * database does not answer.
   */
  readonly status: "ok" | "degraded" | "unavailable";
  readonly database: { readonly answers: boolean; readonly milliseconds: number };
  readonly feed: { readonly subscribers: number; readonly lastReadMsAgo: number | null } & Partial<Lag>;
  readonly sweeps: Pick<MaintenanceHealth, "lastMsAgo">;
  readonly signals: NotifierHealth;
}

/** GET /health: for operators, and for load balancers: 200 where requests can be served, else 503. */
export function useHealth(vitals: HealthSources): Plugin {
  return {
    async onRequest({ request, url, fetchAPI, endResponse }) {
      if (url.pathname !== ENDPOINT || (request.method !== "GET" && request.method !== "HEAD")) return;
      const health = await readHealth(vitals);
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
  // A read that hangs on its connection holds the feed back as an open transaction does, and nobody sees it there.
  const isFeedCurrent = Math.max(lag?.behindMs ?? 0, lastReadMsAgo ?? 0) <= MAX_LAG_MS;
  const isHealthy = notifier.health.connected && isFeedCurrent && !isRecoveryLate;
  return {
    status: lag ? (isHealthy ? "ok" : "degraded") : "unavailable",
    database,
    feed: { subscribers, lastReadMsAgo, ...lag },
    // Public names, older than those in the code: monitors read them.
    sweeps: { lastMsAgo },
    signals: notifier.health,
  };
}
