import { afterAll, beforeAll, expect, test } from "vitest";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";

/** Every table says whose its rows are, and the database holds them to it: row-level security looks at one row alone. */

let db: TestDatabase;
beforeAll(async () => {
  db = await openTestDatabase();
});
afterAll(() => db.close());

/** To a report of the entry's own run, which is in the workspace by its own key. */
const BY_ITS_RUN = "usage_entries_workflow_run_id_report_id_fkey";

/** Of the whole deployment, as schema.prisma says of each; an API key, and a session, is of one workspace or of all. */
const OF_NO_WORKSPACE = ["api_keys", "capability_profiles", "event_log", "sessions", "totals_position"];

interface Table {
  readonly name: string;
  /** Whether it has a workspace_id that is never NULL. */
  readonly hasWorkspace: boolean;
  /** Foreign keys to a table that has a workspace, and whether the workspace is a part of the key. */
  readonly keys: readonly { readonly name: string; readonly withWorkspace: boolean }[];
}

test("every table of a workspace refers to its parent by a key that holds the workspace", async () => {
  const tables = await db.prisma.$queryRaw<Table[]>`
    WITH workspace_column AS (
      SELECT attrelid, attnum FROM pg_attribute WHERE attname = 'workspace_id' AND attnotnull
    )
    SELECT c.relname AS name, c.oid IN (SELECT attrelid FROM workspace_column) AS "hasWorkspace",
      (SELECT coalesce(json_agg(json_build_object('name', conname, 'withWorkspace', EXISTS (
          SELECT FROM workspace_column w WHERE w.attrelid = conrelid AND w.attnum = ANY (conkey)))), '[]')
        FROM pg_constraint WHERE conrelid = c.oid AND contype = 'f'
          AND confrelid IN (SELECT attrelid FROM workspace_column)) AS keys
    FROM pg_class c
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname <> '_prisma_migrations'
    ORDER BY relname`;
  expect(tables.filter((table) => !table.hasWorkspace).map(({ name }) => name)).toEqual(OF_NO_WORKSPACE);
  const held = tables.filter(({ name, hasWorkspace }) => hasWorkspace && name !== "workspaces");
  expect(held.length).toBeGreaterThan(5);
  const loose = held.filter(
    ({ keys }) => keys.length === 0 || keys.some(({ name, withWorkspace }) => !withWorkspace && name !== BY_ITS_RUN),
  );
  expect(loose).toEqual([]);
});
