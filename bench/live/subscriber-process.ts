import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type Answer, answer, type Order } from "./orders.ts";

const SUBSCRIBERS = fileURLToPath(new URL("./subscribers.ts", import.meta.url));
/** The time limit, in milliseconds, for an event to reach all subscribers, and for thousands of them to subscribe. */
const PATIENCE = 120_000;

/** The process of the subscribers. */
export class SubscriberProcess {
  readonly #child: ChildProcess = fork(SUBSCRIBERS, [], { execArgv: ["--import", "tsx"] });
  readonly #unread: Answer[] = [];
  #arrived: () => void = () => undefined;

  constructor() {
    this.#child.on("message", (message) => {
      this.#unread.push(answer.parse(message));
      this.#arrived();
    });
  }

  /**
   * Adds a subscriber of a server for each of the variables; fulfilled when all are subscribed.
   * @param event a text that every event has, and no snapshot.
   */
  async open(
    url: string,
    query: string,
    variables: readonly Record<string, unknown>[],
    event = '"kind":"EVENT"',
  ): Promise<void> {
    this.#send({ kind: "open", url, query, variables: [...variables], event });
    await this.#next();
  }

  /**
   * Measures events that `cause` makes and that reach `count` subscribers of a server, each once.
   * @returns for each subscriber the milliseconds from the time that `cause` returns to the arrival.
   */
  async latencies(url: string, count: number, cause: () => Promise<number>): Promise<number[]> {
    this.#send({ kind: "collect", url, count });
    await this.#next();
    const [at, answer] = await Promise.all([cause(), this.#next()]);
    if (!("times" in answer)) throw new Error("The subscribers answered something else.");
    return answer.times.map((time) => time - at);
  }

  async close(url: string): Promise<void> {
    this.#send({ kind: "close", url });
    await this.#next();
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGTERM");
    await once(this.#child, "exit");
  }

  #send(message: Order): void {
    this.#child.send(message);
  }

  async #next(): Promise<Answer> {
    const deadline = performance.now() + PATIENCE;
    while (this.#unread.length === 0) {
      const left = deadline - performance.now();
      if (left <= 0) throw new Error("An event did not reach all of its subscribers.");
      await new Promise<void>((resolve) => {
        const late = setTimeout(resolve, left);
        this.#arrived = () => {
          clearTimeout(late);
          resolve();
        };
      });
    }
    const next = this.#unread.shift();
    if (!next || "failure" in next) throw new Error(`A subscriber failed: ${next?.failure}`);
    return next;
  }
}
