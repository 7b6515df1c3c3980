import type pg from "pg";
import { DatabaseError } from "./database-error.ts";
import type { PoolMode } from "./session.ts";

/**
 * Finds out whether what answers is a pooler (PgBouncer, a host's proxy) that was not announced, or of another kind than was.
 * Such a server would start and look healthy, and then lose its prepared statements and time limits, or use those of others.
 * @param open opens a further connection, by the same way.
 * @throws DatabaseError with what to set.
 */
export async function assertPoolMode(
  connection: pg.Client,
  mode: PoolMode,
  open: () => Promise<pg.Client>,
): Promise<void> {
  const pid = await backendPid(connection);
  // PostgreSQL tells a client the id of its own process when it connects. A pooler makes one up.
  const isPooled = Reflect.get(connection, "processID") !== pid;
  if (!isPooled || mode === "transaction") return;
  if (mode === "direct") {
    throw new DatabaseError(
      "A connection pooler answers at the address in DATABASE_URL. Set DATABASE_POOL_MODE to `session` or `transaction`, as the " +
        "pooler is configured, and DATABASE_DIRECT_URL to the address of PostgreSQL itself (docs/operating.md).",
    );
  }
  const other = await open();
  try {
    if ((await backendPid(other)) !== pid) return;
  } finally {
    await other.end();
  }
  throw new DatabaseError(
    "The pooler at the address in DATABASE_URL gives one connection of PostgreSQL to two clients: it is in transaction mode. Set " +
      "DATABASE_POOL_MODE=transaction.",
  );
}

async function backendPid(connection: pg.Client): Promise<number | undefined> {
  const { rows } = await connection.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  return rows[0]?.pid;
}
