import { readFile } from "node:fs/promises";
import pg from "pg";
import { expect, test } from "vitest";
import { openDatabase } from "../../src/db/open.ts";
import { describeDatabase, SCHEMA_SQL_FILE } from "../contract/schema-sql.ts";
import { createPostgresDatabase } from "../support/database.ts";

test("prisma/schema.sql, written from the embedded store, is what PostgreSQL says of a migrated database, too", async () => {
  const { url, drop } = await createPostgresDatabase();
  const client = new pg.Client({ connectionString: url });
  try {
    await (await openDatabase({ kind: "postgres", url, poolSize: 2 })).close();
    await client.connect();
    expect(await describeDatabase(client)).toBe(await readFile(SCHEMA_SQL_FILE, "utf8"));
  } finally {
    await client.end();
    await drop();
  }
});
