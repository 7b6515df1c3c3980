import { Agent, request } from "node:http";
import { quantile } from "./figures.ts";

/** What a client sends, over and over: one document, and variables that may differ each time. */
export interface Operation {
  readonly query: string;
  readonly variables: () => object;
  /** A text that every right answer has in it: a refusal must not count as speed. */
  readonly answer: string;
}

export interface Load {
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p95: number;
}

const CONNECTIONS = 16;

/**
 * Posts the operation for so many milliseconds over 16 connections that are kept, each sending its next request when it
 * has the whole answer to the last.
 * @throws Error on any answer but 200 with the text that a right one has.
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

/** One request; its answer's body. */
export function post(url: string, operation: Operation, agent: Agent): Promise<string> {
  const body = JSON.stringify({ query: operation.query, variables: operation.variables() });
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const sent = request(url, { method: "POST", agent, headers }, (response) => {
      let answer = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        answer += part;
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200 && answer.includes(operation.answer)) resolve(answer);
        else reject(new Error(`${url} answered ${response.statusCode}: ${answer.slice(0, 500)}`));
      });
    });
    // A server may close a connection that it takes for idle just when the next request is on its way.
    sent.on("error", (error) => (sent.reusedSocket ? resolve(post(url, operation, agent)) : reject(error)));
    sent.end(body);
  });
}
