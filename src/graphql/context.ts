import type { Claimer } from "../claims/claim.ts";
import type { Engine } from "../engine.ts";
import type { Feed } from "../live/feed.ts";
import type { CompleteWorkflows } from "../runs/batched-complete.ts";
import type { ListReads, ReadsById, SharedReads } from "./reads.ts";
import type { WatchPermission } from "./subscriptions/watch-rule.ts";
import type { Viewer } from "./viewer.ts";

/** Where a subscription stands: what it tells the transport that carries it, and the transport it. */
export interface Delivery {
  /** Where the client says that it is, without being asked: newer than any `after` in its operation. */
  readonly resumeAfter?: string;
  /** Where to go on once everything up to now has arrived; undefined while nothing that came so far would do. */
  cursor?: string;
  /** It ended because the server stops, not because there is nothing more to come. */
  interrupted?: boolean;
}

/** What every resolver gets: made once for each operation. */
export interface GraphQLContext {
  readonly engine: Engine;
  readonly feed: Feed;
  readonly claimer: Claimer;
  readonly completeWorkflows: CompleteWorkflows;
  readonly viewer: Viewer;
  readonly mayWatch: WatchPermission;
  readonly delivery: Delivery;
  readonly lists: ListReads;
  readonly sharedReads: SharedReads;
  /** Those of the server; while a subscription tells of an event, those that all subscribers of this event share. */
  reads: ReadsById;
  /** Aborted when the client has gone; undefined where nobody can tell. */
  readonly signal: AbortSignal | undefined;
}
