import { setTimeout as sleep } from "node:timers/promises";

/**
 * Calls that come together share one statement or one transaction: a round trip to the database costs more than what one
 * call asks for in it. Each call is answered as it would be alone. The rules:
 *
 * - What may share is said by `keyOf`: calls of one key ask the same question about different items (or about the same).
 * - A shared read sees everything that was committed before any of its calls came, since it is sent after the last of them
 *   came. A call never joins a batch that is on its way.
 * - One bad item never fails its neighbours: a batch that fails as a whole is run again, each call alone (`runAlone`). Not
 *   where a commit may have been kept although its answer was lost (`mayRunAgain`): then all of the batch fail with that error.
 * - Bounds: `maxCalls` share a batch; those beyond go with the next. Queues exist only while calls wait in them.
 */
export interface BatchOptions<Call, Answer> {
  /** Calls with equal keys may share; each key has a queue of its own. */
  readonly keyOf: (call: Call) => string;
  /** Calls of one batch, at most. */
  readonly maxCalls: number;
  /**
   * When a batch is sent.
   * - END_OF_TURN: at the end of this turn of the event loop, with all that came in it, from whatever connection. For reads.
   * - AFTER_PREVIOUS: at once where no batch of this key is under way, else with all that came meanwhile. For transactions:
   *   the busier the database, the larger the batches.
   */
  readonly send: "END_OF_TURN" | "AFTER_PREVIOUS";
  /**
   * Runs the calls of one batch together. Resolves, in the order of `calls`, when what they share is done; what a call must
   * still do for itself goes on in its own promise.
   */
  readonly runTogether: (calls: readonly Call[]) => Promise<readonly (Promise<Answer> | Answer)[]>;
  /** Runs one call by itself, where its batch failed. */
  readonly runAlone: (call: Call) => Promise<Answer>;
  /** Whether a batch that failed with this error has done nothing for sure. */
  readonly mayRunAgain: (error: unknown) => boolean;
}

/** Milliseconds after which AFTER_PREVIOUS waits no longer for the batch under way: it may be waiting for a lock. */
const MAX_WAIT_MS = 50;

/** @returns a function that makes a call, together with others where there are any. It rejects as the call alone would. */
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

/** The calls of one key. */
class Queue<Call, Answer> {
  readonly #options: BatchOptions<Call, Answer>;
  readonly #onIdle: () => void;
  #waiting: Entry<Call, Answer>[] = [];
  /** Settles when the next batch may be sent. Never rejects. */
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
    if (this.#options.send === "END_OF_TURN") setImmediate(() => this.#send());
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
    else if (this.#options.send === "END_OF_TURN") this.#onIdle();
  }

  /** Answers the calls of a batch. Resolves when what they share is done; never rejects. */
  async #run(batch: readonly Entry<Call, Answer>[]): Promise<void> {
    const { runTogether, runAlone, mayRunAgain } = this.#options;
    try {
      const answers = await runTogether(batch.map(({ call }) => call));
      if (answers.length !== batch.length) throw new Error("A batch has one answer for each of its calls.");
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
