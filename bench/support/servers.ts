import { type ChildProcess, execFileSync, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";

/** A GraphQL server in a process of its own. */
export interface Server {
  readonly name: string;
  readonly url: string;
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PEER = fileURLToPath(new URL("../peer", import.meta.url));

const manifest = z.object({ scripts: z.object({ start: z.string().startsWith("tsx ") }) });

/** The Node options of `npm start` in a checkout of this project. */
function startArguments(checkout: string): string[] {
  const { scripts } = manifest.parse(JSON.parse(readFileSync(join(checkout, "package.json"), "utf8")));
  return scripts.start.split(" ").slice(1);
}

/** How long a server may take to start or to stop, in milliseconds. */
const PATIENCE = 30_000;

/**
 * Starts this server as a user does.
 * @param nodeOptions further options for Node, besides those in BENCH_NODE_OPTIONS (such as `--cpu-prof` for a profile).
 * @param settings further environment variables.
 * @param checkout the folder of the project whose server it is: this one, unless another one is compared with it.
 */
export function startOurs(
  databaseUrl: string,
  nodeOptions: readonly string[] = [],
  checkout = ROOT,
  settings: Readonly<Record<string, string>> = {},
): Promise<Server> {
  const options = (process.env.BENCH_NODE_OPTIONS ?? "").split(" ").filter((option) => option !== "");
  const env = { DATABASE_URL: databaseUrl, HOST: "127.0.0.1", LOG_LEVEL: "warn", ...settings };
  const command = [...options, "--import", "tsx", ...nodeOptions, ...startArguments(checkout)];
  return startNode("ours", command, env, checkout);
}

/** Starts a Yoga server with Yoga's own pub/sub. Messages of the process tell it what to publish. */
export function startPubSub(nodeOptions: readonly string[] = []): Promise<Server> {
  const options = (process.env.BENCH_PEER_NODE_OPTIONS ?? "").split(" ").filter((option) => option !== "");
  return startNode("pub/sub", [...options, "--import", "tsx", ...nodeOptions, "bench/live/pubsub-server.ts"], {});
}

/** Starts a server in a Node process with a channel for messages. */
async function startNode(
  name: string,
  command: readonly string[],
  env: Record<string, string>,
  folder = ROOT,
): Promise<Server> {
  const port = await freePort();
  const child = spawn(process.execPath, command, {
    cwd: folder,
    env: { ...process.env, ...env, NODE_ENV: "production", PORT: `${port}` },
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  return answering(name, child, port);
}

/** PostGraphile on the same database, by its own command and its own preset, in production mode. */
export async function startPeer(databaseUrl: string): Promise<Server> {
  installPeer();
  const port = await freePort();
  const command = `${PEER}/node_modules/postgraphile/dist/cli-run.js`;
  const options = ["--preset", "postgraphile/presets/amber", "--connection", databaseUrl, "--schema", "public"];
  const child = spawn(nodeOfPeer(), [command, ...options, "--host", "127.0.0.1", "--port", `${port}`], {
    cwd: PEER,
    env: { ...process.env, NODE_ENV: "production", GRAPHILE_ENV: "production" },
    stdio: ["ignore", "ignore", "inherit"],
  });
  return answering("PostGraphile", child, port);
}

/** pg-boss, measured in jobs per second. */
export interface Queue {
  /**
   * Lets workers of one process fetch and complete jobs.
   * @param waiting the number of jobs that wait in the queue besides those.
   */
  round(jobs: number, batchSize: number, concurrency: number, waiting: number): Promise<number>;
  stop(): Promise<void>;
}

const rate = z.object({ perSecond: z.number() });

/** The versions of pg-boss that are measured, as bench/peer names them. */
export type QueuePeer = "pg-boss-10" | "pg-boss";

/** pg-boss as a library, in a process of its own, on a schema of its own in the same database. */
export async function startQueue(databaseUrl: string, peer: QueuePeer): Promise<Queue> {
  installPeer();
  const child = fork(`${PEER}/queue.mjs`, [databaseUrl, peer], { cwd: PEER, execPath: nodeOfPeer(), execArgv: [] });
  const gone = once(child, "exit").then((): never => {
    throw new Error(`${peer} has gone.`);
  });
  gone.catch(() => undefined);
  const answer = async () => {
    const message: unknown = await Promise.race([once(child, "message"), gone]);
    return rate.parse(z.tuple([z.unknown()], z.unknown()).parse(message)[0]).perSecond;
  };
  await answer();
  return {
    round: (jobs, batchSize, concurrency, waiting) => {
      child.send({ jobs, batchSize, concurrency, waiting });
      return answer();
    },
    stop: async () => {
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

function installPeer(): void {
  if (existsSync(`${PEER}/node_modules/pg-boss-10`)) return;
  console.log("Installing the peers into bench/peer, once.");
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: PEER, stdio: ["ignore", "ignore", "inherit"] });
}

/** The Node that bench/peer installs, if there is one for this machine: PostGraphile needs version 22 or later. */
function nodeOfPeer(): string {
  const brought = `${PEER}/node_modules/node-${process.platform}-${process.arch}/bin/node`;
  return existsSync(brought) ? brought : process.execPath;
}

async function answering(name: string, child: ChildProcess, port: number): Promise<Server> {
  const url = `http://127.0.0.1:${port}/graphql`;
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    const hard = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
    await once(child, "exit");
    clearTimeout(hard);
  };
  const deadline = performance.now() + PATIENCE;
  while (!(await answers(url))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      await stop();
      throw new Error(`${name} did not start.`);
    }
    await sleep(50);
  }
  return { name, url, child, stop };
}

async function answers(url: string): Promise<boolean> {
  const body = JSON.stringify({ query: "{ __typename }" });
  const headers = { "content-type": "application/json" };
  return fetch(url, { method: "POST", headers, body }).then(
    // One that asks who calls answers this with 401.
    ({ ok, status }) => ok || status === 401,
    () => false,
  );
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (typeof address !== "object" || address === null) throw new Error("A listening server has an address.");
  return address.port;
}
