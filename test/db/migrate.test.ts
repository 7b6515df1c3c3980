import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { PGlite } from "@electric-sql/pglite";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { drift, MigrationError, migrate } from "../../src/db/migrate.ts";
import { createPglite, openPglite } from "../../src/db/pglite.ts";
import { PgliteAdapterFactory } from "../../src/db/pglite-adapter.ts";
import { spawnServer } from "../support/spawn-server.ts";

const REAL = fileURLToPath(new URL("../../prisma/migrations", import.meta.url));

let parent: string;
let copies = 0;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), "migrations-"));
});
afterAll(() => rm(parent, { recursive: true }));

let pglite: PGlite;
let database: PgliteAdapterFactory;

/** A folder of migrations that begins with the real ones. */
async function realAnd(more: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = join(parent, String(++copies));
  await cp(REAL, folder, { recursive: true });
  for (const [name, sql] of Object.entries(more)) {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, "migration.sql"), sql);
  }
  return folder;
}

/** A folder of migrations that holds only what is given here. */
async function only(migrations: Readonly<Record<string, string>>): Promise<string> {
  const folder = join(parent, String(++copies));
  for (const [name, sql] of Object.entries(migrations)) {
    await mkdir(join(folder, name), { recursive: true });
    await writeFile(join(folder, name, "migration.sql"), sql);
  }
  return folder;
}

async function edit(folder: string, migration: string, from: string, to: string): Promise<string> {
  const file = join(folder, migration, "migration.sql");
  const sql = await readFile(file, "utf8");
  expect(sql.split(from)).toHaveLength(2);
  await writeFile(file, sql.replace(from, to));
  return folder;
}

async function refusal(folder?: string): Promise<MigrationError> {
  const error = await migrate(database, folder).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof MigrationError)) throw new Error("It was not refused.", { cause: error });
  return error;
}

const NAMES = (await readdir(REAL, { withFileTypes: true }))
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .toSorted();

