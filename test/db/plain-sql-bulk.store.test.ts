import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { Transaction } from "../../src/db/transaction.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { WORKSPACE } from "../support/engine.ts";
import { addOtherWorkspace, type Columns, jobIn, OTHER_WORKSPACE, outcomeOf } from "../support/plain-sql.ts";

/** Bulk actions against any other writer: what was asked for stays, and what came of it. */

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
  await addOtherWorkspace(prisma);
});
afterAll(() => db.close());

function insert(tx: Transaction, table: string, columns: Columns): Promise<number> {
  return tx.$executeRawUnsafe(
    `INSERT INTO ${table} (${Object.keys(columns).join(", ")}) VALUES (${Object.values(columns).join(", ")})`,
  );
}

function insertAction(tx: Transaction, id: string, otherwise: Columns = {}): Promise<number> {
  return insert(tx, "bulk_actions", {
    id: `'${id}'`,
    workspace_id: `'${WORKSPACE}'`,
    kind: "'cancel'",
    filter: `'{"states": ["queued"]}'`,
    reason: "'enough'",
    actor: "'human'",
    actor_id: "'anonymous'",
    ...otherwise,
  });
}

function insertItem(tx: Transaction, actionId: string, jobId: string, otherwise: Columns = {}): Promise<number> {
  const workspace_id = `'${WORKSPACE}'`;
  const item = { workspace_id, bulk_action_id: `'${actionId}'`, position: "1", job_id: `'${jobId}'` };
  return insert(tx, "bulk_action_items", { ...item, ...otherwise });
}

/** An action with two items, the first of which is done. */
async function anAction() {
  const made = { id: randomUUID(), done: await jobIn(prisma, "queued"), pending: await jobIn(prisma, "queued") };
  await prisma.$transaction(async (tx) => {
    await insertAction(tx, made.id);
    await insertItem(tx, made.id, made.done);
    await insertItem(tx, made.id, made.pending, { position: "2" });
    await tx.$executeRawUnsafe(finishItem(made.id, 1));
  });
  return made;
}

function finishItem(id: string, position: number, error = "NULL"): string {
  return `UPDATE bulk_action_items SET finished_at = now(), error = ${error}
    WHERE bulk_action_id = '${id}' AND position = ${position}`;
}

function everything(id: string): Promise<unknown> {
  return prisma.bulkAction.findUnique({ where: { id }, include: { items: { orderBy: { position: "asc" } } } });
}

async function expectRefused(code: string, id: string, work: Parameters<typeof outcomeOf>[1]): Promise<void> {
  const before = await everything(id);
  expect(await outcomeOf(prisma, work)).toBe(code);
  expect(await everything(id)).toEqual(before);
}

describe("a bulk action", () => {
  test.each([
    ["of a filter that names nothing", "23514", { filter: "'{}'" }],
    ["of a filter that is no object", "23514", { filter: `'["queued"]'` }],
    ["that cancels without a reason", "23514", { reason: "NULL" }],
    ["that tries again, with a reason", "23514", { kind: "'retry'" }],
    ["that is finished already", "AJ003", { finished_at: "now()" }],
    ["that has got on already", "AJ003", { progressed_at: "now()" }],
    ["that counts an item it does not have", "AJ003", { total: "1" }],
    ["that counts changes", "AJ003", { succeeded: "1" }],
    ["that counts errors", "AJ003", { failed: "1" }],
    ["of another kind", "22P02", { kind: "'delete'" }],
    ["of no workspace", "23503", { workspace_id: "gen_random_uuid()" }],
  ])("is not one %s", async (_, code, otherwise: Columns) => {
    const id = randomUUID();
    await expectRefused(code, id, (tx) => insertAction(tx, id, otherwise));
  });

  test.each(["id", "workspace_id", "kind", "filter", "reason", "actor", "actor_id", "created_at"])(
    "keeps its %s",
    async (column) => {
      const id = randomUUID();
      await prisma.$transaction((tx) => insertAction(tx, id));
      const other = randomUUID();
      await prisma.workspace.create({ data: { workspaceId: other } });
      const values: Columns = {
        id: "gen_random_uuid()",
        workspace_id: `'${other}'`,
        kind: "'retry'",
        filter: `'{"states": ["failed"]}'`,
        reason: "'another'",
        actor: "'system'",
        actor_id: "'somebody else'",
        created_at: "created_at - interval '1 s'",
      };
      const sql = `UPDATE bulk_actions SET ${column} = ${values[column] ?? "NULL"} WHERE id = '${id}'`;
      await expectRefused("AJ007", id, (tx) => tx.$executeRawUnsafe(sql));
    },
  );

  test.each([
    "total = total + 1",
    "succeeded = succeeded + 1",
    "failed = failed + 1",
    "progressed_at = now() - interval '1 day'",
  ])("counts its items itself: nobody else sets %s", async (change) => {
    const { id } = await anAction();
    const sql = `UPDATE bulk_actions SET ${change} WHERE id = '${id}'`;
    await expectRefused("AJ007", id, (tx) => tx.$executeRawUnsafe(sql));
  });

  test("counts its items as they come and are done, and knows when the last was", async () => {
    const { id } = await anAction();
    const action = () => prisma.bulkAction.findUniqueOrThrow({ where: { id } });
    const before = await action();
    expect(before).toMatchObject({ total: 2, succeeded: 1, failed: 0, progressedAt: expect.any(Date) });
    await prisma.$executeRawUnsafe(finishItem(id, 2, `'{"code": "JOB_POISONED"}'`));
    const after = await action();
    expect(after).toMatchObject({ total: 2, succeeded: 1, failed: 1 });
    expect(Number(after.progressedAt)).toBeGreaterThan(Number(before.progressedAt));
  });

  test("finishes when its last item is done, and then stays as it is", async () => {
    const { id } = await anAction();
    const finish = `UPDATE bulk_actions SET finished_at = now() WHERE id = '${id}'`;
    await expectRefused("AJ006", id, (tx) => tx.$executeRawUnsafe(finish));
    const both = outcomeOf(prisma, async (tx) => {
      await tx.$executeRawUnsafe(finishItem(id, 2, `'{"code": "JOB_POISONED"}'`));
      await tx.$executeRawUnsafe(finish);
    });
    expect(await both).toBe("committed");
    const again = `UPDATE bulk_actions SET finished_at = NULL WHERE id = '${id}'`;
    for (const sql of [again, finish]) await expectRefused("AJ004", id, (tx) => tx.$executeRawUnsafe(sql));
    const late = await jobIn(prisma, "queued");
    await expectRefused("AJ004", id, (tx) => insertItem(tx, id, late, { position: "3" }));
  });
});

