import type { Logger } from "pino";
import type { EngineContext } from "./engine.ts";
import { deleteEndedSessions } from "./identity/sessions.ts";
import { resumeBulkActions } from "./jobs/bulk/shares.ts";
import type { LogContinuity } from "./live/continuity.ts";
import { MAX_LAG_MS, watchLag } from "./live/lag.ts";
import { deleteOldOutput } from "./output/delete-old.ts";
import { failUnansweredJobs } from "./review/user-input-timeout.ts";
import { wakeParents } from "./runs/children.ts";
import { recordProgress } from "./runs/record-progress.ts";
import { recoverStalledRuns } from "./runs/recover.ts";
import { aggregateTotals } from "./totals/aggregate.ts";

/** The maintenance tasks of a server (docs/operating.md). Several servers may run each of them at the same time. */

/** Milliseconds between two aggregations of the totals. Every read of totals must add the events since the last aggregation. */
const AGGREGATION_INTERVAL_MS = 1_000;
/** Milliseconds between two looks whether the log goes on where it was; new connections and the feed look, too. */
const CONTINUITY_CHECK_INTERVAL_MS = 1_000;
/**
 * Milliseconds between two looks for jobs that wait no more: for children that have ended, of which a hint was lost, or for an answer
 * until a time; and for progress that may be a version by now.
 */
const WAITS_INTERVAL_MS = 500;
/** Milliseconds between two checks whether an open transaction holds the feed back. */
const LAG_CHECK_INTERVAL_MS = 5_000;
/** Milliseconds between two deletions of the sessions that have ended: nobody can use those that are there still. */
const SESSIONS_INTERVAL_MS = 60_000;
/** Milliseconds between two deletions of partial output: it is there for an hour, and up to so much longer. */
const OUTPUT_INTERVAL_MS = 60_000;
/** Milliseconds between two looks for unfinished bulk actions that no server is processing. */
const BULK_ACTIONS_INTERVAL_MS = 1_000;
/**
 * Seconds without progress after which maintenance resumes a bulk action: before that, another server is probably processing it. A
 * batch usually takes less.
 */
const BULK_ACTION_IDLE_SECONDS = 1;

/** The running maintenance tasks of a server. */
export interface MaintenanceTasks {
  /** The state of the recovery at this moment. */
  readonly health: MaintenanceHealth;
  /** Starts no task again; resolves when the running ones have ended, each after its current batch. */
  stop(): Promise<void>;
}

/** The state of the recovery of lost leases, as /health shows it. */
export interface MaintenanceHealth {
  /** Milliseconds since a recovery of lost leases last succeeded, or since the start of the server. */
  readonly lastMsAgo: number;
  /** Whether the next one should have succeeded long ago. */
  readonly isLate: boolean;
}

/**
 * Recovers runs whose lease has passed before the first request, so that no client sees what a crash left behind (section 6). Bulk
 * actions may take minutes: maintenance goes on with them.
 * @throws the database's error if runs cannot be recovered.
 */
export async function recoverAtStart(engine: EngineContext): Promise<void> {
  await recoverStalledRuns(engine);
}

/**
 * Starts all maintenance tasks; their failures are logged, and the next run tries again.
 * @param recoveryIntervalMs milliseconds from the end of one recovery to the start of the next.
 */
export function startMaintenance(
  engine: EngineContext,
  continuity: LogContinuity,
  recoveryIntervalMs: number,
  log: Logger,
): MaintenanceTasks {
  const stopping = new AbortController();
  const { signal } = stopping;
  let recoveredAt = performance.now();
  const recovered = () => {
    recoveredAt = performance.now();
  };
  const maintenance = [
    repeat(recoveryIntervalMs, () => recover(engine, log, signal, recovered)),
    repeat(BULK_ACTIONS_INTERVAL_MS, () => resumeUnfinishedActions(engine, log, signal)),
    repeat(WAITS_INTERVAL_MS, () => wakeWaitingParents(engine, log, signal)),
    repeat(WAITS_INTERVAL_MS, () => failUnanswered(engine, log, signal)),
    repeat(WAITS_INTERVAL_MS, () => recordWaitingProgress(engine, log, signal)),
    repeat(AGGREGATION_INTERVAL_MS, () => aggregate(engine, log, signal)),
    repeat(CONTINUITY_CHECK_INTERVAL_MS, () => checkContinuity(engine, continuity, log)),
    repeat(SESSIONS_INTERVAL_MS, () => deleteSessions(engine, log)),
    repeat(OUTPUT_INTERVAL_MS, () => deleteOutput(engine, log, signal)),
    repeat(
      LAG_CHECK_INTERVAL_MS,
      watchLag(engine.prisma, MAX_LAG_MS, (isLate, lag) =>
        isLate
          ? log.warn(lag, "an open transaction holds the live feed back")
          : log.info(lag, "the live feed is no longer held back"),
      ),
    ),
  ];
  const stop = async () => {
    stopping.abort();
    await Promise.all(maintenance.map((stopTask) => stopTask()));
  };
  return {
    get health() {
      const lastMsAgo = Math.round(performance.now() - recoveredAt);
      return { lastMsAgo, isLate: lastMsAgo > recoveryIntervalMs + MAX_LAG_MS };
    },
    stop,
  };
}

