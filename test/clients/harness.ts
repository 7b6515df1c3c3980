import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { getIntrospectionQuery, type IntrospectionQuery, parse } from "graphql";
import { expect } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { openTestDatabase } from "../support/database.ts";
import { engineOn } from "../support/engine.ts";
import { run, startTestServer } from "../support/server.ts";

export interface Place {
  readonly url: string;
  /** Changes jobs beside the client, as a worker does. */
  readonly engine: EngineContext;
  close(): Promise<void>;
}

/** A server on an empty embedded store, for one client to talk to over the network. */
export async function openPlace(): Promise<Place> {
  const database = await openTestDatabase();
  const server = await startTestServer(database);
  const close = async () => {
    await server.close();
    await database.close();
  };
  // The server's feed polls: it needs no hint of what is committed beside it.
  return { url: server.url, engine: engineOn(database), close };
}

const INTROSPECTION: TypedDocumentNode<IntrospectionQuery, object> = parse(getIntrospectionQuery());

/** The schema as the server tells it, which caches need: what an interface or union may be, and what has an id. */
export function introspect(url: string): Promise<IntrospectionQuery> {
  return run(url, INTROSPECTION, {});
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

/** What a client shows in a moment, which is a longer one where the machine has other tests to run. */
export function eventually<Shown>(read: () => Shown) {
  return expect.poll(read, { timeout: 10_000 });
}
