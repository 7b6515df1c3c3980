import pLimit from "p-limit";
import { batchEqualReads, type ScopedId, scopedIdTable } from "../db/batched-read.ts";
import type { PrismaClient } from "../db/generated/client/client.ts";
import { within } from "../db/scope.ts";
import { readWithRetry } from "../db/transaction.ts";
import { type OutputPage, type OutputQuery, readOutputPage } from "./page.ts";
import { compareOutput, type OutputPosition } from "./position.ts";

/** Somebody who watches the output of a job. */
export interface OutputWatcher {
  /** Up to where it has read. */
  readonly position: () => OutputPosition;
  /** Called when there may be more. */
  readonly wake: () => void;
}

/**
 * Pages that may be read at the same time: a thousand watchers that come back together, each from another place, must not take every
 * database connection.
 */
const MAX_CONCURRENT_READS = 3;
/** The most jobs that one statement asks for the ends of. */
const MAX_POLLED = 1000;

/**
 * Wakes those who watch the output of jobs. Appended chunks are no events, so the feed does not tell of them. Those of this process
 * wake their watchers at once; those of other servers are looked for again and again, of the jobs that somebody watches alone.
 */
export class OutputWatch {
  readonly #prisma: PrismaClient;
  readonly #pollMs: number | undefined;
  readonly #watched = new Map<string, { readonly id: ScopedId; readonly watchers: Set<OutputWatcher> }>();
  #timer: NodeJS.Timeout | undefined;

  /**
   * Reads a page; undefined where the workspace has no such job. Watchers that are at the same place share a statement.
   * @throws TryAgainError when the database failed too often.
   */
  readonly read: (query: OutputQuery) => Promise<OutputPage | undefined>;

  /** @param pollMs milliseconds between two looks for chunks of other servers; left out where there are none. */
  constructor(prisma: PrismaClient, pollMs?: number) {
    this.#prisma = prisma;
    this.#pollMs = pollMs;
    const limit = pLimit(MAX_CONCURRENT_READS);
    this.read = batchEqualReads((query: OutputQuery) =>
      limit(() => readWithRetry([query.workspaceId], () => readOutputPage(prisma, query))),
    );
  }

  /** To be called after each commit of this process that appended to the job's output. */
  appended(jobId: string): void {
    for (const { wake } of this.#watched.get(jobId)?.watchers ?? []) wake();
  }

  /** @returns a function that removes the watcher. */
  watch(id: ScopedId, watcher: OutputWatcher): () => void {
    const watched = this.#watched.get(id.id) ?? { id, watchers: new Set() };
    this.#watched.set(id.id, watched);
    watched.watchers.add(watcher);
    this.#schedule();
    return () => {
      // Who leaves twice must not take away what others have begun to watch since.
      if (watched.watchers.delete(watcher) && watched.watchers.size === 0) this.#watched.delete(id.id);
    };
  }

  /** One look at a time, which schedules the next one as long as somebody watches. */
  #schedule(): void {
    if (this.#pollMs === undefined || this.#timer !== undefined || this.#watched.size === 0) return;
    this.#timer = setTimeout(() => {
      void this.#poll().finally(() => {
        this.#timer = undefined;
        this.#schedule();
      });
    }, this.#pollMs).unref();
  }

  /** Never rejects: where the database cannot be asked now, the next look finds the same. */
  async #poll(): Promise<void> {
    const ids = [...this.#watched.values()].map(({ id }) => id);
    for (let start = 0; start < ids.length; start += MAX_POLLED) {
      const ends = await readEnds(this.#prisma, ids.slice(start, start + MAX_POLLED)).catch(() => []);
      for (const { jobId, ...end } of ends)
        for (const { position, wake } of this.#watched.get(jobId)?.watchers ?? [])
          if (compareOutput(end, position()) > 0) wake();
    }
  }
}

/** Reads the places of the last chunks of jobs. */
function readEnds(
  prisma: PrismaClient,
  ids: readonly ScopedId[],
): Promise<readonly (OutputPosition & { readonly jobId: string })[]> {
  return within(
    ids.map(({ workspaceId }) => workspaceId),
    () => prisma.$queryRaw<(OutputPosition & { jobId: string })[]>`
      SELECT requested_id AS "jobId", last.attempt, last.sequence FROM ${scopedIdTable(ids)} CROSS JOIN LATERAL (
        SELECT attempt, sequence FROM output_chunks c
        WHERE c.job_id = requested_id AND c.workspace_id = requested_workspace_id
        ORDER BY attempt DESC, sequence DESC LIMIT 1) AS last`,
  );
}