async function recover(
  engine: EngineContext,
  log: Logger,
  signal: AbortSignal,
  onRecovered: () => void,
): Promise<void> {
  try {
    const recovered = await recoverStalledRuns(engine, signal);
    onRecovered();
    if (recovered > 0) log.warn({ recovered }, "runs whose lease ran out were recovered");
  } catch (err) {
    if (!engine.availability?.explains(err))
      log.error({ err }, "lost leases could not be recovered; the next recovery tries again");
  }
}

async function wakeWaitingParents(engine: EngineContext, log: Logger, signal: AbortSignal): Promise<void> {
  try {
    await wakeParents(engine, undefined, signal);
  } catch (err) {
    if (!engine.availability?.explains(err))
      log.warn({ err }, "jobs that wait for their children could not be looked at; the next look tries again");
  }
}

async function failUnanswered(engine: EngineContext, log: Logger, signal: AbortSignal): Promise<void> {
  try {
    await failUnansweredJobs(engine, signal);
  } catch (err) {
    if (!engine.availability?.explains(err))
      log.warn({ err }, "jobs whose question nobody answered in time could not be failed; the next look tries again");
  }
}

async function recordWaitingProgress(engine: EngineContext, log: Logger, signal: AbortSignal): Promise<void> {
  try {
    await recordProgress(engine, signal);
  } catch (err) {
    if (!engine.availability?.explains(err))
      log.warn({ err }, "progress of jobs could not be recorded; the next look tries again");
  }
}

async function aggregate({ prisma, availability }: EngineContext, log: Logger, signal: AbortSignal): Promise<void> {
  try {
    await aggregateTotals(prisma, undefined, signal);
  } catch (err) {
    if (availability?.explains(err)) return;
    log.warn(
      { err },
      "totals could not be aggregated, which makes reading them slow; the next aggregation tries again",
    );
  }
}

async function checkContinuity({ availability }: EngineContext, continuity: LogContinuity, log: Logger): Promise<void> {
  try {
    await continuity.check();
  } catch (err) {
    if (!availability?.explains(err))
      log.warn({ err }, "it could not be checked whether the event log goes on; the next check tries again");
  }
}

async function deleteSessions({ prisma, availability }: EngineContext, log: Logger): Promise<void> {
  try {
    await deleteEndedSessions(prisma);
  } catch (err) {
    if (!availability?.explains(err))
      log.warn({ err }, "sessions that have ended could not be deleted; the next deletion tries again");
  }
}

async function deleteOutput({ prisma, availability }: EngineContext, log: Logger, signal: AbortSignal): Promise<void> {
  try {
    await deleteOldOutput(prisma, signal);
  } catch (err) {
    if (!availability?.explains(err))
      log.warn({ err }, "old partial output could not be deleted; the next deletion tries again");
  }
}

/** Never rejects: an action that cannot be finished now must not stop the server, and the next look tries again. */
async function resumeUnfinishedActions(engine: EngineContext, log: Logger, signal: AbortSignal): Promise<void> {
  try {
    const finished = await resumeBulkActions(engine, BULK_ACTION_IDLE_SECONDS, signal);
    if (finished > 0) log.info({ finished }, "bulk actions were finished that their requests had not");
  } catch (err) {
    if (!engine.availability?.explains(err))
      log.error({ err }, "a bulk action could not be finished; the next look tries again");
  }
}

/**
 * Runs `task` again and again, each time `intervalMs` after the last run ended, so that runs never overlap.
 * @returns a function that stops this; its promise resolves when the current run has ended.
 */
function repeat(intervalMs: number, task: () => Promise<void>): () => Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let running = Promise.resolve();
  const schedule = () => {
    timer = setTimeout(() => {
      running = task().then(() => {
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
