import type { Database } from "../../../src/db/database.ts";
import { Feed } from "../../../src/live/feed.ts";
import type { LogState } from "../../../src/log/read.ts";
import type { Client } from "./client.ts";

/** What of a server follows the log. */
export interface Server {
  readonly feed: Feed;
  /** The epochs of which it has told since it started. */
  readonly told: LogState[];
}

/** A client at a server. */
export interface Subscription {
  readonly client: Client;
  /** The number of the server. */
  readonly server: number;
  /** How many epochs the server had told of before the client subscribed, and once it had. */
  readonly toldBefore: number;
  readonly toldSince: number;
}

/** Starts one as `start.ts` does: it looks at the log before it takes clients. */
export async function startServer(database: Database, onError: (error: unknown) => void): Promise<Server> {
  const told: LogState[] = [];
  const feed = new Feed({ database, pollMs: 20, onError, onNewEpoch: (state) => told.push(state) });
  await feed.continuity.check();
  return { feed, told };
}
