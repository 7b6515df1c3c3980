import { once } from "node:events";
import { z } from "zod";
import { type Server, startOurs, startPubSub } from "../support/servers.ts";
import type { Writer } from "./writer.ts";

/** What is asked of ours and of its upper bound alike. */
export interface Side {
  readonly name: string;
  readonly url: string;
  /**
   * Makes an event of each of these jobs, at once.
   * @returns the moment from which its way to the subscribers is timed: for ours, its commit had been answered to a
   * writer that is not this server; for pub/sub, right before the server itself calls `publish`.
   */
  change(jobIds: readonly string[]): Promise<number>;
  memory(): Promise<Memory>;
  stop(): Promise<void>;
}

/** Bytes, after garbage collection. */
export interface Memory {
  /** V8's heap and what it holds outside. */
  readonly held: number;
  /** What the operating system has given to the process. */
  readonly rss: number;
}

const MEASURED = ["--expose-gc", "--import", "./bench/live/memory.ts"];

export async function oursOn(databaseUrl: string, writer: Writer): Promise<Side> {
  const server = await startOurs(databaseUrl, MEASURED);
  return { ...sideOf(server), change: (jobIds) => writer.change(jobIds) };
}

export async function pubSub(): Promise<Side> {
  const server = await startPubSub(MEASURED);
  let version = 1;
  const change = async (jobIds: readonly string[]) => {
    version += 1;
    return z.object({ at: z.number() }).parse(await asked(server, { jobIds, version })).at;
  };
  return { ...sideOf(server), change };
}

function sideOf(server: Server): Omit<Side, "change"> {
  const memory = async () => z.object({ held: z.number(), rss: z.number() }).parse(await asked(server, "memory"));
  return { name: server.name, url: server.url, memory, stop: () => server.stop() };
}

/** Sends a message to the server's process. @returns its answer. */
async function asked({ child }: Server, message: object | string): Promise<unknown> {
  const answered = once(child, "message");
  child.send(message);
  return z
    .tuple([z.unknown()])
    .rest(z.unknown())
    .parse(await answered)[0];
}
