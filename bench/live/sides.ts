import { once } from "node:events";
import { Agent } from "node:http";
import { z } from "zod";
import { post } from "../support/load.ts";
import { type Server, startOurs, startPubSub } from "../support/servers.ts";
import type { Writer } from "./writer.ts";

/** A server that is measured, and a way to make changes that its subscribers receive. */
export interface Side {
  readonly name: string;
  readonly server: Measured;
  /**
   * Makes an event of each of these jobs at once.
   * @returns the start time of the measurement: for ours, when COMMIT was answered; for pub/sub, right before the first
   *   call of `publish`.
   */
  change(jobIds: readonly string[]): Promise<number>;
}

export interface Measured extends Server {
  memory(): Promise<Memory>;
}

/** Memory in bytes after garbage collection. */
export interface Memory {
  /** V8's heap and its external memory. */
  readonly held: number;
  /** The resident set size of the process. */
  readonly rss: number;
}

/** Loaded into a server that is measured, before its own code. */
export const MEASURED = ["--expose-gc", "--import", "./bench/live/memory.ts"];
const HEARTBEAT = `mutation ($input: HeartbeatWorkflowsInput!) { heartbeatWorkflows(input: $input) {
  ... on HeartbeatWorkflowsPayload { results { directive } } } }`;

/** The answer of `commits.ts`. */
export const moment = z.object({ at: z.number() });
const memory = z.object({ held: z.number(), rss: z.number() });

/** Our server twice: with changes over HTTP, and with changes that another server commits. */
export async function ours(databaseUrl: string, writer: Writer): Promise<[Side, Side]> {
  const server = measured(await startOurs(databaseUrl, [...MEASURED, "--import", "./bench/live/commits.ts"]));
  const agent = new Agent({ keepAlive: true });
  const change = async (jobIds: readonly string[]) => {
    const input = { heartbeats: writer.heartbeats(jobIds) };
    await asked(server, "next commit");
    await post(server.url, { query: HEARTBEAT, variables: () => ({ input }), answer: '"CONTINUE"' }, agent);
    return moment.parse(await asked(server, "commit")).at;
  };
  const byAnother = (jobIds: readonly string[]) => writer.change(jobIds);
  return [
    { name: "ours", server, change },
    { name: "ours, by another server", server, change: byAnother },
  ];
}

export async function pubSub(): Promise<Side> {
  const server = measured(await startPubSub(MEASURED));
  let version = 1;
  const change = async (jobIds: readonly string[]) => {
    version += 1;
    return moment.parse(await asked(server, { jobIds, version })).at;
  };
  return { name: server.name, server, change };
}

function measured(server: Server): Measured {
  return { ...server, memory: async () => memory.parse(await asked(server, "memory")) };
}

/** Sends a message to the server's process. @returns its answer. */
export async function asked({ child }: Server, message: object | string): Promise<unknown> {
  const answered = once(child, "message");
  child.send(message);
  return z
    .tuple([z.unknown()])
    .rest(z.unknown())
    .parse(await answered)[0];
}
