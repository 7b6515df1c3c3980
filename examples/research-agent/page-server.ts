import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { type DocumentNode, print } from "graphql";
import { type Api, credentialOf } from "../client.ts";
import { newGate } from "./gate.ts";
import { PartialOutput, ResearchTree } from "./watch-operations.ts";

/**
 * The page of the research, on this machine alone. Its two streams are the server's own, passed on: so they are of the page's origin,
 * the browser holds no key, and what it may ask for is fixed here.
 */

const FILES: Readonly<Record<string, readonly [name: string, type: string]>> = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/page.mjs": ["page.mjs", "text/javascript; charset=utf-8"],
  "/page.css": ["page.css", "text/css; charset=utf-8"],
};

const STREAMS: Readonly<Record<string, DocumentNode>> = { "/output": PartialOutput, "/jobs": ResearchTree };

/** The page gets its own files and its two streams, and nothing else. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
];

const HEADERS = {
  "content-security-policy": POLICY.join("; "),
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

export interface PageServer {
  readonly url: string;
  /** Fulfilled when a browser watches. */
  readonly opened: Promise<void>;
  close(): Promise<void>;
}

export async function servePage(api: Api, jobId: string): Promise<PageServer> {
  const watched = newGate();
  const server = createServer((request, response) => {
    const { url: path = "/", method, headers } = request;
    // Another name that leads here would be another page's way to what only this one may see.
    if (method !== "GET" || headers.host !== host) return refuse(response, 403);
    const stream = STREAMS[path];
    if (stream !== undefined) watched.open();
    const answering = stream === undefined ? sendFile(response, path) : passOn(api, stream, jobId, request, response);
    // The browser has left, or the server has.
    answering.catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const host = `127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
  const close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  return { url: `http://${host}/`, opened: watched.opened, close };
}

async function sendFile(response: ServerResponse, path: string): Promise<void> {
  const [name, type] = FILES[path] ?? [];
  if (name === undefined) return refuse(response, 404);
  const content = await readFile(new URL(`page/${name}`, import.meta.url));
  response.writeHead(200, { ...HEADERS, "content-type": type }).end(content);
}

/** EventSource's own way to go on after a break, the id of the last event, is passed on as well. */
async function passOn(
  api: Api,
  document: DocumentNode,
  jobId: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const query = new URLSearchParams({ query: print(document), variables: JSON.stringify({ jobId }) });
  const leaving = new AbortController();
  response.once("close", () => leaving.abort());
  const last = request.headers["last-event-id"];
  const lastEventId = typeof last === "string" ? { "last-event-id": last } : {};
  const headers = { accept: "text/event-stream", ...credentialOf(api.key), ...lastEventId };
  const answer = await fetch(`${api.url}?${query}`, { headers, signal: leaving.signal });
  const type = answer.headers.get("content-type") ?? "text/plain";
  response.writeHead(answer.status, { ...HEADERS, "content-type": type }).flushHeaders();
  if (answer.body) await pipeline(answer.body, response);
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, HEADERS).end();
}
