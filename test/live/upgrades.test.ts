import { once } from "node:events";
import net from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { killSpawned, type SpawnedServer, spawnServer } from "../support/spawn-server.ts";

/** Who asks for a WebSocket and is refused: however its connection goes on, the server goes on, and can stop. */

let server: SpawnedServer;
let url: string;
beforeAll(async () => {
  server = spawnServer({ DATABASE_URL: "memory:" });
  url = await server.url;
});
afterAll(killSpawned);

const LIMIT_MS = 20_000;
const FOREIGN = upgrade("elsewhere.example");
const WITHOUT_KEY = upgrade("localhost");

function upgrade(host: string): string {
  return `GET /graphql HTTP/1.1\r\nhost: ${host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n`;
}

/** A connection whose own side stays open, whatever the server does with the other. */
async function connect(): Promise<net.Socket> {
  const { hostname, port } = new URL(url);
  const socket = net.connect({ port: Number(port), host: hostname, allowHalfOpen: true });
  socket.on("error", () => undefined);
  await once(socket, "connect", { signal: AbortSignal.timeout(LIMIT_MS) });
  return socket;
}

/** Waits until the server has taken notice of what was sent before: it is asked later, so it answers later. */
async function untilHeard(): Promise<void> {
  expect((await fetch(new URL("/live", url))).status).toBe(200);
}

describe("who was refused an upgrade", () => {
  test.each([
    ["for a foreign name", FOREIGN],
    ["for a name that there cannot be", upgrade("a b")],
    ["for want of a key", WITHOUT_KEY],
  ])("%s, and resets the connection, does not end the process", async (_why, text) => {
    for (let times = 0; times < 10; times++) {
      const socket = await connect();
      socket.write(text);
      socket.resetAndDestroy();
      await untilHeard();
    }
  });

  test("and keeps the connection open, does not keep the server from stopping", async () => {
    for (const [text, status] of [
      [FOREIGN, "403 Forbidden"],
      [WITHOUT_KEY, "400 Bad Request"],
    ] as const) {
      const socket = await connect();
      socket.write(text);
      const [answer]: unknown[] = await once(socket, "data", { signal: AbortSignal.timeout(LIMIT_MS) });
      expect(String(answer)).toContain(status);
    }
    const startedAt = performance.now();
    expect(await server.end("SIGTERM")).toMatchObject({ code: 0, stderr: "" });
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });
});
