import { once } from "node:events";
import { createServer } from "node:net";

/** Shells that run the commands of documents, each in a process group of its own (`detached`), with the servers that they start. */

/** Ends a shell and everything that it has started. */
export function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/** @returns a port of this machine on which nobody listens now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (typeof address !== "object" || address === null) throw new Error("A TCP server has a port.");
  return address.port;
}
