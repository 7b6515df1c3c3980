import type { Logger } from "pino";
import type { Engine } from "./engine.ts";
import { resumeBulkActions } from "./jobs/bulk/action.ts";
import { MAX_LAG_MS, watchLag } from "./live/lag.ts";
import { recoverStalledRuns } from "./runs/recover.ts";
import { foldTotals } from "./totals/fold.ts";

/** What a server does again and again beside its requests. Several servers may do each of these at once. */

/** How often totals are folded: what came since is added by each who reads them. */
const FOLD_INTERVAL_MS = 1_000;
/** How often somebody looks whether an open transaction holds the feed back. */
const LAG_CHECK_INTERVAL_MS = 5_000;
/** How long a bulk action must have made no progress before a sweep goes on with it: its own server may be at it. */
const BULK_ACTION_IDLE_SECONDS = 10;
/** The same for a start, which finds what a crash left behind: a server that lives does a batch in less. */
const BULK_ACTION_IDLE_AT_START_SECONDS = 1;

export interface MaintenanceTasks {
  readonly health: MaintenanceHealth;
  /** No sweep begins any more; resolves when those under way have ended, each after the batch that it is at. */
  stop(): Promise<void>;
}

export interface MaintenanceHealth {
  /** Milliseconds since a sweep for lost leases last came to its end, or since the start. */
  readonly lastMsAgo: number;
  /** Whether the next one should have ended long ago. */
  readonly isLate: boolean;
}

/** Settles what a crash left behind, before the first request: nobody sees it then (section 6). */
export async function recoverAtStart(engine: Engine, log: Logger): Promise<void> {
  await recoverStalledRuns(engine);
  await resumeUnfinishedActions(engine, log, BULK_ACTION_IDLE_AT_START_SECONDS);
}

export function startMaintenance(engine: Engine, recoveryIntervalMs: number, log: Logger): MaintenanceTasks {
  const stopping = new AbortController();
  const { signal } = stopping;
  let recoveredAt = performance.now();
  const recovered = () => {
    recoveredAt = performance.now();
  };
  const maintenance = [
    repeat(recoveryIntervalMs, () => recover(engine, log, signal, recovered)),
    repeat(FOLD_INTERVAL_MS, () => fold(engine, log, signal)),
    repeat(
      LAG_CHECK_INTERVAL_MS,
      watchLag(engine.prisma, MAX_LAG_MS, (isLate, lag) =>
        isLate
          ? log.warn(lag, "a transaction that stays open holds the live feed back")
          : log.info(lag, "the live feed is no longer held back"),
      ),
    ),
  ];
  const stop = async () => {
    stopping.abort();
    await Promise.all(maintenance.map((stopOne) => stopOne()));
  };
  return {
    get health() {
      const lastMsAgo = Math.round(performance.now() - recoveredAt);
      return { lastMsAgo, isLate: lastMsAgo > recoveryIntervalMs + MAX_LAG_MS };
    },
    stop,
  };
}

async function recover(engine: Engine, log: Logger, signal: AbortSignal, onRecovered: () => void): Promise<void> {
  try {
    const recovered = await recoverStalledRuns(engine, signal);
    onRecovered();
    if (recovered > 0) log.warn({ recovered }, "runs whose lease ran out were recovered");
  } catch (err) {
    log.error({ err }, "a sweep for lost leases failed; the next one tries again");
  }
  await resumeUnfinishedActions(engine, log, BULK_ACTION_IDLE_SECONDS, signal);
}

async function fold({ prisma }: Engine, log: Logger, signal: AbortSignal): Promise<void> {
  try {
    await foldTotals(prisma, undefined, signal);
  } catch (err) {
    log.warn({ err }, "totals could not be folded, which makes reading them slow; the next fold tries again");
  }
}

/** An action that cannot be finished now is left to the next sweep: it keeps the server from nothing else. */
async function resumeUnfinishedActions(
  engine: Engine,
  log: Logger,
  idleSeconds: number,
  signal?: AbortSignal,
): Promise<void> {
  try {
    const finished = await resumeBulkActions(engine, idleSeconds, signal);
    if (finished > 0) log.warn({ finished }, "bulk actions that were left half way were finished");
  } catch (err) {
    log.error({ err }, "a bulk action could not be finished; the next sweep tries again");
  }
}

/**
 * Runs `sweep` again and again, each time a while after it ended: two never overlap in one process.
 * @returns what ends that; it resolves when the one under way has ended.
 */
function repeat(intervalMs: number, sweep: () => Promise<void>): () => Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let running = Promise.resolve();
  const schedule = () => {
    timer = setTimeout(() => {
      running = sweep().then(() => {
        if (timer) schedule();
      });
    }, intervalMs);
  };
  schedule();
  return () => {
    clearTimeout(timer);
    timer = undefined;
    return running;
  };
}
