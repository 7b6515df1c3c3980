import { CursorExpiredError } from "../../../src/errors.ts";
import type { Feed } from "../../../src/live/feed.ts";
import type { JobsScope, Subscriber } from "../../../src/live/subscriber.ts";
import { encodeCursor, LOG_START, type LogPosition } from "../../../src/log/cursor.ts";
import { label } from "./log.ts";

/** A client that follows a job or all jobs, and keeps the cursor of the last event that it got. */
export class Client {
  readonly scope: JobsScope;
  /** The position after which its subscription began, and the events that it has got since. */
  start: LogPosition = LOG_START;
  got: string[] = [];
  cursor = "";
  isExpired = false;
  /** An error other than CURSOR_EXPIRED. */
  failure: unknown;
  #following: Promise<void> = Promise.resolve();

  constructor(scope: JobsScope) {
    this.scope = scope;
  }

  /** Subscribes at a server. @param after a cursor to go on from; left out: from now on. */
  async follow(feed: Feed, after?: string): Promise<void> {
    try {
      // In the order in which the API's subscriptions do it.
      const from = after === undefined ? undefined : await feed.cursors.resolve(after, this.scope.jobId);
      const epoch = await feed.epoch();
      const subscriber = await feed.subscribe(this.scope, from);
      this.start = subscriber.position;
      this.got = [];
      this.cursor = encodeCursor(epoch, this.start);
      this.#following = this.#read(subscriber, epoch).catch((error: unknown) => this.#fail(error));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Resolves when the subscription has ended. */
  ended(): Promise<void> {
    return this.#following;
  }

  async #read(subscriber: Subscriber, epoch: string): Promise<void> {
    for await (const { event } of subscriber) {
      this.got.push(label(event));
      this.cursor = encodeCursor(epoch, event);
    }
  }

  #fail(error: unknown): void {
    if (error instanceof CursorExpiredError) this.isExpired = true;
    else this.failure = error;
  }
}
