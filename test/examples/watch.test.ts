import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { send } from "../../examples/client.ts";
import { FeedCursor } from "../../examples/demo/operations.ts";
import { type Change, watchToTheEnd } from "../../examples/demo/watch.ts";
import { type AppError, TryAgainError } from "../../src/errors.ts";
import { startTestServer } from "../support/server.ts";
import { aProtocol, cancel, openWorkplace, submit, type Workplace } from "./harness.ts";

let workplace: Workplace;
beforeAll(async () => {
  workplace = await openWorkplace();
});
afterAll(() => workplace.close());

/** Where a subscription begins that is to see everything from here on. */
async function here(protocolId: string) {
  const { aiJobs } = await send(workplace.server, FeedCursor, {});
  return { protocolId, after: aiJobs.feedCursor };
}

test("every version is shown, from the first on, although the job was there before the connection", async () => {
  const protocolId = aProtocol();
  const position = await here(protocolId);
  const jobId = await submit(workplace, protocolId, null);
  await cancel(workplace, jobId);
  const shown: Change[] = [];
  const { signal } = new AbortController();
  const watching = { jobs: 1, show: (change: Change) => shown.push(change), signal };
  expect(await watchToTheEnd(workplace.server, position, watching)).toEqual(new Map([[jobId, 2]]));
  expect(shown).toMatchObject([
    { version: 1, state: "QUEUED", event: { type: "JOB_SUBMITTED" } },
    { version: 2, state: "CANCELLED", event: { type: "STATE_CHANGED" } },
  ]);
});

test("a connection that breaks is made again, and what was shown is not shown again", async () => {
  const line = await openLine(workplace.server.url);
  try {
    const protocolId = aProtocol();
    const position = await here(protocolId);
    const jobId = await submit(workplace, protocolId, null);
    const versions: number[] = [];
    const show = ({ version }: Change) => {
      versions.push(version);
      if (version > 1) return;
      line.cut();
      void cancel(workplace, jobId);
    };
    await watchToTheEnd(line, position, { jobs: 1, show, signal: new AbortController().signal });
    expect(versions).toEqual([1, 2]);
    expect(line.connections()).toBe(2);
  } finally {
    line.close();
  }
});

test("where the server cannot go on for now, it begins again, and shows nothing twice", async () => {
  const interruptions: ((reason: AppError) => void)[] = [];
  const onEnd = (callback: (reason: AppError) => void) => {
    interruptions.push(callback);
    return () => undefined;
  };
  const server = await startTestServer(workplace.db, {}, { mayWatch: () => ({ onEnd }) });
  try {
    const protocolId = aProtocol();
    const position = await here(protocolId);
    const jobId = await submit(workplace, protocolId, null);
    const versions: number[] = [];
    const show = ({ version }: Change) => {
      versions.push(version);
      if (version > 1) return;
      interruptions[0]?.(new TryAgainError());
      void cancel(workplace, jobId);
    };
    await watchToTheEnd(server, position, { jobs: 1, show, signal: new AbortController().signal });
    expect([versions, interruptions.length]).toEqual([[1, 2], 2]);
  } finally {
    await server.close();
  }
});

test("it ends when there is nothing more to wait for", async () => {
  const stop = new AbortController();
  const position = await here(aProtocol());
  const watching = watchToTheEnd(workplace.server, position, { jobs: 1, show: () => {}, signal: stop.signal });
  stop.abort();
  expect(await watching).toEqual(new Map());
});

/** A line to the server that can be cut. */
async function openLine(url: string) {
  const sockets: Socket[] = [];
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    const { hostname, port } = new URL(url);
    const far = connect(Number(port), hostname);
    for (const end of [socket, far]) {
      sockets.push(end);
      end.on("error", () => {});
    }
    socket.pipe(far).pipe(socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const close = () => {
    cut();
    server.close();
  };
  const port = typeof address === "object" && address ? address.port : 0;
  return { url: `http://127.0.0.1:${port}/graphql`, connections: () => connections, cut, close };
}
