import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type Answer, answer, type Order } from "./orders.ts";

const SUBSCRIBERS = fileURLToPath(new URL("./subscribers.ts", import.meta.url));
/** Milliseconds that an event may take to everybody, and thousands of subscribers to come. */
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

  /** Another subscriber of a server for each of the jobs; settles when they are subscribed. */
  async open(url: string, query: string, jobIds: readonly string[]): Promise<void> {
    this.#send({ kind: "open", url, query, jobIds: [...jobIds] });
    await this.#next();
  }

  /**
   * Lets `cause` make events that reach so many subscribers of a server, each of them once.
   * @returns milliseconds from the moment that `cause` names to the arrival at each of them.
   */
  async latencies(url: string, count: number, cause: () => Promise<number>): Promise<number[]> {
    this.#send({ kind: "collect", url, count });
    await this.#next();
    const [at, told] = await Promise.all([cause(), this.#next()]);
    if (!("times" in told)) throw new Error("The subscribers answered something else.");
    return told.times.map((time) => time - at);
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
