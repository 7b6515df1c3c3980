import type { PGlite } from "@electric-sql/pglite";
import type { Database, DatabaseLocation } from "./database.ts";
import { migrate } from "./migrate.ts";
import { createPglite, openPglite } from "./pglite.ts";
import { PgliteAdapterFactory } from "./pglite-adapter.ts";
import { openPostgres } from "./postgres.ts";
import { createClient } from "./prisma-client.ts";
import { grantsTo } from "./privileges.ts";
import { scopeSetting } from "./scope.ts";

/**
 * Opens the database and applies the migrations that it lacks. Several servers may do so at once: on PostgreSQL a lock lets
 * one of them migrate while the others wait.
 * @param onStatement called with the text of every SQL statement, for tests that count statements.
 * @throws DatabaseError when PostgreSQL cannot be reached, is older than version 15, or cannot be used as it is.
 * @throws MigrationError when the migrations cannot be applied to this database.
 * @throws FolderInUseError when another live process uses the folder of the embedded database.
 */
export async function openDatabase(location: DatabaseLocation, onStatement?: (sql: string) => void): Promise<Database> {
  switch (location.kind) {
    case "memory":
    case "folder":
      return openEmbedded(location, onStatement);
    case "postgres":
      return openPostgres(location, onStatement);
  }
}

/** The role that statements run as on the embedded database, whose session is a superuser's: row-level security holds for it. */
const SERVER_ROLE = "ai_job_server";

/** @returns SQL that makes the role, gives it what the server needs, and changes to it until the database is closed. */
function enterServerRole(): string {
  const makeRole = `IF to_regrole('${SERVER_ROLE}') IS NULL THEN CREATE ROLE ${SERVER_ROLE}; END IF;`;
  return `DO $$ BEGIN ${makeRole} END $$; ${grantsTo(SERVER_ROLE)} SET ROLE ${SERVER_ROLE};`;
}

/** @returns SQL that a transaction begins with, so that it sees the workspaces of the work that opens it. */
function setScope(): string {
  return `SET LOCAL app.workspaces = '${scopeSetting()}'`;
}

async function openEmbedded(
  location: Exclude<DatabaseLocation, { kind: "postgres" }>,
  onStatement?: (sql: string) => void,
): Promise<Database> {
  const pglite = await (location.kind === "memory" ? createPglite() : openPglite(location.path));
  return openOnPglite(pglite, location.kind, onStatement);
}

/**
 * Opens the database that a PGlite holds, as `openDatabase` does. To close it closes the PGlite.
 * @throws MigrationError when the migrations cannot be applied to it; it is closed then.
 */
export async function openOnPglite(
  pglite: PGlite,
  kind: "memory" | "folder",
  onStatement?: (sql: string) => void,
): Promise<Database> {
  try {
    await migrate(new PgliteAdapterFactory(pglite));
    await pglite.exec(enterServerRole());
  } catch (error) {
    await pglite.close();
    throw error;
  }
  const prisma = createClient(new PgliteAdapterFactory(pglite, setScope), onStatement);
  const close = async () => {
    await prisma.$disconnect();
    await pglite.close();
  };
  return { prisma, kind, close };
}
