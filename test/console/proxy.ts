import { once } from "node:events";
import { type ClientRequest, createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { text } from "node:stream/consumers";

/** A proxy between the console and its server: below a path of its own, cut when a test says so, or telling of more than happens. */

export interface Proxy {
  /** The address of the console, with a slash at its end. */
  readonly url: string;
  /** How many streams of events are open. */
  streams(): number;
  /** Breaks off everything, and refuses whatever comes. */
  cut(): void;
  restore(): void;
  /** Answers a path by itself from now on. */
  answer(path: string, body: string): void;
  /** Replaces a text in whatever the server answers from now on. */
  forge(text: string, by: string): void;
  /** Says things over the stream of a subscription, as if the server had. @returns false where nobody listens. */
  tell(subscription: string, items: readonly unknown[]): Promise<boolean>;
  close(): Promise<void>;
}

interface Stream {
  readonly response: ServerResponse;
  /** The ids of the subscriptions on it, by the fields that they ask for. */
  readonly ids: Map<string, string>;
}

/** @param path the path below which it serves, such as `/ai-jobs`. */
export async function startProxy(api: string, path = ""): Promise<Proxy> {
  const target = new URL(api);
  const sockets = new Set<Socket>();
  const streams = new Set<Stream>();
  const answers = new Map<string, string>();
  const forgeries = new Map<string, string>();
  let isCut = false;

  const server = createServer((incoming, outgoing) => {
    const url = incoming.url ?? "/";
    const own = answers.get(url);
    if (own !== undefined) return void outgoing.end(own);
    if (!url.startsWith(`${path}/`)) return void outgoing.writeHead(404).end("The proxy serves something else here.");
    forward(incoming, outgoing, url.slice(path.length));
  });
  server.on("connection", (socket) => {
    if (isCut) socket.destroy();
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });

  function forward(incoming: IncomingMessage, outgoing: ServerResponse, url: string): void {
    const { method, headers } = incoming;
    const isStream = method === "GET" && headers.accept === "text/event-stream";
    // As it came: the server compares the host with the page's origin.
    const sent = forgeries.size > 0 ? { ...headers, "accept-encoding": "identity" } : headers;
    const upstream = request(
      { host: target.hostname, port: target.port, path: url, method, headers: sent },
      (answer) => {
        if (forgeries.size > 0 && !isStream) return void passForged(answer, outgoing).catch(() => outgoing.destroy());
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        if (isStream) passEvents(answer, outgoing);
        else answer.pipe(outgoing);
      },
    );
    upstream.once("error", () => outgoing.destroy());
    outgoing.once("close", () => upstream.destroy());
    if (method === "POST") passOperation(incoming, upstream).catch(() => upstream.destroy());
    else incoming.pipe(upstream);
  }

  async function passForged(answer: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    let body = await text(answer);
    for (const [before, after] of forgeries) body = body.replaceAll(before, after);
    const { "content-length": _length, ...headers } = answer.headers;
    outgoing.writeHead(answer.statusCode ?? 502, headers).end(body);
  }

  /** Notes which subscription has which id, and passes the request on. */
  async function passOperation(incoming: IncomingMessage, upstream: ClientRequest): Promise<void> {
    const body = await text(incoming);
    const [, id] = /"operationId":"([^"]+)"/.exec(body) ?? [];
    const [, field] = /^\{"query":"subscription \w+[^{]*\{(\w+)/.exec(body) ?? [];
    if (id && field) for (const { ids } of streams) ids.set(field, id);
    upstream.end(body);
  }

  /** Event by event, so that what a test tells never stands in the middle of one. */
  function passEvents(answer: IncomingMessage, response: ServerResponse): void {
    const stream: Stream = { response, ids: new Map() };
    streams.add(stream);
    response.once("close", () => streams.delete(stream));
    let rest = "";
    answer.setEncoding("utf8");
    answer.on("data", (piece: string) => {
      const end = (rest + piece).lastIndexOf("\n\n");
      const all = rest + piece;
      rest = all.slice(end + 2);
      if (end >= 0) response.write(all.slice(0, end + 2));
    });
    answer.once("close", () => response.end());
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const breakOff = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${port}${path}/`,
    streams: () => streams.size,
    cut: () => {
      isCut = true;
      breakOff();
    },
    restore: () => {
      isCut = false;
    },
    answer: (url, body) => void answers.set(`${path}${url}`, body),
    forge: (before, after) => void forgeries.set(before, after),
    tell: async (subscription, items) => {
      for (const { response, ids } of streams) {
        const id = ids.get(subscription);
        if (id === undefined) continue;
        const messages = items.map((item) => JSON.stringify({ id, payload: { data: { [subscription]: item } } }));
        const events = messages.map((message) => `event: next\ndata: ${message}\n\n`).join("");
        if (!response.write(events)) await once(response, "drain");
        return true;
      }
      return false;
    },
    close: async () => {
      breakOff();
      server.close();
      await once(server, "close");
    },
  };
}
