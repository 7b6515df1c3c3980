import type DataLoader from "dataloader";
import type {
  AiJob,
  BulkActionItem,
  FlightRecorderEvent,
  NodeExecution,
  WorkflowRun,
} from "../db/generated/client/client.ts";
import type { Counts } from "../jobs/bulk/items.ts";

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

/**
 * Loaders that have loaded nothing yet.
 * @param remember as `Loaders.remember`.
 */
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

/** Long enough for every subscriber that keeps up; what was loaded may be large, and must not wait for the others. */
const KEPT_MS = 3000;

/** What subscribers select beyond an event is loaded once for all of them, not by each. */
export class SharedLoaders {
  readonly #byBatch = new WeakMap<object, Loaders>();

  /** Those of all events that were read in this batch. */
  of(batch: object): Loaders {
    const known = this.#byBatch.get(batch);
    if (known) return known;
    const loaders = newLoaders(true);
    this.#byBatch.set(batch, loaders);
    setTimeout(() => this.#byBatch.delete(batch), KEPT_MS).unref();
    return loaders;
  }
}
