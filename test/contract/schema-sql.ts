import { fileURLToPath } from "node:url";
import { migrate } from "../../src/db/migrate.ts";
import { createPglite } from "../../src/db/pglite.ts";
import { PgliteAdapterFactory } from "../../src/db/pglite-adapter.ts";

/** What the migrations make, as one file, table by table: generated and committed. */
export const SCHEMA_SQL_FILE = fileURLToPath(new URL("../../prisma/schema.sql", import.meta.url));

/** A connection to either store. */
export interface Connection {
  query<Row extends object>(sql: string): Promise<{ readonly rows: Row[] }>;
}

interface Line {
  /** A table; null for what belongs to none. */
  readonly of: string | null;
  readonly sql: string;
}

const HEAD = `-- The whole database in one picture: types, functions, then each table with its columns, constraints, indexes, triggers and
-- the functions of its triggers. Written by \`npm run schema:sql\` from what prisma/migrations make; do not edit it. What a
-- column means is said in schema.prisma, what a check refuses and an index serves in prisma/migrations.`;

/** Ours: what is in the schema of the connection, but for Prisma's own table. */
const OURS = `current_schema()::regnamespace`;
const TABLES = `SELECT oid, relname, reloptions FROM pg_class
  WHERE relnamespace = ${OURS} AND relkind = 'r' AND relname <> '_prisma_migrations'`;

const TYPES = `
  SELECT NULL AS of, 'CREATE TYPE ' || quote_ident(typname) || ' AS ENUM ('
    || (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)
    || ');' AS sql
  FROM pg_type t WHERE typnamespace = ${OURS} AND typtype = 'e' ORDER BY typname`;

/** A function that the triggers of one table alone call belongs to that table. */
const FUNCTIONS = `
  SELECT CASE count(DISTINCT c.relname) WHEN 1 THEN min(c.relname) END AS of,
    rtrim(pg_get_functiondef(p.oid), E'\\n') || ';' AS sql
  FROM pg_proc p LEFT JOIN pg_trigger t ON t.tgfoid = p.oid LEFT JOIN pg_class c ON c.oid = t.tgrelid
  WHERE p.pronamespace = ${OURS} GROUP BY p.oid, p.proname ORDER BY p.proname`;

const TABLE_NAMES = `SELECT relname AS of, '' AS sql FROM (${TABLES}) AS t ORDER BY oid`;

const COLUMNS = `
  SELECT relname AS of, quote_ident(attname) || ' ' || format_type(atttypid, atttypmod)
    || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
    || coalesce(CASE attgenerated WHEN 's' THEN ' GENERATED ALWAYS AS (' || pg_get_expr(adbin, adrelid) || ') STORED'
      ELSE ' DEFAULT ' || pg_get_expr(adbin, adrelid) END, '') AS sql
  FROM (${TABLES}) AS t JOIN pg_attribute a ON attrelid = t.oid
    LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum
  WHERE attnum > 0 AND NOT attisdropped ORDER BY attnum`;

/** NOT NULL stands with its column: newer versions of PostgreSQL list it here as well. */
const CONSTRAINTS = `
  SELECT relname AS of, 'CONSTRAINT ' || quote_ident(conname) || ' ' || pg_get_constraintdef(c.oid, true) AS sql
  FROM (${TABLES}) AS t JOIN pg_constraint c ON conrelid = t.oid
  WHERE contype IN ('p', 'u', 'f', 'c') ORDER BY position(contype::text IN 'pufc'), conname`;

const SETTINGS = `
  SELECT relname AS of,
    'ALTER TABLE ' || quote_ident(relname) || ' SET (' || array_to_string(reloptions, ', ') || ');' AS sql
  FROM (${TABLES}) AS t WHERE reloptions IS NOT NULL
  UNION ALL
  SELECT relname, 'ALTER TABLE ' || quote_ident(relname) || ' ALTER COLUMN ' || quote_ident(attname) || ' SET STORAGE '
    || CASE attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END || ';'
  FROM (${TABLES}) AS t JOIN pg_attribute a ON attrelid = t.oid JOIN pg_type ON pg_type.oid = atttypid
  WHERE attnum > 0 AND NOT attisdropped AND attstorage <> typstorage
  ORDER BY sql`;

/** Those of constraints stand with their constraint. */
const INDEXES = `
  SELECT relname AS of, pg_get_indexdef(indexrelid) || ';' AS sql
  FROM (${TABLES}) AS t JOIN pg_index i ON indrelid = t.oid
  WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = indexrelid AND c.contype IN ('p', 'u'))
  ORDER BY indexrelid::regclass::text`;

/** In the order in which they fire, as far as names tell. */
const TRIGGERS = `
  SELECT relname AS of, pg_get_triggerdef(g.oid, true) || ';' AS sql
  FROM (${TABLES}) AS t JOIN pg_trigger g ON tgrelid = t.oid WHERE NOT tgisinternal ORDER BY tgname`;

/**
 * The database that a connection is to, as SQL to read: types, functions, and each table with all that belongs to it.
 * @returns the same text for the same migrations, whatever the store and the version of PostgreSQL.
 */
export async function describeDatabase(connection: Connection): Promise<string> {
  const read = async (sql: string) => (await connection.query<Line>(sql)).rows;
  const [types, functions, tables] = [await read(TYPES), await read(FUNCTIONS), await read(TABLE_NAMES)];
  const [columns, constraints] = [await read(COLUMNS), await read(CONSTRAINTS)];
  const [settings, indexes, triggers] = [await read(SETTINGS), await read(INDEXES), await read(TRIGGERS)];
  const blocks = [HEAD, linesOf(types, null), linesOf(functions, null, "\n\n")];
  for (const { of } of tables) {
    const body = linesOf([...columns, ...constraints], of, ",\n").replace(/^/gm, "  ");
    blocks.push(
      `${titleOf(of)}\n\nCREATE TABLE ${of} (\n${body}\n);`,
      linesOf(settings, of),
      linesOf(indexes, of),
      linesOf(
        triggers.map(({ of, sql }) => ({ of, sql: wrapTrigger(sql) })),
        of,
      ),
      linesOf(functions, of, "\n\n"),
    );
  }
  return `${blocks.filter((block) => block !== "").join("\n\n")}\n`;
}

/** What `prisma/schema.sql` should hold: what the migrations make on the embedded store, which everybody has. */
export async function migratedSchemaSql(): Promise<string> {
  const pglite = await createPglite();
  try {
    await migrate(new PgliteAdapterFactory(pglite));
    return await describeDatabase(pglite);
  } finally {
    await pglite.close();
  }
}

function linesOf(lines: readonly Line[], of: string | null, separator = "\n"): string {
  return lines
    .filter((line) => line.of === of)
    .map(({ sql }) => sql)
    .join(separator);
}

/** A trigger's condition may be twenty comparisons: each on a line of its own, so that a difference shows which one changed. */
function wrapTrigger(sql: string): string {
  const [event = "", ...condition] = sql.replace(" EXECUTE FUNCTION", "\n  EXECUTE FUNCTION").split(" WHEN (");
  return condition.length === 0
    ? event
    : `${event}\n  WHEN (${condition.join(" WHEN (").replaceAll(" OR ", "\n    OR ")}`;
}

function titleOf(table: string | null): string {
  return `-- ${"-".repeat(64)} ${table}`;
}
