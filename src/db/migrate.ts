import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SqlMigrationAwareDriverAdapterFactory } from "@prisma/driver-adapter-utils";
import type { MigrationList } from "@prisma/schema-engine-wasm/schema_engine_bg";
import { openSchemaEngine, SCHEMA_FILE } from "./schema-engine.ts";

const FOLDER = fileURLToPath(new URL("../../prisma/migrations", import.meta.url));
const NO_FILTER = { externalTables: [], externalEnums: [] };

/** A database that this code must not touch; its message says what to do. */
export class MigrationError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "MigrationError";
  }
}

/**
 * Brings a database to the newest migration of this code; the caller holds the lock that keeps others out.
 * @returns the names of the migrations that were applied now.
 * @throws MigrationError when an earlier migration failed, one fails now, or the database is newer than the code.
 */
export async function migrate(
  adapters: SqlMigrationAwareDriverAdapterFactory,
  folder = FOLDER,
): Promise<readonly string[]> {
  const { engine, causeOf, close } = await openSchemaEngine(adapters);
  try {
    const migrationsList = await readMigrations(folder);
    const diagnose = () =>
      engine.diagnoseMigrationHistory({ migrationsList, optInToShadowDatabase: false, filters: NO_FILTER });
    const found = await diagnose();
    refuseFailed(found.failedMigrationNames);
    const { history } = found;
    if (history && history.diagnostic !== "databaseIsBehind") refuseNewer(history.unpersistedMigrationNames);
    refuseEdited(found.editedMigrationNames);
    const { appliedMigrationNames } = await engine
      .applyMigrations({ migrationsList, filters: NO_FILTER })
      .catch(async (error: unknown) => {
        const cause = causeOf(error);
        // None was begun, so none is to be mended: the connection broke while the engine looked, for one.
        if ((await diagnose()).failedMigrationNames.length === 0) throw cause;
        throw new MigrationError(
          "A migration failed, and the server did not start. Nothing was served from this database. Read the cause " +
            "below, mend it, then mark the migration with `npx prisma migrate resolve` and start again.",
          cause,
        );
      });
    return appliedMigrationNames;
  } finally {
    await close();
  }
}

/** What `schema.prisma` says and the migrations do not make, as SQL; empty when they agree. */
export async function drift(adapters: SqlMigrationAwareDriverAdapterFactory, folder = FOLDER): Promise<string> {
  const { engine, close } = await openSchemaEngine(adapters);
  try {
    const { stdout } = await engine.diff({
      from: { tag: "migrations", ...(await readMigrations(folder)) },
      to: { tag: "schemaDatamodel", files: [{ path: SCHEMA_FILE, content: await readFile(SCHEMA_FILE, "utf8") }] },
      script: true,
      exitCode: null,
      filters: NO_FILTER,
    });
    return (stdout ?? "").replace(/^--.*$/gm, "").trim();
  } finally {
    await close();
  }
}

async function readMigrations(folder: string): Promise<MigrationList> {
  const names = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const migrationDirectories = await Promise.all(
    names.map(async ({ name }) => ({
      path: name,
      migrationFile: {
        path: "migration.sql",
        content: { tag: "ok" as const, value: await readFile(join(folder, name, "migration.sql"), "utf8") },
      },
    })),
  );
  migrationDirectories.sort((a, b) => (a.path < b.path ? -1 : 1));
  const lockfile = { path: "migration_lock.toml", content: 'provider = "postgresql"\n' };
  return { baseDir: folder, lockfile, shadowDbInitScript: "", migrationDirectories };
}

function refuseFailed(names: readonly string[]): void {
  if (names.length === 0) return;
  throw new MigrationError(
    `The migration ${names.join(", ")} failed on this database earlier. Look at its row in _prisma_migrations, mend ` +
      "what it left, mark it with `npx prisma migrate resolve --rolled-back` or `--applied`, and start again.",
  );
}

function refuseNewer(names: readonly string[]): void {
  throw new MigrationError(
    `This database is newer than this server: it has the migration ${names.join(", ")}, which this version does not ` +
      "know. Start the version that made it, or a later one.",
  );
}

function refuseEdited(names: readonly string[]): void {
  if (names.length === 0) return;
  throw new MigrationError(
    `The migration ${names.join(", ")} was changed after this database had applied it. Restore the file as it was ` +
      "released; make a change as a new migration.",
  );
}
