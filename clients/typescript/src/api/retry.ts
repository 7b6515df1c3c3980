import { pause } from "./abort.ts";
import { JobServerError, UnansweredError } from "./errors.ts";

/** The first pause before the same is sent again, and the longest, in milliseconds. Each is twice the one before. */
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 5_000;

/** The refusals after which the same may be sent again, because nothing was kept, or what was kept counts once. */
const TRANSIENT = new Set(["TRY_AGAIN", "INTERNAL_SERVER_ERROR", "RATE_LIMITED"]);

/** Whether the same request may get another answer a little later. */
export function isTransient(error: unknown): boolean {
  return error instanceof UnansweredError || (error instanceof JobServerError && TRANSIENT.has(error.code));
}

/**
 * Does something again and again, with pauses that grow, until it gets an answer that is final. Only for what counts once however often
 * it arrives: a read, or a write with an id of its own.
 * @throws what `attempt` throws, where it is final; the reason of `signal`, once it is aborted.
 */
export async function untilAnswered<T>(attempt: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (!isTransient(error)) throw error;
      await pause(pauseMsAfter(failures, error), signal);
    }
  }
}

/** @returns how long to wait, in milliseconds, before the same is tried again, after so many failures in a row before this one. */
export function pauseMsAfter(failures: number, error: unknown): number {
  const wanted = error instanceof JobServerError ? (error.details.retryAfterMs ?? 0) : 0;
  const ms = Math.min(FIRST_PAUSE_MS * 2 ** failures, MAX_PAUSE_MS);
  // Half of it by chance, so that many clients of a server that comes back do not all come at once.
  return Math.max(wanted, ms * (0.5 + Math.random() / 2));
}
