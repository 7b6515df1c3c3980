import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SqlMigrationAwareDriverAdapterFactory } from "@prisma/driver-adapter-utils";
import type { MigrationList } from "@prisma/schema-engine-wasm/schema_engine_bg";
import type pg from "pg";
import { openSchemaEngine, SCHEMA_FILE } from "./schema-engine.ts";

const MIGRATIONS_FOLDER = fileURLToPath(new URL("../../prisma/migrations", import.meta.url));
const NO_FILTER = { externalTables: [], externalEnums: [] };

/** This version cannot use the database, or must not change it. The message says what to do. */
export class MigrationError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "MigrationError";
  }
}

/** The database is older than this version, and may be migrated. */
export class LacksMigrationsError extends MigrationError {
  override readonly name = "LacksMigrationsError";
}

/**
 * Applies the migrations that a database lacks. The caller must hold the lock that keeps other servers from migrating it.
 * @returns the names of the migrations that this call applied, oldest first.
 * @throws MigrationError when the database was made before the first release, or by a newer version; when a migration
 *   failed on it earlier, or fails now; or when one was edited after it had been applied.
 */
export async function migrate(
  adapters: SqlMigrationAwareDriverAdapterFactory,
  folder = MIGRATIONS_FOLDER,
): Promise<readonly string[]> {
  const { engine, causeOf, close } = await openSchemaEngine(adapters);
  try {
    const migrationsList = await readMigrations(folder);
    const diagnose = () =>
      engine.diagnoseMigrationHistory({ migrationsList, optInToShadowDatabase: false, filters: NO_FILTER });
    const diagnosis = await diagnose();
    const { history } = diagnosis;
    const unknownNames = history && history.diagnostic !== "databaseIsBehind" ? history.unpersistedMigrationNames : [];
    assertReleased(unknownNames, migrationsList);
    assertNoneFailed(diagnosis.failedMigrationNames);
    assertNotNewer(unknownNames);
    assertNotEdited(diagnosis.editedMigrationNames);
    const { appliedMigrationNames } = await engine
      .applyMigrations({ migrationsList, filters: NO_FILTER })
      .catch(async (error: unknown) => {
        const cause = causeOf(error);
        // No migration was started, so there is none to repair. The connection may have broken while the history was read.
        if ((await diagnose()).failedMigrationNames.length === 0) throw withoutFrames(cause);
        throw new MigrationError(
          "A migration failed, and the server did not start. Fix the cause named below, set rolled_back_at in the migration's " +
            "row of _prisma_migrations, and start again.",
          cause,
        );
      });
    return appliedMigrationNames;
  } finally {
    await close();
  }
}

/**
 * Looks whether a database has every migration, where this server does not apply them.
 * @throws MigrationError with those that lack, or that this version does not know.
 */
export async function assertMigrated(connection: pg.ClientBase, folder = MIGRATIONS_FOLDER): Promise<void> {
  const known = (await readMigrations(folder)).migrationDirectories.map(({ path }) => path);
  const { rows: tables } = await connection.query<{ there: boolean }>(
    "SELECT to_regclass('_prisma_migrations') IS NOT NULL AS there",
  );
  const { rows } = tables[0]?.there
    ? await connection.query<{ name: string }>(
        "SELECT migration_name AS name FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL",
      )
    : { rows: [] };
  const applied = rows.map(({ name }) => name);
  assertNotNewer(applied.filter((name) => !known.includes(name)));
  const lacking = known.filter((name) => !applied.includes(name));
  if (lacking.length === 0) return;
  throw new LacksMigrationsError(
    `The database lacks the migration ${lacking.join(", ")}, and this server does not migrate. Run \`npx ai-job-server migrate\` with the ` +
      "address of PostgreSQL itself and the owner of the tables, then start again.",
  );
}

/** @returns the difference between the migrations and `schema.prisma`, as the SQL that is missing; empty when they agree. */
export async function drift(
  adapters: SqlMigrationAwareDriverAdapterFactory,
  folder = MIGRATIONS_FOLDER,
): Promise<string> {
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

/** An error of the engine without the frames of its own stack, which follow its message and tell an operator nothing. */
function withoutFrames(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const [message = ""] = error.message.split(/\n\s+0: /);
  return message === error.message ? error : new Error(message.replace(/^ERROR: /, ""));
}

async function readMigrations(folder: string): Promise<MigrationList> {
  const folders = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const migrationDirectories = await Promise.all(
    folders.map(async ({ name }) => ({
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

/**
 * Refuses a database that was made before the first release, when the migrations were replaced by new ones. Migration names
 * begin with their date, so an unknown migration that is older than the first known one is from that time. Without this
 * check the database would be reported as newer, and its owner would look for a version that does not exist.
 */
function assertReleased(unknownNames: readonly string[], { migrationDirectories }: MigrationList): void {
  const first = migrationDirectories[0]?.path ?? "";
  const [older] = unknownNames.filter((name) => name < first);
  if (older === undefined) return;
  throw new MigrationError(
    `This database was made before the first release: it has the migration ${older}, and no version carries its data ` +
      "over. Start with an empty database: name another one in DATABASE_URL, or remove this one (an embedded database is " +
      "the folder that DATABASE_URL names, ./data if it is not set).",
  );
}

function assertNoneFailed(names: readonly string[]): void {
  if (names.length === 0) return;
  throw new MigrationError(
    `The migration ${names.join(", ")} failed on this database earlier. Look at its row in _prisma_migrations, repair ` +
      "what it left behind, set the row's rolled_back_at, so that it is applied again, or finished_at, so that it counts as " +
      "applied, and start again.",
  );
}

function assertNotNewer(names: readonly string[]): void {
  if (names.length === 0) return;
  throw new MigrationError(
    `This database is newer than this server: it has the migration ${names.join(", ")}, which this version does not ` +
      "know. Start the version that made it, or a later one.",
  );
}

function assertNotEdited(names: readonly string[]): void {
  if (names.length === 0) return;
  throw new MigrationError(
    `The migration ${names.join(", ")} was changed after this database had applied it. Restore the file as it was ` +
      "released, and put the change into a new migration.",
  );
}
