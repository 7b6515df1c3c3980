import { afterAll, beforeAll, expect, test } from "vitest";
import { eventTypeCodes, kindCodes, kindOfCode, stateCodes } from "../../src/db/enum-codes.ts";
import { JobKind, JobState, RecorderEventType } from "../../src/db/generated/client/enums.ts";
import { toDbEnum } from "../../src/db/rows.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";

/** The numbers by which statements search for enums are those that the database stores (section 11). */

let db: TestDatabase;
beforeAll(async () => {
  db = await openTestDatabase();
});
afterAll(() => db.close());

test.each([
  ["JobKind", Object.values(JobKind), kindCodes],
  ["JobState", Object.values(JobState), stateCodes],
  ["RecorderEventType", Object.values(RecorderEventType), eventTypeCodes],
] as const)("of %s", async (type, values, codesOf: (values?: never) => number[]) => {
  const rows = await db.prisma.$queryRawUnsafe<{ value: string; code: number }[]>(
    `SELECT value::text, enum_code(value)::int AS code FROM unnest(enum_range(NULL::"${type}")) AS value ORDER BY code`,
  );
  expect(rows.map(({ value }) => value)).toEqual(values.map((value) => toDbEnum(value)));
  expect(codesOf()).toEqual(rows.map(({ code }) => code));
});

test("a kind is found by its number, and by no other", () => {
  expect(kindCodes().map(kindOfCode)).toEqual(Object.values(JobKind));
  expect(() => kindOfCode(0)).toThrow("No job kind has the code 0.");
});
