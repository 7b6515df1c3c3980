/**
 * Subscribers of several servers over server-sent events, each with its own connection. They run in a process of their
 * own, so that their cost does not slow down the servers or the benchmark. Started and controlled by
 * `subscriber-process.ts`.
 */
import { Agent, request } from "node:http";
import { now } from "./clock.ts";
import { type Answer, type Order, order } from "./orders.ts";

/** The number of concurrent requests while subscribers are added. */
const LANES = 32;

/** The subscribers of one server. */
class Group {
  readonly #agent = new Agent({ keepAlive: true });
  #count = 0;
  #times: number[] = [];
  #expectedCount = 0;
  /** What every event's text has. */
  #event = "";
  /** The subscribers that the measured events have reached. */
  #reached = new Set<number>();

  async open({ url, query, variables, event }: Order & { readonly kind: "open" }): Promise<void> {
    this.#event = event;
    const left = variables.map((each) => JSON.stringify({ query, variables: each }));
    const lane = async () => {
      for (let body = left.pop(); body !== undefined; body = left.pop()) await this.#subscribe(url, body);
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  }

  collect(count: number): void {
    this.#times = [];
    this.#reached = new Set();
    this.#expectedCount = count;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Resolves when the answer has begun: by then the server has subscribed. */
  #subscribe(url: string, body: string): Promise<void> {
    const subscriber = this.#count++;
    const headers = {
      accept: "text/event-stream",
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    };
    return new Promise((resolve) => {
      const sent = request(url, { method: "POST", agent: this.#agent, headers }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("error", () => undefined);
        response.on("data", (part: string) => {
          const at = now();
          resolve();
          text += part;
          for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
            this.#got(subscriber, text.slice(0, end), at);
            text = text.slice(end + 2);
          }
        });
      });
      sent.on("error", (error) => tell({ failure: `${error}` }));
      sent.end(body);
    });
  }

  #got(subscriber: number, message: string, at: number): void {
    if (!message.includes("data: ") || message.includes('"kind":"SNAPSHOT"')) return;
    if (!message.includes(this.#event)) return tell({ failure: message });
    // An event that comes twice, or to a subscriber of another job, must not be counted.
    if (this.#reached.has(subscriber)) return tell({ failure: `Twice: ${message}` });
    this.#reached.add(subscriber);
    this.#times.push(at);
    if (this.#times.length === this.#expectedCount) tell({ times: this.#times });
  }
}

const groups = new Map<string, Group>();

process.on("message", (message) => {
  const told = order.parse(message);
  const group = groups.get(told.url) ?? new Group();
  groups.set(told.url, group);
  switch (told.kind) {
    case "open":
      return void group.open(told).then(() => tell({ done: true }));
    case "collect":
      group.collect(told.count);
      return tell({ done: true });
    case "close":
      group.close();
      groups.delete(told.url);
      return tell({ done: true });
  }
});

function tell(answer: Answer): void {
  process.send?.(answer);
}
