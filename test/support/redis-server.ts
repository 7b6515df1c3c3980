import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createClient } from "@redis/client";

/** A Redis server of the test's own, which it may kill or hold up. */
export interface OwnRedis {
  readonly url: string;
  /** Starts it, empty, and waits until it answers. */
  start(): Promise<void>;
  /** Ends it at once, with its connections. */
  kill(): Promise<void>;
  /** Lets it accept connections and commands, and answer nothing; `resume` ends that. */
  pause(): void;
  resume(): void;
}

export async function ownRedis(): Promise<OwnRedis> {
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  let child: ChildProcess | undefined;
  return {
    url,
    start: async () => {
      const options = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
      child = spawn("redis-server", options, { stdio: "ignore", cwd: "/tmp" });
      const client = createClient({ url, socket: { reconnectStrategy: 50 } });
      client.on("error", () => undefined);
      await client.connect();
      await client.close();
    },
    kill: async () => {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
    pause: () => child?.kill("SIGSTOP"),
    resume: () => child?.kill("SIGCONT"),
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}
