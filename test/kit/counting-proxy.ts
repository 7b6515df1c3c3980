import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";

/** A proxy in front of a server, which counts the requests by the names of their operations. */
export interface CountingProxy {
  readonly url: string;
  counts(): Readonly<Record<string, number>>;
  /** Whether an answer has brought a text so far. */
  hasTold(part: string): boolean;
  /** How many requests are under way: as many connections as they take, over HTTP/1.1. */
  underWay(): number;
  /** Passes the next request of an operation on, and breaks its connection off where the answer would come. */
  loseNextAnswer(operation: string): void;
  /** Breaks every connection off. */
  breakOff(): void;
  /** Breaks every connection off, and takes none for so many milliseconds. */
  cut(ms: number): void;
  close(): Promise<void>;
}

export async function countRequests(target: string): Promise<CountingProxy> {
  const counts: Record<string, number> = {};
  let underWay = 0;
  const losing = new Set<string>();
  let told = "";
  const passOn = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const body = await text(incoming);
    const [, name] = /(?:query|mutation|subscription) (\w+)/.exec(body) ?? [];
    if (name) counts[name] = (counts[name] ?? 0) + 1;
    const headers: IncomingHttpHeaders = { ...incoming.headers, host: new URL(target).host };
    const onward = request(target, { method: incoming.method ?? "POST", headers }, (answer) => {
      if (name && losing.delete(name)) {
        answer.resume().once("end", () => outgoing.destroy());
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.on("data", (chunk: Buffer) => {
        told += chunk.toString();
      });
      answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => onward.destroy());
    onward.end(body);
  };
  const server = createServer((incoming, outgoing) => {
    underWay += 1;
    outgoing.once("close", () => {
      underWay -= 1;
    });
    passOn(incoming, outgoing).catch(() => outgoing.destroy());
  });
  let isCut = false;
  server.on("connection", (socket) => {
    if (isCut) socket.destroy();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("It listens on no port.");
  return {
    url: `http://127.0.0.1:${address.port}/graphql`,
    counts: () => counts,
    hasTold: (part) => told.includes(part),
    underWay: () => underWay,
    loseNextAnswer: (operation) => losing.add(operation),
    breakOff: () => server.closeAllConnections(),
    cut: (ms) => {
      isCut = true;
      server.closeAllConnections();
      setTimeout(() => {
        isCut = false;
      }, ms);
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
