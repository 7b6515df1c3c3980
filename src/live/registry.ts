import type { LogPosition } from "../log/cursor.ts";
import type { WorkerRef } from "../log/stop.ts";
import { type FeedItem, isInScope, type Subscriber } from "./subscriber.ts";

/** All live subscribers, indexed by the job, workspace or worker they follow, so that an event costs nothing for the others. */
export class SubscriberRegistry {
  readonly #subscribers = new Set<Subscriber>();
  /** By job id; by workspace id for subscribers that follow all jobs of a workspace; by worker for those that follow its stops. */
  readonly #byKey = new Map<string, Set<Subscriber>>();

  /** The number of subscribers. */
  get size(): number {
    return this.#subscribers.size;
  }

  add(subscriber: Subscriber): void {
    this.#subscribers.add(subscriber);
    const key = keyOf(subscriber);
    const withSameKey = this.#byKey.get(key);
    if (withSameKey) withSameKey.add(subscriber);
    else this.#byKey.set(key, new Set([subscriber]));
  }

  remove(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
    const key = keyOf(subscriber);
    const withSameKey = this.#byKey.get(key);
    withSameKey?.delete(subscriber);
    if (withSameKey?.size === 0) this.#byKey.delete(key);
  }

  /**
   * Offers each item of a batch to the subscribers whose scope it is in.
   * @param from the position after which the batch was read.
   */
  publish(items: readonly FeedItem[], from: LogPosition): void {
    for (const item of items) {
      const { event, stops } = item;
      for (const key of [event.jobId, event.workspaceId, ...(stops ? [keyOfWorker(stops)] : [])]) {
        for (const subscriber of this.#byKey.get(key) ?? []) {
          if (isInScope(subscriber.scope, item)) subscriber.offer(item, from);
        }
      }
    }
  }

  /**
   * Evicts waiting items of old batches from the queue of every subscriber.
   * @param minEventsReadBefore batches whose `eventsReadBefore` is smaller are old.
   */
  evictOlderThan(minEventsReadBefore: number): void {
    for (const subscriber of this.#subscribers) subscriber.evictOlderThan(minEventsReadBefore);
  }

  /** Ends every subscriber. @param failure what each of them is told; left out, it ends as complete. */
  end(failure?: Error): void {
    for (const subscriber of this.#subscribers) subscriber.end(failure);
  }
}

function keyOf({ scope }: Subscriber): string {
  return scope.worker ? keyOfWorker(scope.worker) : (scope.jobId ?? scope.workspaceId);
}

/** With a character that is in no id, so that no worker's name is the key of a job. */
function keyOfWorker({ workerId, principalId }: WorkerRef): string {
  return `${principalId}\n${workerId}`;
}
