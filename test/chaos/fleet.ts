import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Exit, exitOf, spawnServer } from "../support/spawn-server.ts";
import { type Random, randomInt } from "./plan.ts";
import type { WorkerSort } from "./sorts.ts";

/** Processes that are killed and restarted, as a supervisor restarts a service. */

/** A process of the fleet, from its start to its end. */
export interface ManagedProcess {
  /** Whether it came up before it ended. */
  readonly ready: Promise<boolean>;
  readonly exited: Promise<Exit>;
  readonly logged: readonly string[];
  end(signal: "SIGTERM" | "SIGKILL"): Promise<Exit>;
  /** Has it stand still, or go on. A server does not stand still. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void;
}

/** The history of one process, from its start to its end. */
export interface ProcessHistory {
  readonly exit: Exit;
  readonly wasReady: boolean;
  /** Whether the test ended it. */
  readonly wasEnded: boolean;
  readonly logged: readonly string[];
}

/** A slot of the fleet: a process that is restarted whenever it ends. */
export interface SupervisedSlot {
  /** The processes that have ended in this slot, oldest first. */
  readonly history: readonly ProcessHistory[];
  /** Kills the current process; it is restarted a moment later. */
  kill(): void;
  /** Has the current process stand still for a while. @returns whether it is still there then. */
  block(ms: number): Promise<boolean>;
  /** Ends the current process, and does not restart it. */
  close(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Fulfilled when a process is up; rejected if that takes too long. */
  ready(): Promise<unknown>;
}

/** How long a process may take to come up, in milliseconds. */
const READY_MS = 120_000;

/** @param start starts the next process; it gets the number of processes before. */
export function supervise(start: (restarts: number) => ManagedProcess, random: Random): SupervisedSlot {
  const history: ProcessHistory[] = [];
  let isClosed = false;
  let isAlive = true;
  let wasEnded = false;
  let current = start(0);
  const restartOnExit = async () => {
    for (;;) {
      const ended = current;
      const exit = await ended.exited;
      isAlive = false;
      history.push({ exit, wasReady: await ended.ready, wasEnded, logged: ended.logged });
      if (!isClosed) await sleep(randomInt(random, 0, 300));
      if (isClosed) return;
      wasEnded = false;
      isAlive = true;
      current = start(history.length);
    }
  };
  const restarting = restartOnExit();
  const end = (signal: "SIGTERM" | "SIGKILL") => {
    wasEnded = true;
    void current.end(signal);
  };
  return {
    history,
    kill: () => end("SIGKILL"),
    block: async (ms) => {
      const blocked = current;
      blocked.signal("SIGSTOP");
      await sleep(ms);
      blocked.signal("SIGCONT");
      return current === blocked && isAlive;
    },
    ready: async () => {
      const deadline = performance.now() + READY_MS;
      while (!(isAlive && (await current.ready))) {
        if (performance.now() > deadline) throw new Error(`No process comes up: ${history.at(-1)?.exit.stderr}`);
        await sleep(20);
      }
    },
    close: async (signal) => {
      isClosed = true;
      end(signal);
      await restarting;
    },
  };
}

/** Starts a server as it is deployed. */
export function startServer(
  port: number,
  database: Readonly<Record<string, string>>,
  applicationName: string,
): ManagedProcess {
  const { url, ...server } = spawnServer({
    PORT: String(port),
    ...database,
    PGAPPNAME: applicationName,
    RECOVERY_INTERVAL_SECONDS: "0.5",
    RETRY_FIRST_SECONDS: "0.2",
    RETRY_MAX_SECONDS: "1",
    // A job whose question was answered need not wait long for a worker that is cut off.
    REVISE_PREFERENCE_SECONDS: "1",
  });
  const ready = url.then(
    () => true,
    () => false,
  );
  const signal = () => {
    throw new Error("A server does not stand still.");
  };
  return { ...server, ready, signal };
}

const pathOf = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const HAND_MADE = pathOf("worker.ts");
const TYPESCRIPT = { watch: pathOf("kit/watch-fetch.mjs"), worker: pathOf("kit/worker.ts") };
const PYTHON = { worker: pathOf("kit/worker.py"), kit: pathOf("../../clients/python/src") };

/** @param python the program that runs workers with the kit for Python; null where there are none. */
export function startWorker(
  sort: WorkerSort,
  python: string | null,
  env: Readonly<Record<string, string>>,
): ManagedProcess {
  const [program, ...args] = commandOf(sort, python);
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH, PYTHONPATH: PYTHON.kit, PYTHONDONTWRITEBYTECODE: "1", ...env },
    // Standard input is a pipe, which closes when this process ends: the worker then ends, too.
    stdio: ["pipe", "ignore", "pipe"],
  });
  const exited = exitOf(child);
  const end = (signal: "SIGTERM" | "SIGKILL") => {
    child.kill(signal);
    return exited;
  };
  const signal = (name: "SIGSTOP" | "SIGCONT") => void child.kill(name);
  return { ready: Promise.resolve(true), exited, logged: [], end, signal };
}

function commandOf(sort: WorkerSort, python: string | null): readonly [string, ...string[]] {
  const node = [process.execPath, "--import", "tsx"] as const;
  switch (sort) {
    case "hand-made":
      return [...node, HAND_MADE];
    case "typescript":
      // The kit's thread gets it, too.
      return [...node, "--import", TYPESCRIPT.watch, TYPESCRIPT.worker];
    case "python":
      if (python === null) throw new Error("There is no Python.");
      return [python, PYTHON.worker];
  }
}

/**
 * Free ports that servers can listen on again after each restart. They lie below the range that the system uses for
 * outgoing connections; otherwise one of those could take the port while a server is down.
 */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    if (!ports.includes(port) && (await isFree(port))) ports.push(port);
  }
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
}
