import { once } from "node:events";
import { Agent } from "node:http";
import { z } from "zod";
import { post } from "../support/load.ts";
import { type Server, startOurs, startPubSub } from "../support/servers.ts";
import type { Writer } from "./writer.ts";

/** A server whose subscribers are told of changes, and a way to make one. */
export interface Side {
  readonly name: string;
  readonly server: Measured;
  /**
   * Makes an event of each of these jobs, at once.
   * @returns the moment from which its way to the subscribers is timed: for ours, its commit has been answered; for
   * pub/sub, right before the first call of `publish`.
   */
  change(jobIds: readonly string[]): Promise<number>;
}

export interface Measured extends Server {
  memory(): Promise<Memory>;
}

/** Bytes, after garbage collection. */
export interface Memory {
  /** V8's heap and what it holds outside. */
  readonly held: number;
  /** What the operating system has given to the process. */
  readonly rss: number;
}

const MEASURED = ["--expose-gc", "--import", "./bench/live/memory.ts"];
const HEARTBEAT = `mutation ($input: HeartbeatWorkflowsInput!) { heartbeatWorkflows(input: $input) {
  ... on HeartbeatWorkflowsPayload { results { directive } } } }`;

const moment = z.object({ at: z.number() });
const memory = z.object({ held: z.number(), rss: z.number() });

/** Ours, whose jobs are changed over HTTP; and the same server, whose jobs another one changes. */
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
async function asked({ child }: Server, message: object | string): Promise<unknown> {
  const answered = once(child, "message");
  child.send(message);
  return z
    .tuple([z.unknown()])
    .rest(z.unknown())
    .parse(await answered)[0];
}
