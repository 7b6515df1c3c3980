import { batchCalls } from "./batch.ts";
import { Prisma } from "./generated/client/client.ts";
import { groupBy } from "./slice.ts";

/**
 * Reads that come together share one statement, from whatever operation or client they come: most of what a small read
 * costs is its round trip to the database. batch.ts has the rules; here is what they mean for reads.
 *
 * - Reads of one turn of the event loop share. The statement is sent after the last of them came, so each of them sees
 *   everything that was committed before it came; a mutation's second field sees what its first one did. Nothing is
 *   remembered: a read that comes later is another statement.
 * - Rows are given to everybody who asked for them, and so they are frozen: a resolver that changed one would change the
 *   answers of others. What is inside of a JSON column is not, and only ever read.
 */

/** What a read is about: an id, and the workspace that it is asked for in. Rows of other workspaces are no answer. */
export interface ScopedId {
  readonly workspaceId: string;
  readonly id: string;
}

/**
 * Reads what an id stands for, such as the job of this id, or all runs of the job of this id.
 * @param question what is asked of it, such as which columns; reads with equal questions share.
 * @returns frozen rows; none where the workspace has none.
 */
export type BatchedRead<Question, Row> = (id: ScopedId, question: Question) => Promise<readonly Row[]>;

/** Reads of one statement, at most: as many as the longest list of an operation has rows. */
const MAX_READS = 1000;

/**
 * Makes a statement for many ids into a read of one of them.
 * @param read the statement. It joins each id with its own workspace (`scopedIdTable`).
 * @param idOf the id that a row is an answer to, with the row's own workspace. What a row says of itself decides who
 *   gets it: none is handed out to another workspace, even where the statement forgot to ask (section 11).
 */
export function batchReads<Question, Row extends object>(
  read: (ids: readonly ScopedId[], question: Question) => Promise<readonly Row[]>,
  idOf: (row: Row) => ScopedId,
): BatchedRead<Question, Row> {
  const readTogether = async (ids: readonly ScopedId[], question: Question) => {
    const distinct = new Map(ids.map((id) => [keyOf(id), id]));
    const rows = await read([...distinct.values()], question);
    const rowsById = groupBy(rows, (row) => keyOf(idOf(row)));
    for (const rowsOfId of rowsById.values()) freezeRows(rowsOfId);
    return ids.map((id): readonly Row[] => rowsById.get(keyOf(id)) ?? []);
  };
  const call = batchCalls<{ readonly id: ScopedId; readonly question: Question }, readonly Row[]>({
    keyOf: ({ question }) => JSON.stringify([question]),
    maxCalls: MAX_READS,
    send: "END_OF_TURN",
    runTogether: async (calls) => {
      const [first] = calls;
      const ids = calls.map(({ id }) => id);
      return first ? readTogether(ids, first.question) : [];
    },
    runAlone: async ({ id, question }) => (await readTogether([id], question))[0] ?? [],
    mayRunAgain: () => true,
  });
  return (id, question) => call({ id, question });
}

/**
 * Makes equal reads of one turn, such as those of everybody who looks at the first page, into one.
 * @param read says by its question all that its answer depends on, the workspace included.
 */
export function batchEqualReads<Question, Answer>(
  read: (question: Question) => Promise<Answer>,
): (question: Question) => Promise<Answer> {
  return batchCalls<Question, Answer>({
    keyOf: (question) => JSON.stringify([question]),
    maxCalls: MAX_READS,
    send: "END_OF_TURN",
    runTogether: async (calls) => {
      const [first] = calls;
      if (first === undefined) return [];
      const answer = await read(first);
      return calls.map(() => answer);
    },
    runAlone: read,
    // No neighbour is to blame: alone, each would fail as they do together, and a timeout would be waited for again.
    mayRunAgain: () => false,
  });
}

/** The same read for those whose answers may be as old as the first of them: what was read once is given again. */
export function rememberReads<Question, Row>(read: BatchedRead<Question, Row>): BatchedRead<Question, Row> {
  const cache = new Map<string, Promise<readonly Row[]>>();
  return (id, question) => {
    const key = JSON.stringify([keyOf(id), question]);
    const rows = cache.get(key) ?? read(id, question);
    cache.set(key, rows);
    return rows;
  };
}

/** @returns the rows themselves, which can be changed no more. */
export function freezeRows<Row extends object>(rows: readonly Row[]): readonly Row[] {
  for (const row of rows) Object.freeze(row);
  return Object.freeze(rows);
}

/** Ids as a table for a FROM clause, with the columns `asked_id` and `asked_workspace_id`. */
export function scopedIdTable(ids: readonly ScopedId[]): Prisma.Sql {
  return Prisma.sql`unnest(${ids.map(({ id }) => id)}::uuid[], ${ids.map(({ workspaceId }) => workspaceId)}::uuid[])
    AS asked(asked_id, asked_workspace_id)`;
}

function keyOf({ workspaceId, id }: ScopedId): string {
  return `${workspaceId}/${id}`;
}
