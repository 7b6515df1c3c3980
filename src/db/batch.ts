import { setTimeout as sleep } from "node:timers/promises";

/**
 * Combines calls that arrive at about the same time into one statement or one transaction, because a round trip to the
 * database costs more than the work of one call. Each call gets the answer that it would get alone. The rules:
 *
 * - Calls share a batch only if `keyOf` gives them the same key: they do the same thing with different items, or with the same.
 * - A batched read sees everything that was committed before any of its calls arrived, because it is sent after the last of
 *   them. A call never joins a batch that has been sent.
 * - One bad item never fails the other calls: when a batch fails as a whole, each of its calls runs again alone (`runAlone`).
 *   The exception is an error after which the batch may have been committed (`mayRunAgain` is false): running it again could
 *   apply it twice, so all calls of the batch fail with that error.
 * - A batch has at most `maxCalls` calls; further calls go into the next one. A queue exists only while it has work.
 */
export interface BatchOptions<Call, Answer> {
  /** Calls with equal keys may share a batch. Each key has its own queue. */
  readonly keyOf: (call: Call) => string;
  /** The largest number of calls in one batch. */
  readonly maxCalls: number;
  /**
   * When a batch is sent.
   * - END_OF_TICK: at the end of this tick of the event loop, with all calls that were made in it. For reads.
   * - AFTER_PREVIOUS: at once if no batch of this key is running; otherwise after that one, with all calls that were made
   *   meanwhile. For transactions: the busier the database, the larger the batches.
   */
  readonly send: "END_OF_TICK" | "AFTER_PREVIOUS";
  /**
   * Runs the calls of one batch together. Resolves when the shared statement or transaction is done, to one answer for each
   * call, in the order of `calls`. An answer that is a promise is work that the call still does on its own.
   */
  readonly runTogether: (calls: readonly Call[]) => Promise<readonly (Promise<Answer> | Answer)[]>;
  /** Runs one call alone, after its batch failed. */
  readonly runAlone: (call: Call) => Promise<Answer>;
  /** Whether a batch that failed with this error certainly changed nothing. */
  readonly mayRunAgain: (error: unknown) => boolean;
}

/** How long AFTER_PREVIOUS waits for the running batch at most: that batch may itself be waiting for a lock. */
const MAX_WAIT_MS = 50;

/** @returns a function that makes one call, batched with others where possible. Its promise settles as if the call were alone. */
export function batchCalls<Call, Answer>(options: BatchOptions<Call, Answer>): (call: Call) => Promise<Answer> {
  const queues = new Map<string, Queue<Call, Answer>>();
  return (call) => {
    const key = options.keyOf(call);
    const queue = queues.get(key) ?? new Queue(options, () => queues.delete(key));
    queues.set(key, queue);
    return queue.add(call);
  };
}

interface Entry<Call, Answer> {
  readonly call: Call;
  readonly resolve: (answer: Promise<Answer> | Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** The queue of the calls with one key. */
class Queue<Call, Answer> {
  readonly #options: BatchOptions<Call, Answer>;
  readonly #onIdle: () => void;
  #waiting: Entry<Call, Answer>[] = [];
  /** Resolves when the next batch may be sent. Never rejects. */
  #previous: Promise<unknown> = Promise.resolve();

  constructor(options: BatchOptions<Call, Answer>, onIdle: () => void) {
    this.#options = options;
    this.#onIdle = onIdle;
  }

  add(call: Call): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ call, resolve, reject });
      if (this.#waiting.length === 1) this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#options.send === "END_OF_TICK") setImmediate(() => this.#send());
    else void this.#previous.then(() => this.#send());
  }

  #send(): void {
    const batch = this.#waiting.slice(0, this.#options.maxCalls);
    this.#waiting = this.#waiting.slice(batch.length);
    const done = this.#run(batch);
    if (this.#options.send === "AFTER_PREVIOUS") {
      const previous = Promise.race([done, sleep(MAX_WAIT_MS, undefined, { ref: false })]);
      this.#previous = previous;
      void previous.then(() => {
        if (this.#previous === previous && this.#waiting.length === 0) this.#onIdle();
      });
    }
    if (this.#waiting.length > 0) this.#schedule();
    else if (this.#options.send === "END_OF_TICK") this.#onIdle();
  }

  /** Runs a batch and settles its calls. Resolves when the shared work is done; never rejects. */
  async #run(batch: readonly Entry<Call, Answer>[]): Promise<void> {
    const { runTogether, runAlone, mayRunAgain } = this.#options;
    try {
      const answers = await runTogether(batch.map(({ call }) => call));
      if (answers.length !== batch.length) throw new Error("A batch must return one answer for each of its calls.");
      for (const [index, answer] of answers.entries()) batch[index]?.resolve(answer);
    } catch (error) {
      const canRunAlone = batch.length > 1 && mayRunAgain(error);
      for (const { call, resolve, reject } of batch) {
        if (canRunAlone) resolve(runAlone(call));
        else reject(error);
      }
    }
  }
}
