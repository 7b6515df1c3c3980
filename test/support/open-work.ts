import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";

/** Everything of a principal's that stays open, over each transport, and how it ends. */

type Headers = Readonly<Record<string, string>>;

/** How something ended. */
interface End {
  /** When, as `Date.now` counts. */
  readonly at: number;
  /** The last words: the text of the stream, of the answer, or the code with which the socket closed. */
  readonly words: string;
}

const QUERY = "subscription { aiJobsChanged { version } }";
const CLAIM =
  'mutation { claimAiJobs(input: { workerId: "w", jobKinds: [TERMINAL_EXEC], waitSeconds: 20 }) { __typename } }';
const JSON_TYPE = { "content-type": "application/json" };
const EVENTS = { accept: "text/event-stream" };

/** Something that is open. In an object, so that to await that it is open is not to await its end. */
interface Open {
  readonly end: Promise<End>;
}

async function wordsOf(response: Promise<Response> | Response): Promise<End> {
  const words = await (await response).text();
  return { at: Date.now(), words };
}

function post(url: string, headers: Headers, query: string, more: object = {}): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { ...JSON_TYPE, ...headers },
    body: JSON.stringify({ query, ...more }),
  });
}

async function eventStream(url: string, headers: Headers): Promise<Open> {
  const response = await fetch(`${url}?query=${encodeURIComponent(QUERY)}`, { headers: { ...EVENTS, ...headers } });
  if (response.status !== 200) throw new Error(`The stream was refused with ${response.status}.`);
  return { end: wordsOf(response) };
}

async function sharedStream(url: string, headers: Headers): Promise<Open> {
  const token = await (await fetch(url, { method: "PUT", headers })).text();
  const own = { ...headers, "x-graphql-event-stream-token": token };
  const stream = await fetch(url, { headers: { ...EVENTS, ...own } });
  const { status } = await post(url, own, QUERY, { extensions: { operationId: "1" } });
  if (status !== 202) throw new Error(`The operation was refused with ${status}.`);
  return { end: wordsOf(stream) };
}

async function webSocket(url: string, headers: Headers): Promise<Open> {
  const socket = new WebSocket(url.replace("http", "ws"), "graphql-transport-ws", { headers });
  await once(socket, "open");
  const answer = once(socket, "message");
  socket.send('{"type":"connection_init"}');
  await answer;
  return { end: once(socket, "close").then(([code]) => ({ at: Date.now(), words: String(code) })) };
}

async function requests(url: string, headers: Headers): Promise<End> {
  for (;;) {
    const response = await post(url, headers, "{ __typename }");
    if (response.status !== 200) return wordsOf(response);
    await response.text();
    await sleep(20);
  }
}

/** The ends of all that is open, by what it is. */
export type OpenWork = Readonly<
  Record<"eventStream" | "sharedStream" | "webSocket" | "claim" | "requests", Promise<End>>
>;

/** Opens everything, with the headers of a principal. */
export async function openWork(url: string, headers: Headers): Promise<OpenWork> {
  const stream = await eventStream(url, headers);
  const shared = await sharedStream(url, headers);
  const socket = await webSocket(url, headers);
  const claim = wordsOf(post(url, headers, CLAIM));
  // So that it waits already, and not only begins to.
  await sleep(300);
  return {
    eventStream: stream.end,
    sharedStream: shared.end,
    webSocket: socket.end,
    claim,
    requests: requests(url, headers),
  };
}
