import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { WORKSPACE } from "../support/engine.ts";
import { change, jobIn, METRICS, outcomeOf } from "../support/plain-sql.ts";

/** Quotas and totals against any other writer. */

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
});
afterAll(() => db.close());

const send = (sql: string) => outcomeOf(prisma, (tx) => tx.$executeRawUnsafe(sql));

function quota(more: Readonly<Record<string, string>>): string {
  const columns = {
    id: "gen_random_uuid()",
    workspace_id: `'${WORKSPACE}'`,
    resource: "'tokens'",
    max: "1",
    window_seconds: "60",
    ...more,
  };
  return `INSERT INTO quotas (${Object.keys(columns).join(", ")}) VALUES (${Object.values(columns).join(", ")})`;
}

const CHECK = "23514";
const UNIQUE = "23505";
const FOREIGN_KEY = "23503";

describe("a quota", () => {
  test.each([
    ["below nothing", { max: "-1" }, CHECK],
    ["beyond 2^53 - 1", { max: "9007199254740992" }, CHECK],
    ["with a window of less than a minute", { window_seconds: "59" }, CHECK],
    ["with a window of more than 31 days", { window_seconds: "2678401" }, CHECK],
    ["of tokens without a window", { window_seconds: "NULL" }, CHECK],
    ["of jobs without a window", { resource: "'jobs'", window_seconds: "NULL" }, CHECK],
    ["of active jobs with a window", { resource: "'active_jobs'" }, CHECK],
    ["of no capability profile that there is", { capability_profile_id: "'omnipotent'" }, FOREIGN_KEY],
    ["of no workspace that there is", { workspace_id: "gen_random_uuid()" }, FOREIGN_KEY],
  ])("%s is refused", async (_, columns, state) => {
    expect(await send(quota(columns))).toBe(state);
  });

  test.each([
    ["of the whole workspace", { window_seconds: "300" }],
    ["of one capability profile", { window_seconds: "300", capability_profile_id: "'default'" }],
    ["of active jobs", { resource: "'active_jobs'", window_seconds: "NULL" }],
    [
      "of a profile's active jobs",
      { resource: "'active_jobs'", window_seconds: "NULL", capability_profile_id: "'default'" },
    ],
  ])("%s stands once", async (_, columns) => {
    expect(await send(quota(columns))).toBe("committed");
    expect(await send(quota({ ...columns, max: "2" }))).toBe(UNIQUE);
  });
});

describe("what was added up", () => {
  test.each(["jobs", ...METRICS])("cannot fall below zero: %s", async (name) => {
    const sql = `INSERT INTO job_totals (workspace_id, job_kind, state, ${name}) VALUES ('${randomUUID()}', 'doc_edit', 'queued', -1)`;
    expect(await send(sql)).toBe(CHECK);
  });

  test.each([
    ["tokens below zero", "tokens", "-1"],
    ["jobs below zero", "jobs", "-1"],
    ["a minute that is not whole", "minute", "'2026-01-01 10:00:01+00'"],
  ])("in a minute cannot have %s", async (_, name, value) => {
    const workspaceId = randomUUID();
    await prisma.workspace.create({ data: { workspaceId } });
    const columns = {
      workspace_id: `'${workspaceId}'`,
      capability_profile_id: "'default'",
      minute: "'2026-01-01 10:00:00+00'",
      [name]: value,
    };
    const insert = (of: Readonly<Record<string, string>>) =>
      `INSERT INTO usage_minutes (${Object.keys(of).join(", ")}) VALUES (${Object.values(of).join(", ")})`;
    expect(await send(insert(columns))).toBe(CHECK);
    expect(await send(insert({ ...columns, [name]: name === "minute" ? "'2026-01-01 10:59:00+00'" : "1" }))).toBe(
      "committed",
    );
  });

  test.each([
    [
      "in job_totals",
      "INSERT INTO job_totals (workspace_id, job_kind, state) VALUES (gen_random_uuid(), 'doc_edit', 'queued')",
    ],
    [
      "in usage_minutes",
      `INSERT INTO usage_minutes (workspace_id, capability_profile_id, minute)
       VALUES (gen_random_uuid(), 'default', '2026-01-01 10:00:00+00')`,
    ],
  ])("is of a workspace that there is: %s", async (_, sql) => {
    expect(await send(sql)).toBe(FOREIGN_KEY);
  });

  test.each(["DELETE FROM totals_position", "TRUNCATE totals_position"])(
    "has a place in the log, which nobody takes away: %s",
    async (sql) => {
      expect(await send(sql)).toBe("AJ005");
    },
  );

  test("has one place in the log", async () => {
    expect(await prisma.totalsPosition.count()).toBe(1);
    expect(await send(`INSERT INTO totals_position (singleton, job_id) VALUES (true, '${randomUUID()}')`)).toBe(UNIQUE);
    expect(await send(`INSERT INTO totals_position (singleton, job_id) VALUES (false, '${randomUUID()}')`)).toBe(CHECK);
  });
});

test.each(["capability_profile_id", "profile_id"])("a job's %s stays what it was submitted with", async (column) => {
  const jobId = await jobIn(prisma, "queued");
  const to = (value: string) => ({ job: { [column]: `'${value}'` } });
  expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "queued", to("terminal")))).toBe("AJ007");
  expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "queued", to("default")))).toBe("committed");
});
