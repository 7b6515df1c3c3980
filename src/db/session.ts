import type pg from "pg";
import { DatabaseError } from "./database-error.ts";
import { PLANNER_SETTINGS } from "./prepared.ts";

/**
 * The settings of every session, by the names and in the words of `pg_settings`:
 * - How values are written and read: a database, or a role, may have been set to something else.
 * - UTC, because Prisma's adapter reads every timestamp as UTC.
 * - READ COMMITTED, because every compare-and-set of this server is written for it.
 * - Time limits in milliseconds, because the feed reads only up to this database's oldest open transaction (section 4): one that
 *   never ended would stop all subscriptions.
 * - The planner settings of prepared.ts.
 */
const SESSION_SETTINGS: Readonly<Record<string, string>> = {
  DateStyle: "ISO, MDY",
  TimeZone: "UTC",
  IntervalStyle: "postgres",
  bytea_output: "hex",
  extra_float_digits: "1",
  standard_conforming_strings: "on",
  array_nulls: "on",
  transform_null_equals: "off",
  xmloption: "content",
  search_path: "public",
  default_transaction_isolation: "read committed",
  statement_timeout: "15000",
  lock_timeout: "8000",
  idle_in_transaction_session_timeout: "15000",
  plan_cache_mode: "auto",
  ...PLANNER_SETTINGS,
};

/** The settings that every pooler hands on, because they are parameters of the protocol itself. */
const STARTUP_SETTINGS = ["DateStyle", "TimeZone"];

/**
 * What stands at the address, and so how the settings reach a session:
 * - `direct`, PostgreSQL itself: with the connection, without a round trip of their own.
 * - `session`, a pooler that gives each client a connection for as long as it stays, but drops the settings that come with
 *   it. So they are set when it is there.
 * - `transaction`, a pooler that gives each transaction whatever connection is free. So the role must have them.
 */
export type PoolMode = "direct" | "session" | "transaction";

/** The address of a database with the settings that go with each connection. */
export function withSettings(databaseUrl: string, mode: PoolMode): string {
  if (mode !== "direct") return databaseUrl;
  const url = new URL(databaseUrl);
  const options = Object.entries(SESSION_SETTINGS).map(
    ([name, value]) => `-c ${name}=${value.replaceAll(/[\\ ]/g, "\\$&")}`,
  );
  url.searchParams.set("options", [url.searchParams.get("options") ?? "", ...options].join(" ").trim());
  return url.href;
}

/** The settings that go as parameters of the protocol, which a pooler keeps for its client. */
export function startupParameters(mode: PoolMode): Readonly<Record<string, string>> {
  if (mode === "direct") return {};
  return Object.fromEntries(STARTUP_SETTINGS.map((name) => [name, SESSION_SETTINGS[name] ?? ""]));
}

/** Sets what did not come with the connection. */
export async function applySettings(client: pg.ClientBase, mode: PoolMode): Promise<void> {
  if (mode !== "session") return;
  await client.query("SELECT set_config(name, value, false) FROM json_each_text($1) AS s(name, value)", [
    JSON.stringify(SESSION_SETTINGS),
  ]);
}

/** @throws DatabaseError where a session has not the settings that it should have, with how to get them. */
export async function assertSettings(client: pg.ClientBase, mode: PoolMode): Promise<void> {
  // Behind a pooler in transaction mode, what somebody has set in a session is there by chance.
  const { rows } = await client.query<{ name: string; setting: string; role: string; database: string }>(
    `SELECT name, setting, quote_ident(current_user) AS role, quote_ident(current_database()) AS database
     FROM pg_settings WHERE NOT ($1 AND source = 'session')`,
    [mode === "transaction"],
  );
  const current = new Map(rows.map(({ name, setting }) => [name, setting]));
  const wrong = Object.entries(SESSION_SETTINGS).filter(([name, value]) => current.get(name) !== value);
  const [row] = rows;
  if (wrong.length === 0 || !row) return;
  if (mode !== "transaction") {
    const names = wrong.map(([name, value]) => `${name} is ${current.get(name)} instead of ${value}`).join(", ");
    throw new DatabaseError(`The server cannot set up its sessions: ${names}. What is between it and PostgreSQL?`);
  }
  const alter = `ALTER ROLE ${row.role} IN DATABASE ${row.database} SET`;
  const statements = wrong.map(([name, value]) => `  ${alter} ${name} = '${value}';`);
  throw new DatabaseError(
    "Behind a pooler in transaction mode, the role must have the settings that the server relies on. Run these, then let the " +
      `pooler connect anew (RECONNECT in PgBouncer):\n${statements.join("\n")}`,
  );
}
