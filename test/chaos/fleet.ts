import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Exit, spawnServer } from "../support/spawn-server.ts";
import { type Random, randomInt } from "./plan.ts";

/** Processes that are killed and started again, as a supervisor keeps a service alive. */

/** A process of the fleet, from its start to its end. */
export interface ManagedProcess {
  /** Whether it ever did its work. */
  readonly ready: Promise<boolean>;
  readonly exited: Promise<Exit>;
  readonly logged: readonly string[];
  end(signal: "SIGTERM" | "SIGKILL"): Promise<Exit>;
}

/** How one life of a process went. */
export interface ProcessHistory {
  readonly exit: Exit;
  readonly wasReady: boolean;
  readonly wasEnded: boolean;
  readonly logged: readonly string[];
}

/** A place in the fleet that is never empty for long. */
export interface SupervisedSlot {
  /** Every life that has ended, the first one first. */
  readonly history: readonly ProcessHistory[];
  /** Kills whoever is there now; somebody else comes a while later. */
  kill(): void;
  /** Ends whoever is there, for good. */
  close(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Settles when somebody is there who is ready. */
  ready(): Promise<unknown>;
}

/** Milliseconds in which somebody must have come up. */
const READY_MS = 120_000;

/** @param start begins the next life, told how many there were before. */
export function supervise(start: (history: number) => ManagedProcess, random: Random): SupervisedSlot {
  const lives: ProcessHistory[] = [];
  let isClosed = false;
  let isAlive = true;
  let wasEnded = false;
  let life = start(0);
  const restartOnExit = async () => {
    for (;;) {
      const current = life;
      const exit = await current.exited;
      isAlive = false;
      lives.push({ exit, wasReady: await current.ready, wasEnded, logged: current.logged });
      if (!isClosed) await sleep(randomInt(random, 0, 300));
      if (isClosed) return;
      wasEnded = false;
      isAlive = true;
      life = start(lives.length);
    }
  };
  const restarting = restartOnExit();
  const end = (signal: "SIGTERM" | "SIGKILL") => {
    wasEnded = true;
    void life.end(signal);
  };
  return {
    history: lives,
    kill: () => end("SIGKILL"),
    ready: async () => {
      const deadline = performance.now() + READY_MS;
      while (!(isAlive && (await life.ready))) {
        if (performance.now() > deadline) throw new Error(`Nobody comes up: ${lives.at(-1)?.exit.stderr}`);
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

/** The product, as it is deployed. */
export function startServer(port: number, databaseUrl: string, applicationName: string): ManagedProcess {
  const { url, ...server } = spawnServer({
    PORT: String(port),
    DATABASE_URL: databaseUrl,
    PGAPPNAME: applicationName,
    RECOVERY_INTERVAL_SECONDS: "0.5",
    RETRY_FIRST_SECONDS: "0.2",
    RETRY_MAX_SECONDS: "1",
  });
  const ready = url.then(
    () => true,
    () => false,
  );
  return { ...server, ready };
}

const WORKER = fileURLToPath(new URL("worker.ts", import.meta.url));

export function startWorker(env: Readonly<Record<string, string>>): ManagedProcess {
  const child = spawn(process.execPath, ["--import", "tsx", WORKER], {
    env: { PATH: process.env.PATH, ...env },
    // It ends with this process: its standard input is then at its end.
    stdio: ["pipe", "ignore", "pipe"],
  });
  const exited = exitOf(child);
  const end = (signal: "SIGTERM" | "SIGKILL") => {
    child.kill(signal);
    return exited;
  };
  return { ready: Promise.resolve(true), exited, logged: [], end };
}

async function exitOf(child: ChildProcess): Promise<Exit> {
  let stderr = "";
  child.stderr?.on("data", (data: Buffer) => {
    stderr += data.toString();
  });
  await once(child, "close");
  return { code: child.exitCode, signal: child.signalCode, stderr };
}

/**
 * Ports at which servers are found again after each start. Below those that the system gives to outgoing connections,
 * one of which might else sit there while a server is down.
 */
export async function freePorts(count: number): Promise<readonly number[]> {
  const free: number[] = [];
  while (free.length < count) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    if (!free.includes(port) && (await isFree(port))) free.push(port);
  }
  return free;
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
