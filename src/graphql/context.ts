import type { Claimer } from "../claims/claim.ts";
import type { EngineContext } from "../engine.ts";
import type { Feed } from "../live/feed.ts";
import type { BatchedReleases } from "../runs/batched-release.ts";
import type { ReadableJobs } from "./readable-jobs.ts";
import type { ListReads, ReadsById } from "./reads.ts";
import type { SharedReads } from "./shared-reads.ts";
import type { WatchPermission, WatchRight } from "./subscriptions/watch-rule.ts";
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
  /** Whether the stream ended because the server stops, or cannot tell who watches: the client should reconnect. */
  interrupted?: boolean;
}

/** What every resolver gets; created once for each operation. */
export interface GraphQLContext {
  readonly engine: EngineContext;
  readonly feed: Feed;
  readonly claimer: Claimer;
  readonly releases: BatchedReleases;
  readonly viewer: Viewer;
  /** What the caller may read of jobs, by what ran of this operation so far. */
  readonly readable: ReadableJobs;
  /** Decides who may subscribe to what. */
  readonly mayWatch: WatchPermission;
  /** Registers a callback for the end of who calls. @returns a function that removes it. */
  readonly onPrincipalEnd: WatchRight["onEnd"];
  readonly resumeState: ResumeState;
  readonly lists: ListReads;
  /** The reads by id that subscribers share for each batch of events. */
  readonly sharedReads: SharedReads;
  /** The reads by id: those of the server or, while a subscription resolves an event, those of the event's batch. */
  reads: ReadsById;
  /** The trace that the request belongs to (W3C Trace Context), for the log. */
  readonly traceId: string;
  /** Aborted when the client disconnects; undefined where the transport cannot know. */
  readonly signal: AbortSignal | undefined;
}
