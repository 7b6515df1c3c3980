import { afterAll, beforeAll, expect, test } from "vitest";
import { declarationOf, fieldsWrittenBy, JOB_FIELDS } from "../../src/db/job-columns.ts";
import { snakeCase } from "../../src/db/rows.ts";
import { sqlState } from "../../src/db/sql-state.ts";
import { OWN_EVENT_DECLARATIONS } from "../../src/log/columns.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";

/** The types that statements declare are those that the database has. */

let db: TestDatabase;
beforeAll(async () => {
  db = await openTestDatabase();
});
afterAll(() => db.close());

/** The columns of a table that are not generated from others, with their types, as `declarationOf` writes them. */
async function columnsOf(table: string): Promise<readonly string[]> {
  const rows = await db.prisma.$queryRaw<{ name: string; type: string }[]>`
    SELECT a.attname::text AS name, CASE WHEN t.typtype = 'e' THEN format('"%s"', t.typname)
      WHEN t.typcategory = 'A' THEN (SELECT typname || '[]' FROM pg_type WHERE oid = t.typelem) ELSE t.typname END AS type
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = ${table}::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''`;
  return rows.map(({ name, type }) => `${name} ${type}`);
}

test("every column of a job is described, with the type that it has", async () => {
  expect(JOB_FIELDS.map(declarationOf).toSorted()).toEqual((await columnsOf("ai_jobs")).toSorted());
});

test("what an event has of its own has the types of its columns", async () => {
  const own = OWN_EVENT_DECLARATIONS.map((declaration) => declaration.replace(/^event_/, ""));
  expect(own.length).toBeGreaterThan(0);
  expect(await columnsOf("flight_recorder_events")).toEqual(expect.arrayContaining(own));
});

/** An SQL expression for another value than a column has, by the type of the column. */
const OTHER_VALUE: Readonly<Record<string, (column: string) => string>> = {
  uuid: () => "gen_random_uuid()",
  text: (column) => `coalesce(${column}, '') || 'x'`,
  int4: (column) => `coalesce(${column}, 0) + 1`,
  int8: (column) => `coalesce(${column}, 0) + 1`,
  timestamptz: (column) => `coalesce(${column}, now()) + interval '1 second'`,
  jsonb: () => `'["another"]'`,
};

test("each column that a submit writes is refused another value by the database", async () => {
  const { jobId } = await submitted(engineOn(db), { tokenBudget: 9, idempotencyKey: "key", jobInputs: {} });
  const types = new Map(
    (await columnsOf("ai_jobs")).map((column) => [column.split(" ")[0], column.split(" ")[1] ?? ""]),
  );
  for (const column of fieldsWrittenBy("submit").map(snakeCase)) {
    const type = types.get(column) ?? "";
    const enumName = type.replaceAll('"', "");
    const other =
      OTHER_VALUE[type]?.(column) ??
      `(SELECT v FROM unnest(enum_range(NULL::"${enumName}")) AS v WHERE v <> ${column} LIMIT 1)`;
    const update = `UPDATE ai_jobs SET version = version + 1, order_xid = greatest(current_order_xid(), order_xid),
      ${column} = ${other} WHERE job_id = '${jobId}'`;
    const refused: unknown = await db.prisma.$executeRawUnsafe(update).catch((error: unknown) => error);
    expect({ column, state: sqlState(refused) }).toEqual({ column, state: "AJ007" });
  }
});

test("what a job was submitted as is guarded by the database against every change, column by column", async () => {
  const guarded = await db.prisma.$queryRaw<{ name: string }[]>`
    SELECT a.attname::text AS name FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
      JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr)
    WHERE t.tgrelid = 'ai_jobs'::regclass AND p.proname = 'refuse_immutable_change'`;
  expect(guarded.map(({ name }) => name).toSorted()).toEqual(fieldsWrittenBy("submit").map(snakeCase).toSorted());
});
