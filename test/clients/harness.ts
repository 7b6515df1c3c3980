import { openDatabase } from "../../src/db/open.ts";
import type { EngineContext } from "../../src/engine.ts";
import { engineOn } from "../support/engine.ts";
import { startTestServer } from "../support/server.ts";

export interface Place {
  readonly url: string;
  /** Changes jobs beside the client, as a worker does. */
  readonly engine: EngineContext;
  close(): Promise<void>;
}

/** A server on an empty embedded store, for one client to talk to over the network. */
export async function openPlace(): Promise<Place> {
  const database = await openDatabase({ kind: "memory" });
  const server = await startTestServer(database);
  const close = async () => {
    await server.close();
    await database.close();
  };
  // The server's feed polls: it needs no hint of what is committed beside it.
  return { url: server.url, engine: engineOn(database), close };
}

/** A `fetch` for a client, and what went through it: the address or the body of each request, in order. */
export function countingFetch() {
  const sent: string[] = [];
  const counted: typeof fetch = (input, init) => {
    sent.push(typeof init?.body === "string" ? init.body : input instanceof Request ? input.url : input.toString());
    return fetch(input, init);
  };
  return { sent, fetch: counted };
}