describe("migrate", () => {
  beforeEach(async () => {
    pglite = await createPglite();
    database = new PgliteAdapterFactory(pglite);
  });
  afterEach(() => pglite.close());

  test("applies every migration, in order, and the second time none", async () => {
    expect(await migrate(database)).toEqual(NAMES);
    expect(await migrate(database)).toEqual([]);
  });

  test("leaves the rows that Prisma's own CLI keeps: finished, with the checksum of the file", async () => {
    await migrate(database);
    const { rows } = await pglite.query(
      `SELECT migration_name, checksum, finished_at >= started_at AS finished, rolled_back_at, applied_steps_count
       FROM _prisma_migrations ORDER BY started_at`,
    );
    const expected = NAMES.map(async (name) => ({
      migration_name: name,
      checksum: createHash("sha256")
        .update(await readFile(join(REAL, name, "migration.sql")))
        .digest("hex"),
      finished: true,
      rolled_back_at: null,
      applied_steps_count: 1,
    }));
    expect(rows).toEqual(await Promise.all(expected));
  });

  test("goes on from what the database has", async () => {
    const newer = await realAnd({ "29990101000000_more": "CREATE TABLE more (id int)" });
    await migrate(database);
    expect(await migrate(database, newer)).toEqual(["29990101000000_more"]);
  });

  test("refuses a database that is newer than this code, and says which version to start", async () => {
    const newer = await realAnd({ "29990101000000_more": "CREATE TABLE more (id int)" });
    await migrate(database, newer);
    const { message } = await refusal();
    expect(message).toBe(
      "This database is newer than this server: it has the migration 29990101000000_more, which this version does " +
        "not know. Start the version that made it, or a later one.",
    );
    expect(await migrate(database, newer)).toEqual([]);
  });

  test("refuses a database that went another way, and applies nothing to it", async () => {
    await migrate(
      database,
      await only({ "1_first": "CREATE TABLE one (id int)", "2_theirs": "CREATE TABLE two (id int)" }),
    );
    const { message } = await refusal(
      await only({ "1_first": "CREATE TABLE one (id int)", "3_ours": "CREATE TABLE three (id int)" }),
    );
    expect(message).toContain("it has the migration 2_theirs, which this version does not know");
    expect(await tables()).not.toContain("three");
  });

  describe("a database that was made before the first release", () => {
    const OLD = "20261122190000_tables";
    const sentence =
      `This database was made before the first release: it has the migration ${OLD}, and no version carries its data ` +
      "over. Start with an empty database: name another one in DATABASE_URL, or remove this one (an embedded database " +
      "is the folder that DATABASE_URL names, ./data if it is not set).";

    test.each([
      ["all of it", { [OLD]: "CREATE TABLE old (id int)" }],
      ["and more", { [OLD]: "CREATE TABLE old (id int)", "20261122190100_third_ring": "CREATE TABLE older (id int)" }],
      [
        "and a migration that failed",
        { [OLD]: "CREATE TABLE old (id int)", "20261122190100_third_ring": "SELECT 1/0" },
      ],
    ])("is refused, and nothing is applied to it: %s", async (_, migrations) => {
      await migrate(database, await only(migrations)).catch((error: unknown) => error);
      const { message } = await refusal();
      expect(message).toBe(sentence);
      expect(await tables()).toContain("old");
      expect(await tables()).not.toContain("ai_jobs");
    });

    test("is not served from its folder: the server ends, and says what to do", async () => {
      const path = join(parent, "data");
      const folder = await openPglite(path);
      await migrate(new PgliteAdapterFactory(folder), await only({ [OLD]: "CREATE TABLE old (id int)" }));
      await folder.close();
      const { code, stderr } = await spawnServer({ DATABASE_URL: `file:${path}` }).exited;
      expect({ code, stderr }).toEqual({ code: 1, stderr: `${sentence}\n` });
    }, 120_000);
  });

  test("refuses a migration that was edited after it was applied, and says what to do", async () => {
    await migrate(database);
    const [name = ""] = NAMES;
    const edited = await edit(await realAnd(), name, `"priority" INTEGER NOT NULL DEFAULT 0`, `"priority" INTEGER`);
    const { message } = await refusal(edited);
    expect(message).toBe(
      `The migration ${name} was changed after this database had applied it. Restore the file as it was released, ` +
        "and put the change into a new migration.",
    );
  });

  const broken = {
    "1_fine": "CREATE TABLE fine (id int)",
    "2_broken": "CREATE TABLE half (id int); CREATE TABLE half (id int);",
    "3_never": "CREATE TABLE never (id int)",
  };

  test("stops at a migration that fails, keeps nothing of it, and names the cause and the way out", async () => {
    const { message, cause } = await refusal(await only(broken));
    expect(message).toMatch(
      /^A migration failed, and the server did not start\. .* set rolled_back_at in the migration's row /,
    );
    expect(cause).toHaveProperty("message", expect.stringContaining('relation "half" already exists'));
    const kept = await tables();
    expect(kept).toContain("fine");
    expect(kept).not.toContain("half");
    expect(kept).not.toContain("never");
  });

  const mark = (column: string) =>
    pglite.query(`UPDATE _prisma_migrations SET ${column} = now() WHERE migration_name = '2_broken'`);

  test("refuses a database on which a migration failed earlier, until somebody has set rolled_back_at", async () => {
    const folder = await only(broken);
    await refusal(folder);
    const { message } = await refusal(folder);
    expect(message).toBe(
      "The migration 2_broken failed on this database earlier. Look at its row in _prisma_migrations, repair what it " +
        "left behind, set the row's rolled_back_at, so that it is applied again, or finished_at, so that it counts as " +
        "applied, and start again.",
    );
    await mark("rolled_back_at");
    await writeFile(join(folder, "2_broken", "migration.sql"), "CREATE TABLE half (id int)");
    expect(await migrate(database, folder)).toEqual(["2_broken", "3_never"]);
  });

  test("counts a migration that failed as applied, once somebody has set finished_at", async () => {
    const folder = await only(broken);
    await refusal(folder);
    await mark("finished_at");
    expect(await migrate(database, folder)).toEqual(["3_never"]);
  });
});

describe("drift", () => {
  beforeAll(async () => {
    pglite = await createPglite();
    database = new PgliteAdapterFactory(pglite);
  });
  afterAll(() => pglite.close());

  test("is none: schema.prisma says what the migrations make", async () => {
    expect(await drift(database)).toBe("");
  });

  test("tells of columns, enum values and indexes that differ", async () => {
    const [first = "", second = ""] = NAMES;
    const folder = await realAnd();
    const index = `CREATE INDEX "flight_recorder_events_order_xid_job_id_version_idx"`;
    const columns = `("order_xid", "job_id", "version")`;
    await edit(folder, first, `"priority" INTEGER NOT NULL DEFAULT 0`, `"priority" BIGINT NOT NULL DEFAULT 0`);
    await edit(folder, first, `"status_reason" TEXT NOT NULL`, `"status_reason" TEXT`);
    await edit(folder, first, `    "issues" TEXT[] NOT NULL DEFAULT ARRAY[]::TEXT[],\n`, "");
    await edit(folder, first, "'cancelled', 'poisoned')", "'cancelled', 'poisoned', 'paused')");
    await edit(folder, second, `${index} ON "flight_recorder_events"${columns};`, "");
    const sql = await drift(database, folder);
    expect(sql).toContain(`ALTER COLUMN "priority" SET DATA TYPE INTEGER`);
    expect(sql).toContain(`ALTER COLUMN "status_reason" SET NOT NULL`);
    expect(sql).toContain(`ADD COLUMN     "issues" TEXT[]`);
    expect(sql).toContain("JobState_new");
    expect(sql).toContain(index);
  });
});

async function tables(): Promise<readonly string[]> {
  const { rows } = await pglite.query<{ name: string }>(
    "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'",
  );
  return rows.map(({ name }) => name);
}
