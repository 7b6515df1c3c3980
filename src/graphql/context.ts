import type DataLoader from "dataloader";
import type { Claimer } from "../claims/claim.ts";
import type {
  AiJob,
  BulkActionItem,
  FlightRecorderEvent,
  NodeExecution,
  WorkflowRun,
} from "../db/generated/client/client.ts";
import type { Engine } from "../engine.ts";
import type { Counts } from "../jobs/bulk/items.ts";
import type { Feed } from "../live/feed.ts";
import type { Actor } from "../log/event.ts";
import type { CompleteWorkflows } from "../runs/batched-complete.ts";
import type { SharedLoaders } from "./shared-loaders.ts";
import type { WatchPermission } from "./subscriptions/watch-rule.ts";

/** Who asks, and for which workspace (section 11). */
export interface Viewer {
  readonly workspaceId: string;
  /** The workspace where the caller named one; a worker that names none serves every workspace. */
  readonly chosenWorkspaceId: string | null;
  readonly actor: Actor;
}

/** What belongs to several rows of one answer, read in one statement. By the page or the columns that are asked for. */
export interface Loaders {
  /** Whether a row that was read once is given again: not where a mutation's second field must see what its first did. */
  readonly remember: boolean;
  readonly jobs: Map<string, DataLoader<string, AiJob>>;
  readonly latestRuns: Map<string, DataLoader<string, WorkflowRun>>;
  readonly nodes: Map<string, DataLoader<string, NodeExecution[]>>;
  readonly runs: Map<string, DataLoader<string, WorkflowRun[]>>;
  readonly events: Map<string, DataLoader<string, FlightRecorderEvent[]>>;
  readonly bulkCounts: Map<string, DataLoader<string, Counts>>;
  readonly bulkItems: Map<string, DataLoader<string, BulkActionItem[]>>;
}

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
  readonly sharedLoaders: SharedLoaders;
  /** Of the operation; while a subscription tells of an event, those that all subscribers of this event share. */
  loaders: Loaders;
  /** Aborted when the client has gone; undefined where nobody can tell. */
  readonly signal: AbortSignal | undefined;
}

export function newLoaders(remember = false): Loaders {
  return {
    remember,
    jobs: new Map(),
    latestRuns: new Map(),
    nodes: new Map(),
    runs: new Map(),
    events: new Map(),
    bulkCounts: new Map(),
    bulkItems: new Map(),
  };
}
