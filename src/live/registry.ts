import type { LogPosition } from "../log/cursor.ts";
import { type FeedItem, isInScope, type Subscriber } from "./subscriber.ts";

/** Everybody who listens, found by what they listen to: an event costs nothing for those whom it does not concern. */
export class SubscriberRegistry {
  readonly #subscribers = new Set<Subscriber>();
  /** By job, or by workspace for those that follow all of its jobs. */
  readonly #byKey = new Map<string, Set<Subscriber>>();

  get size(): number {
    return this.#subscribers.size;
  }

  add(subscriber: Subscriber): void {
    this.#subscribers.add(subscriber);
    const key = keyOf(subscriber);
    const others = this.#byKey.get(key);
    if (others) others.add(subscriber);
    else this.#byKey.set(key, new Set([subscriber]));
  }

  remove(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
    const key = keyOf(subscriber);
    const others = this.#byKey.get(key);
    others?.delete(subscriber);
    if (others?.size === 0) this.#byKey.delete(key);
  }

  /** Offers a batch to everybody whom it concerns. @param from where the batch begins. */
  publish(items: readonly FeedItem[], from: LogPosition): void {
    for (const item of items) {
      for (const key of [item.event.jobId, item.event.workspaceId]) {
        for (const subscriber of this.#byKey.get(key) ?? []) {
          if (isInScope(subscriber.scope, item)) subscriber.offer(item, from);
        }
      }
    }
  }

  /** Takes from everybody what has waited for too long. */
  evictOlderThan(minBatchNumber: number): void {
    for (const subscriber of this.#subscribers) subscriber.evictOlderThan(minBatchNumber);
  }

  end(): void {
    for (const subscriber of this.#subscribers) subscriber.end();
  }
}

function keyOf({ scope: { jobId, workspaceId } }: Subscriber): string {
  return jobId ?? workspaceId;
}
