import { availableParallelism } from "node:os";
import { Piscina } from "piscina";
import type * as tasks from "./tasks.ts";
import { type Client, Turns } from "./turns.ts";

/**
 * The worker threads of this process, for what takes a processor longer than other requests should wait: scans and hashes of
 * large content. They are started when they are first needed, and end when they have had nothing to do for a while.
 */

/** As many as the processor has cores beside the one that answers requests. */
const THREADS = Math.max(availableParallelism() - 1, 1);
const IDLE_MS = 60_000;
/** A task takes a few seconds at most, and a guard ends its own sooner. */
const MAX_TASK_MS = 30_000;
/** Of one thread: what a scan of the largest request needs, several times. A thread that needs more ends, and its task fails. */
const MAX_HEAP_MB = 512;
/** Eight of the largest requests of one client, 64 of all. */
const WAITING_CHARACTERS = { perClient: 40_000_000, total: 320_000_000 };

/** Content of fewer characters is dealt with at once: it takes at most a few milliseconds, and a turn may take longer to come. */
export const LARGE_CHARACTERS = 16_000;

/** As it is compiled, or through a loader, where TypeScript runs as it stands. */
const TASKS = import.meta.url.endsWith(".ts") ? "./entry.mjs" : "./tasks.js";

const turns = new Turns(THREADS, WAITING_CHARACTERS);

let pool: Piscina | undefined;

function startedPool(): Piscina {
  if (pool) return pool;
  pool = new Piscina({
    filename: new URL(TASKS, import.meta.url).href,
    // Not those of the process, some of which a thread may not have.
    execArgv: [],
    maxThreads: THREADS,
    minThreads: 0,
    idleTimeout: IDLE_MS,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
  // Of a thread that broke without a task; without a listener it would end the process. A task has its own error, or its time limit.
  pool.on("error", () => undefined);
  return pool;
}

/**
 * Does work that needs a thread when its client has its turn. The work calls `inThread`, at most once at a time.
 * @param size the characters that the work keeps in memory while it waits.
 * @throws TryAgainError where too much waits already; the work was not begun.
 */
export function inTurn<T>(client: Client, size: number, work: () => Promise<T>): Promise<T> {
  return turns.take(client, size, work);
}

/**
 * Does a task in a thread. To be called within `inTurn`.
 * @param signal when aborted, the thread is ended in the middle of its task.
 * @throws Error of the task, or of the thread.
 */
export function inThread<Name extends keyof typeof tasks>(
  name: Name,
  json: string,
  signal?: AbortSignal,
): Promise<ReturnType<(typeof tasks)[Name]>> {
  const limit = AbortSignal.timeout(MAX_TASK_MS);
  return startedPool().run(json, { name, signal: signal ? AbortSignal.any([signal, limit]) : limit });
}
