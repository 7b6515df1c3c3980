import type { Claimer } from "../claims/claim.ts";
import type { EngineContext } from "../engine.ts";
import type { Feed } from "../live/feed.ts";
import type { BatchedReleases } from "../runs/batched-release.ts";
import type { ListReads, ReadsById, SharedReads } from "./reads.ts";
import type { WatchPermission } from "./subscriptions/watch-rule.ts";
import type { Viewer } from "./viewer.ts";

/** Where a subscription can be resumed. Its resolver and its transport (SSE, WebSocket) tell each other by this object. */
export interface ResumeState {
  /**
   * The cursor of the last event that the client received, as its transport reports it when it reconnects. It is newer
   * than `after` in the operation, which the client sends unchanged.
   */
  readonly resumeAfter?: string;
  /**
   * The cursor from which a client that has received everything so far can go on without missing an event. Undefined
   * while there is none, as in the middle of the snapshots.
   */
  cursor?: string;
  /** Whether the stream ended because the server stops: the client should reconnect. */
  interrupted?: boolean;
}

/** What every resolver gets; created once for each operation. */
export interface GraphQLContext {
  readonly engine: EngineContext;
  readonly feed: Feed;
  readonly claimer: Claimer;
  readonly releases: BatchedReleases;
  readonly viewer: Viewer;
  /** Decides who may subscribe to what. */
  readonly mayWatch: WatchPermission;
  readonly resumeState: ResumeState;
  readonly lists: ListReads;
  /** The reads by id that subscribers share for each batch of events. */
  readonly sharedReads: SharedReads;
  /** The reads by id: those of the server or, while a subscription resolves an event, those of the event's batch. */
  reads: ReadsById;
  /** Aborted when the client disconnects; undefined where the transport cannot know. */
  readonly signal: AbortSignal | undefined;
}
