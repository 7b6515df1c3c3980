import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { batchReads, type ScopedId, scopedIdTable } from "../../src/db/batched-read.ts";
import { createReadsById } from "../../src/graphql/reads.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted, WORKSPACE } from "../support/engine.ts";

/** How new the answer is that reads share: each of them sees what was committed before it came. */

let db: TestDatabase;
beforeAll(async () => {
  db = await openTestDatabase();
});
afterAll(() => db.close());

const SET_PRIORITY = `
  import pg from "pg";
  const [url, priority, jobId] = process.argv.slice(1);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("SET session_replication_role = replica");
  await client.query("UPDATE ai_jobs SET priority = $1 WHERE job_id = $2", [priority, jobId]);
  await client.end();
`;

/** Changes the job and commits, past every trigger, while this process stands still: its turn does not end meanwhile. */
function commitPriority(jobId: string, priority: number): void {
  const args = ["--input-type=module", "-e", SET_PRIORITY, db.url, String(priority), jobId];
  execFileSync(process.execPath, args);
}

test("a read that joins another one sees what was committed after that one came", async () => {
  const { jobId: id } = await submitted(engineOn(db), { priority: 1 });
  const reads = createReadsById(db.prisma);
  db.statements();
  const before = reads.job({ workspaceId: WORKSPACE, id }, ["priority"]);
  commitPriority(id, 2);
  const after = reads.job({ workspaceId: WORKSPACE, id }, ["priority"]);
  expect(await after).toMatchObject([{ priority: 2 }]);
  expect(await before).toBe(await after);
  expect(db.statements()).toHaveLength(1);
});

test("a read never joins one that is on its way: that one may have looked before the commit", async () => {
  const { jobId: id } = await submitted(engineOn(db), { priority: 1 });
  const slowly = batchReads(
    (ids: readonly ScopedId[]) =>
      db.prisma.$queryRaw<{ id: string; workspaceId: string; priority: number }[]>`
        SELECT job_id AS id, workspace_id AS "workspaceId", priority FROM ${scopedIdTable(ids)}
        JOIN ai_jobs ON job_id = requested_id AND workspace_id = requested_workspace_id, LATERAL pg_sleep(1 / priority)`,
    ({ workspaceId, id }) => ({ workspaceId, id }),
  );
  const first = slowly({ workspaceId: WORKSPACE, id }, undefined);
  await vi.waitUntil(async () => {
    const [row] = await db.prisma.$queryRaw<{ asleep: boolean }[]>`
      SELECT EXISTS (SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event = 'PgSleep') AS asleep`;
    return row?.asleep;
  }, 5000);
  commitPriority(id, 2);
  const second = slowly({ workspaceId: WORKSPACE, id }, undefined);
  expect([await first, await second]).toMatchObject([[{ priority: 1 }], [{ priority: 2 }]]);
});
