import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { assertNothingSent, rememberHeaders, rememberOperation } from "./watched-log.ts";

/** How a process ended, with its whole standard error. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  /** Milliseconds from the first text on standard error to the end of the process; undefined where there was none. */
  readonly msAfterError: number | undefined;
}

/** `npm start` as a process of its own, from the moment of its start. */
export interface SpawnedServer {
  /** Fulfilled with the address, such as http://127.0.0.1:51234/graphql, when it listens; rejected if it ends first. */
  readonly url: Promise<string>;
  readonly exited: Promise<Exit>;
  /** The lines that it has logged so far. */
  readonly logged: readonly string[];
  /** For how many milliseconds its main thread was ready to run, but other processes had the processors. */
  heldUp(): number;
  /** Sends a signal, and waits until the process has ended. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<Exit>;
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const running = new Set<SpawnedServer>();

/** @param node the program that runs it; left out: the one that runs the tests. */
export function spawnServer(env: Readonly<Record<string, string>>, node = process.execPath): SpawnedServer {
  const child = spawn(node, ["--import", "tsx", "src/main.ts"], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOST: "127.0.0.1", PORT: "0", LOG_LEVEL: "info", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = exitOf(child);
  const logged: string[] = [];
  rememberHeaders({ authorization: env.OPERATOR_KEY });
  const server: SpawnedServer = {
    url: urlOf(child, exited, logged),
    exited,
    logged,
    heldUp: () => heldUp(child.pid),
    end: async (signal) => {
      child.kill(signal);
      const exit = await exited;
      assertNothingSent(logged);
      return exit;
    },
  };
  running.add(server);
  void exited.then(() => running.delete(server));
  server.url.catch(() => undefined);
  return server;
}

/** Kills the servers that a failed test left running. */
export async function killSpawned(): Promise<void> {
  await Promise.all([...running].map((server) => server.end("SIGKILL")));
}

/**
 * For how many milliseconds a process was ready to run, but others had the processors: from Linux's count in nanoseconds; 0 on other
 * systems.
 */
export function heldUp(pid: number | undefined): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6;
  } catch {
    return 0;
  }
}

/** Collects the standard error of a process, which must be a pipe. Resolves when the process has ended. */
export function exitOf(child: ChildProcess): Promise<Exit> {
  let stderr = "";
  let firstErrorAt: number | undefined;
  child.stderr?.on("data", (data: Buffer) => {
    firstErrorAt ??= performance.now();
    stderr += data.toString();
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      const msAfterError = firstErrorAt === undefined ? undefined : performance.now() - firstErrorAt;
      resolve({ code, signal, stderr, msAfterError });
    });
  });
}

/** Reads the address from the log. */
function urlOf(child: ChildProcess, exited: Promise<Exit>, logged: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    if (child.stdout) {
      createInterface({ input: child.stdout }).on("line", (line) => {
        logged.push(line);
        const [, url] = /GraphQL on (http:\/\/[^"\s]+)/.exec(line) ?? [];
        if (url) resolve(url);
      });
    }
    exited.then(
      ({ code, stderr }) => reject(new Error(`The server ended with ${code} instead of listening:\n${stderr}`)),
      reject,
    );
  });
}

const answer = z.object({ data: z.unknown(), errors: z.undefined().optional() });

/** Posts a document. @returns the answer's `data`. */
export async function post(url: string, query: string, variables: object = {}): Promise<unknown> {
  rememberOperation({ query, variables });
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  return answer.parse(JSON.parse(await response.text())).data;
}
