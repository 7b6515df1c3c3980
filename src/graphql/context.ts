import type DataLoader from "dataloader";
import type { Actor } from "../recorder/event.ts";
import type { Feed } from "../recorder/feed.ts";
import type {
  AiJob,
  BulkActionItem,
  FlightRecorderEvent,
  NodeExecution,
  WorkflowRun,
} from "../storage/generated/client/client.ts";
import type { Counts } from "../workflow/bulk-items.ts";
import type { Engine } from "../workflow/engine.ts";
import type { WaitingRoom } from "../workflow/waiting.ts";

/** Who asks, and for which workspace (section 11). */
export interface Viewer {
  readonly workspaceId: string;
  /** The workspace where the caller named one; a worker that names none serves every workspace. */
  readonly chosenWorkspaceId: string | null;
  readonly actor: Actor;
}

/** What belongs to several rows of one answer, read in one statement. By the page or the columns that are asked for. */
export interface Loaders {
  readonly jobs: Map<string, DataLoader<string, AiJob>>;
  readonly latestRuns: Map<string, DataLoader<string, WorkflowRun>>;
  readonly nodes: Map<string, DataLoader<string, NodeExecution[]>>;
  readonly runs: Map<string, DataLoader<string, WorkflowRun[]>>;
  readonly events: Map<string, DataLoader<string, FlightRecorderEvent[]>>;
  readonly bulkCounts: Map<string, DataLoader<string, Counts>>;
  readonly bulkItems: Map<string, DataLoader<string, BulkActionItem[]>>;
}

/** What every resolver gets: made once for each operation. */
export interface GraphQLContext {
  readonly engine: Engine;
  readonly feed: Feed;
  readonly waiting: WaitingRoom;
  readonly viewer: Viewer;
  readonly loaders: Loaders;
  /** Aborted when the client has gone; undefined where nobody can tell. */
  readonly signal: AbortSignal | undefined;
}

export function newLoaders(): Loaders {
  return {
    jobs: new Map(),
    latestRuns: new Map(),
    nodes: new Map(),
    runs: new Map(),
    events: new Map(),
    bulkCounts: new Map(),
    bulkItems: new Map(),
  };
}
