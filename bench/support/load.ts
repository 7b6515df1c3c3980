import { Agent, request } from "node:http";
import { quantile } from "./figures.ts";

/** The operation that a client sends again and again: one document, with variables that may differ each time. */
export interface Operation {
  readonly query: string;
  readonly variables: () => object;
  /** A text that every correct answer contains: a refusal must not be counted. */
  readonly answer: string;
  /** The status of every correct answer. Default: 200. */
  readonly status?: number;
  /** Further headers, such as a credential. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Load {
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p95: number;
}

const CONNECTIONS = 16;

/**
 * Posts the operation for `milliseconds` over 16 keep-alive connections. Each sends its next request when it has
 * received the whole answer to the last.
 * @throws Error on any answer without the expected status and text.
 */
export async function load(url: string, operation: Operation, milliseconds: number): Promise<Load> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const latencies: number[] = [];
  const start = performance.now();
  const connection = async () => {
    for (let sentAt = start; sentAt - start < milliseconds; ) {
      await post(url, operation, agent);
      const now = performance.now();
      latencies.push(now - sentAt);
      sentAt = now;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  const seconds = (performance.now() - start) / 1000;
  agent.destroy();
  return { perSecond: latencies.length / seconds, p50: quantile(latencies, 0.5), p95: quantile(latencies, 0.95) };
}

/** Sends one request. @returns the body of the answer. */
export function post(url: string, operation: Operation, agent: Agent): Promise<string> {
  const body = JSON.stringify({ query: operation.query, variables: operation.variables() });
  return new Promise((resolve, reject) => {
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      ...operation.headers,
    };
    const sent = request(url, { method: "POST", agent, headers }, (response) => {
      let answer = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        answer += part;
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === (operation.status ?? 200) && answer.includes(operation.answer)) resolve(answer);
        else reject(new Error(`${url} answered ${response.statusCode}: ${answer.slice(0, 500)}`));
      });
    });
    // A server may close an idle connection at the moment when the next request is sent.
    sent.on("error", (error) => (sent.reusedSocket ? resolve(post(url, operation, agent)) : reject(error)));
    sent.end(body);
  });
}
