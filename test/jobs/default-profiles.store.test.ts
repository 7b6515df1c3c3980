import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { JobKind } from "../../src/db/generated/client/enums.ts";
import { sqlState } from "../../src/db/sql-state.ts";
import type { EngineContext } from "../../src/engine.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";

/** Each kind has one default profile, which the database says: what the API shows is what a submit gets. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

/** Runs statements in one transaction. @returns the SQLSTATE with which it was refused. */
async function run(...statements: string[]): Promise<string | undefined> {
  try {
    await db.prisma.$transaction(async (tx) => {
      for (const statement of statements) await tx.$executeRawUnsafe(statement);
    });
    return undefined;
  } catch (error) {
    return sqlState(error);
  }
}

const WITHOUT_CANVAS = "UPDATE capability_profiles SET job_kinds = array_remove(job_kinds, 'canvas_cluster')";

test.each(Object.values(JobKind))(
  "%s has one default profile, and a submit that names none gets it",
  async (jobKind) => {
    const profiles = await db.prisma.capabilityProfile.findMany();
    const defaults = profiles.filter(({ jobKinds }) => jobKinds.includes(jobKind)).map(({ id }) => id);
    expect(defaults).toEqual([(await submitted(engine, { jobKind })).capabilityProfileId]);
  },
);

test("a kind that is moved to another profile goes there with the next submit", async () => {
  const added =
    "INSERT INTO capability_profiles (id, capabilities, job_kinds) VALUES ('canvas', '{doc.summarize}', '{canvas_cluster}')";
  expect(await run(added, `${WITHOUT_CANVAS} WHERE id = 'default'`)).toBeUndefined();
  expect(await submitted(engine, { jobKind: "CANVAS_CLUSTER" })).toMatchObject({ capabilityProfileId: "canvas" });
  expect(await submitted(engine, { jobKind: "DOC_EDIT" })).toMatchObject({ capabilityProfileId: "default" });
});

describe("the database refuses, whoever writes", () => {
  test.each([
    [
      "a second profile for a kind",
      "INSERT INTO capability_profiles (id, capabilities, job_kinds) VALUES ('second', '{}', '{doc_edit}')",
    ],
    [
      "one that claims it later",
      "UPDATE capability_profiles SET job_kinds = job_kinds || '{doc_edit}' WHERE id = 'terminal'",
    ],
    ["a kind that loses its profile", "UPDATE capability_profiles SET job_kinds = '{}' WHERE id = 'terminal'"],
    ["that a default profile goes", "DELETE FROM capability_profiles WHERE id = 'unused'"],
  ])("%s", async (_, statement) => {
    const before = await db.prisma.capabilityProfile.findMany({ orderBy: { id: "asc" } });
    const unused =
      "INSERT INTO capability_profiles (id, capabilities, job_kinds) VALUES ('unused', '{}', '{sheet_transform}')";
    const moved =
      "UPDATE capability_profiles SET job_kinds = array_remove(job_kinds, 'sheet_transform') WHERE id = 'default'";
    expect(await run(unused, moved, statement)).toBe("AJ008");
    expect(await db.prisma.capabilityProfile.findMany({ orderBy: { id: "asc" } })).toEqual(before);
  });

  test("not a profile that is no kind's default", async () => {
    expect(
      await run("INSERT INTO capability_profiles (id, capabilities, job_kinds) VALUES ('extra', '{}', '{}')"),
    ).toBeUndefined();
    expect(await run("DELETE FROM capability_profiles WHERE id = 'extra'")).toBeUndefined();
  });
});