describe("an item", () => {
  test.each([
    ["at position 0", "23514", { position: "0" }],
    ["at position 100,001", "23514", { position: "100001" }],
    ["at a place that another has", "23505", { position: "2" }],
    ["of no job", "23503", { position: "3", job_id: "gen_random_uuid()" }],
    ["of no action", "23503", { position: "3", bulk_action_id: "gen_random_uuid()" }],
    ["that is done already", "AJ003", { position: "3", finished_at: "now()" }],
    ["with an error before its turn", "23514", { position: "3", error: `'{"code": "JOB_POISONED"}'` }],
  ])("is not one %s", async (_, code, otherwise: Columns) => {
    const { id } = await anAction();
    const jobId = await jobIn(prisma, "queued");
    await expectRefused(code, id, (tx) => insertItem(tx, id, jobId, otherwise));
  });

  test("is one of 100,000", async () => {
    const { id } = await anAction();
    const jobId = await jobIn(prisma, "queued");
    expect(await outcomeOf(prisma, (tx) => insertItem(tx, id, jobId, { position: "100000" }))).toBe("committed");
  });

  test("is about a job that no other item is about, of the action's own workspace", async () => {
    const { id, pending } = await anAction();
    await expectRefused("23505", id, (tx) => insertItem(tx, id, pending, { position: "3" }));
    const theirs = randomUUID();
    await prisma.workspace.create({ data: { workspaceId: theirs } });
    const action = randomUUID();
    await prisma.$transaction((tx) => insertAction(tx, action, { workspace_id: `'${theirs}'` }));
    for (const workspaceId of [WORKSPACE, theirs]) {
      const item = { workspace_id: `'${workspaceId}'` };
      await expectRefused("23503", action, (tx) => insertItem(tx, action, pending, item));
    }
  });

  test.each([
    ["workspace_id", `'${OTHER_WORKSPACE}'`],
    ["position", "7"],
    ["job_id", "(SELECT j.job_id FROM ai_jobs j WHERE j.job_id <> bulk_action_items.job_id LIMIT 1)"],
    ["bulk_action_id", "(SELECT a.id FROM bulk_actions a WHERE a.id <> bulk_action_items.bulk_action_id LIMIT 1)"],
  ])("keeps its %s", async (column, value) => {
    const [{ id }] = [await anAction(), await anAction()];
    const sql = `UPDATE bulk_action_items SET ${column} = ${value} WHERE bulk_action_id = '${id}' AND position = 2`;
    await expectRefused("AJ007", id, (tx) => tx.$executeRawUnsafe(sql));
  });

  test.each([
    ["is undone", "finished_at = NULL"],
    ["is done at another time", "finished_at = finished_at + interval '1 s'"],
    ["gets an error", `error = '{"code": "JOB_POISONED"}'`],
    ["changes nothing", "position = position"],
  ])("that is done stays as it is: it never %s", async (_, change) => {
    const { id } = await anAction();
    const sql = `UPDATE bulk_action_items SET ${change} WHERE bulk_action_id = '${id}' AND position = 1`;
    await expectRefused("AJ004", id, (tx) => tx.$executeRawUnsafe(sql));
  });

  test.each([`'{"message": "no code"}'`, `'"JOB_POISONED"'`, "'null'", `'{"code": 7}'`])(
    "has no error that is %s",
    async (error) => {
      const { id } = await anAction();
      await expectRefused("23514", id, (tx) => tx.$executeRawUnsafe(finishItem(id, 2, error)));
    },
  );
});

test.each([
  ["DELETE FROM bulk_action_items"],
  ["DELETE FROM bulk_actions"],
  ["TRUNCATE bulk_action_items"],
  ["TRUNCATE bulk_actions, bulk_action_items"],
])("nothing is lost: %s", async (sql) => {
  const { id } = await anAction();
  await expectRefused("AJ005", id, (tx) => tx.$executeRawUnsafe(sql));
});
