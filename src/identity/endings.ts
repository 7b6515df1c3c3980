import type { AppError } from "../errors.ts";
import { UNAUTHENTICATED } from "./authentication.ts";
import type { Principal } from "./principal.ts";

type Listener = (reason: AppError) => void;

interface Life {
  /** When it ends by itself, as `Date.now` counts; undefined where only `end` ends it. */
  readonly endsAt: number | undefined;
  readonly listeners: Set<Listener>;
  reason: AppError | undefined;
}

/** The longest that a timer of Node's waits, in milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Tells what works for a principal that the principal has ended: streams, sockets, claims that wait. */
export class Endings {
  readonly #lives = new WeakMap<Principal, Life>();

  /** @param endsAt when the principal ends by itself, as `Date.now` counts; left out where only `end` ends it. */
  begin(principal: Principal, endsAt?: number): void {
    this.#lives.set(principal, { endsAt, listeners: new Set(), reason: undefined });
  }

  /** Ends a principal, and tells why. */
  end(principal: Principal, reason: AppError): void {
    const life = this.#lives.get(principal);
    if (!life) return;
    life.reason = reason;
    for (const listener of life.listeners) listener(reason);
    life.listeners.clear();
  }

  /** Whether anything waits for the end of a principal. */
  isAwaited(principal: Principal): boolean {
    return (this.#lives.get(principal)?.listeners.size ?? 0) > 0;
  }

  /**
   * Registers a callback for the end of a principal. It is called at once where that has been; never for a principal that does not
   * end, such as the operator.
   * @returns a function that removes the callback.
   */
  onEnd(principal: Principal, listener: Listener): () => void {
    const life = this.#lives.get(principal);
    if (!life) return () => undefined;
    if (life.reason) {
      listener(life.reason);
      return () => undefined;
    }
    // Of its own, because one function may be registered for several streams.
    const own: Listener = (reason) => listener(reason);
    life.listeners.add(own);
    const stopTimer = life.endsAt === undefined ? undefined : callAt(life.endsAt, () => own(UNAUTHENTICATED));
    return () => {
      stopTimer?.();
      life.listeners.delete(own);
    };
  }
}

/** Calls back at a time, however far that is. @returns a function that stops this. */
function callAt(time: number, callback: () => void): () => void {
  let timer: NodeJS.Timeout;
  const wait = () => {
    const ms = time - Date.now();
    timer = ms > MAX_TIMER_MS ? setTimeout(wait, MAX_TIMER_MS) : setTimeout(callback, Math.max(0, ms));
    timer.unref();
  };
  wait();
  return () => clearTimeout(timer);
}
