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
    ["a cost below zero", "cost_micros", "-1"],
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

  const interval = (more: Readonly<Record<string, string>>) => {
    const columns = {
      workspace_id: `'${WORKSPACE}'`,
      hours: "1",
      by_model: "false",
      label_id: "'00000000-0000-0000-0000-000000000000'",
      starts_at: "'2026-01-01 10:00:00+00'",
      state_code: "6",
      job_kind: "'doc_edit'",
      protocol_id: "'p'",
      provider: "''",
      model: "''",
      label_value: "''",
      ...more,
    };
    return `INSERT INTO usage_intervals (${Object.keys(columns).join(", ")}) VALUES (${Object.values(columns).join(", ")})`;
  };

  test.each(["jobs", "cost_micros", ...METRICS])("in an interval cannot fall below zero: %s", async (name) => {
    expect(await send(interval({ [name]: "-1" }))).toBe(CHECK);
  });

  test.each([
    ["of neither an hour nor a day", { hours: "2" }],
    ["that does not begin with its hour", { starts_at: "'2026-01-01 10:00:01+00'" }],
    ["that does not begin with its day", { hours: "24" }],
    ["of jobs that ended in a state in which none ends", { state_code: "2" }],
    ["of jobs that ended in no state", { state_code: "0", jobs: "1" }],
    ["of times of no job", { state_code: "0", run_buckets: "'{1}'", run_jobs: "'{1}'" }],
    ["of a bucket without its number of jobs", { queue_buckets: "'{1,2}'", queue_jobs: "'{1}'" }],
    ["of a model without its provider", { by_model: "true", model: "'gpt-5'" }],
    ["of a model among those of all", { provider: "'openai'", model: "'gpt-5'" }],
    ["of a value of no label", { label_value: "'search'" }],
  ])("cannot be in an interval %s", async (_, columns) => {
    expect(await send(interval(columns))).toBe(CHECK);
  });

  test("in an interval is of a workspace that there is, and stands once", async () => {
    expect(await send(interval({ workspace_id: "gen_random_uuid()" }))).toBe(FOREIGN_KEY);
    expect(await send(interval({ hours: "24", starts_at: "'2026-01-02 00:00:00+00'" }))).toBe("committed");
    expect(await send(interval({}))).toBe("committed");
    expect(await send(interval({}))).toBe(UNIQUE);
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

describe("a label by which usage is counted", () => {
  const label = (key: string, position: number, more = `'${WORKSPACE}'`) =>
    `INSERT INTO usage_labels (label_id, workspace_id, key, position, since_order_xid)
     VALUES (gen_random_uuid(), ${more}, '${key}', ${position}, 1)`;

  test.each([
    ["without a key", label("", 1), CHECK],
    ["with a key that no label has", label("Team", 1), CHECK],
    ["beyond the fifth", label("sixth", 6), CHECK],
    ["before the first", label("none", 0), CHECK],
    ["of no workspace that there is", label("team", 1, "gen_random_uuid()"), FOREIGN_KEY],
  ])("%s is refused", async (_, sql, state) => {
    expect(await send(sql)).toBe(state);
  });

  test("stands once, in a place of its own, and as it was declared", async () => {
    expect(await send(label("team", 1))).toBe("committed");
    expect(await send(label("team", 2))).toBe(UNIQUE);
    expect(await send(label("env", 1))).toBe(UNIQUE);
    expect(await send("UPDATE usage_labels SET since_order_xid = 0")).toBe("AJ007");
  });
});

test.each(["capability_profile_id", "profile_id"])("a job's %s stays what it was submitted with", async (column) => {
  const jobId = await jobIn(prisma, "queued");
  const to = (value: string) => ({ job: { [column]: `'${value}'` } });
  expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "queued", to("terminal")))).toBe("AJ007");
  expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "queued", to("default")))).toBe("committed");
});
