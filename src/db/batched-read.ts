import { TryAgainError } from "../errors.ts";
import { batchCalls } from "./batch.ts";
import { Prisma } from "./generated/client/client.ts";
import type { ReadMemory } from "./read-memory.ts";
import type { Scope } from "./scope.ts";
import { groupBy } from "./slice.ts";
import { readWithRetry } from "./transaction.ts";

/**
 * Combines small reads into one statement, across operations and clients: most of the cost of a small read is its round trip
 * to the database. batch.ts has the rules. For reads they mean:
 *
 * - All reads of one tick of the event loop share a statement. It is sent after the last of them, so each read sees
 *   everything that was committed before it was made; the second field of a mutation sees what the first one changed.
 *   Nothing is cached: a later read is another statement.
 * - Several callers get the same row objects, so these are frozen: otherwise a resolver that changed a row would change the
 *   answers of other requests. Values inside JSON columns are not frozen; nothing may change them.
 */

/** An id together with the workspace of the request. A row of another workspace is never returned for it. */
export interface ScopedId {
  readonly workspaceId: string;
  readonly id: string;
}

/**
 * Reads the rows that belong to an id, such as the job with this id, or all runs of the job with this id.
 * @param params the other parameters of the read, such as which columns. Reads with equal parameters share a statement.
 * @returns frozen rows, in the order of the statement; none where the workspace has none.
 */
export type BatchedRead<Params, Row> = (id: ScopedId, params: Params) => Promise<readonly Row[]>;

/** The largest number of reads in one statement: enough for all rows of the longest list of an operation. */
const MAX_READS = 1000;

/**
 * Turns a statement for many ids into a batched read of one id.
 * @param read runs the statement. It must match each id together with its workspace (`scopedIdTable`).
 * @param idOf the id that a row belongs to, with the workspace in the row itself. It is compared with that of each caller: even a
 *   statement that forgot to check the workspace never returns a row to another workspace (section 11).
 */
export function batchReads<Params, Row extends object>(
  read: (ids: readonly ScopedId[], params: Params) => Promise<readonly Row[]>,
  idOf: (row: Row) => ScopedId,
): BatchedRead<Params, Row> {
  const readTogether = async (ids: readonly ScopedId[], params: Params) => {
    const answers = new Map<string, readonly Row[]>();
    const statements = statementsFor(ids).map(async (together) => {
      const rows = await readWithRetry(workspacesOf(together), () => read(together, params));
      const rowsById = groupBy(rows, (row) => idOf(row).id);
      for (const id of together) {
        // The second look: the statement has the workspace as a condition, too.
        const found = (rowsById.get(id.id) ?? []).filter((row) => idOf(row).workspaceId === id.workspaceId);
        answers.set(keyOf(id), freezeRows(found));
      }
    });
    await Promise.all(statements);
    return ids.map((id): readonly Row[] => answers.get(keyOf(id)) ?? []);
  };
  const call = batchCalls<{ readonly id: ScopedId; readonly params: Params }, readonly Row[]>({
    keyOf: ({ params }) => JSON.stringify([params]),
    maxCalls: MAX_READS,
    send: "END_OF_TICK",
    runTogether: async (calls) => {
      const [first] = calls;
      const ids = calls.map(({ id }) => id);
      return first ? readTogether(ids, first.params) : [];
    },
    runAlone: async ({ id, params }) => (await readTogether([id], params))[0] ?? [],
    // What was tried often enough together fails alone, too, after waiting for the same timeouts again.
    mayRunAgain: (error) => !(error instanceof TryAgainError),
  });
  return (id, params) => call({ id, params });
}

/**
 * Turns equal reads of one tick of the event loop into one, such as those of several clients that load the first page.
 * @param read runs the read. Its answer must depend on nothing but the query, which therefore includes the workspace.
 */
export function batchEqualReads<Query, Answer>(
  read: (query: Query) => Promise<Answer>,
): (query: Query) => Promise<Answer> {
  return batchCalls<Query, Answer>({
    keyOf: (query) => JSON.stringify([query]),
    maxCalls: MAX_READS,
    send: "END_OF_TICK",
    runTogether: async (calls) => {
      const [first] = calls;
      if (first === undefined) return [];
      const answer = await read(first);
      return calls.map(() => answer);
    },
    runAlone: read,
    // All calls of the batch are equal, so each would fail alone in the same way, after waiting for the same timeout again.
    mayRunAgain: () => false,
  });
}

/**
 * @param memory counts what is remembered; what it forgets is read again.
 * @param onKept called with each key of the memory, for who releases it.
 * @returns the same read with a cache that lasts as long as the returned function: after the first read of an id with some
 *   parameters, each further one gets the same rows. For a caller whose answers may all be as old as the first one.
 */
export function rememberReads<Params, Row>(
  read: BatchedRead<Params, Row>,
  memory: ReadMemory,
  onKept: (key: object) => void,
): BatchedRead<Params, Row> {
  const cache = new Map<string, Promise<readonly Row[]>>();
  return (id, params) => {
    const key = JSON.stringify([keyOf(id), params]);
    const known = cache.get(key);
    if (known) return known;
    const rows = read(id, params);
    cache.set(key, rows);
    const forget = () => cache.delete(key);
    rows.then((found) => onKept(memory.keep(found, forget)), forget);
    return rows;
  };
}

/** Freezes a list and its rows. @returns the list itself. */
export function freezeRows<Row extends object>(rows: readonly Row[]): readonly Row[] {
  for (const row of rows) Object.freeze(row);
  return Object.freeze(rows);
}

/** @returns ids as a table for a FROM clause, with the columns `requested_id` and `requested_workspace_id`. */
export function scopedIdTable(ids: readonly ScopedId[]): Prisma.Sql {
  return Prisma.sql`unnest(${ids.map(({ id }) => id)}::uuid[], ${ids.map(({ workspaceId }) => workspaceId)}::uuid[])
    AS requested(requested_id, requested_workspace_id)`;
}

/**
 * Divides reads into statements, in each of which an id is asked for by one workspace alone: only then does a row's id tell for whom it
 * was read. It is one statement, unless two workspaces ask for the same id in one tick.
 */
function statementsFor(ids: readonly ScopedId[]): readonly (readonly ScopedId[])[] {
  const sameIds = groupBy([...new Map(ids.map((id) => [keyOf(id), id])).values()], ({ id }) => id);
  const statements: ScopedId[][] = [];
  for (const sameId of sameIds.values())
    for (const [index, id] of sameId.entries()) {
      statements[index] ??= [];
      statements[index].push(id);
    }
  return statements;
}

/** @returns the scope of a statement for these ids. */
function workspacesOf(ids: readonly ScopedId[]): Scope {
  return ids.map(({ workspaceId }) => workspaceId);
}

function keyOf({ workspaceId, id }: ScopedId): string {
  return `${workspaceId}/${id}`;
}
