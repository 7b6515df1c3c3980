import type { Database, DatabaseLocation } from "./database.ts";
import { migrate } from "./migrate.ts";
import { createPglite, openPglite } from "./pglite.ts";
import { PgliteAdapterFactory } from "./pglite-adapter.ts";
import { openPostgres } from "./postgres.ts";
import { createClient } from "./prisma-client.ts";

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

async function openEmbedded(
  location: Exclude<DatabaseLocation, { kind: "postgres" }>,
  onStatement?: (sql: string) => void,
): Promise<Database> {
  const pglite = await (location.kind === "memory" ? createPglite() : openPglite(location.path));
  const adapter = new PgliteAdapterFactory(pglite);
  try {
    await migrate(adapter);
  } catch (error) {
    await pglite.close();
    throw error;
  }
  const prisma = createClient(adapter, onStatement);
  const close = async () => {
    await prisma.$disconnect();
    await pglite.close();
  };
  return { prisma, kind: location.kind, close };
}
