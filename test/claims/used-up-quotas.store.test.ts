import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { claimAiJobs } from "../../src/claims/claim.ts";
import type { Claimed } from "../../src/claims/request.ts";
import { Prisma } from "../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../src/engine.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn } from "../support/engine.ts";
import { aWorkspace } from "../support/quotas.ts";

/** Claims where quotas forbid most of what is due: whoever may start something is not kept from it by the others. */

/** Seconds of work for one processor: next to ten busy sessions of the same machine they took 24 and 48 s. */
const PATIENCE = 120_000;

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
});
beforeEach(() => {
  // Scanning 3 MB takes a busy machine long: a guard that is late would send the job back.
  engine = engineOn(db, { guardTimeoutMs: 120_000 });
});
afterAll(() => db.close());

function claim(limit: number): Promise<Claimed> {
  return claimAiJobs(engine, { workerId: "w", leaseSeconds: 60, workspaceId: null, jobKinds: null, limit });
}

const workspacesOf = ({ claims }: Claimed) => claims.map(({ job }) => job.workspaceId);

/** Workspaces with a queued job each and no right to start it, which have their turn before most others. */
async function addUsedUp(count: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    await aWorkspace(engine, `00000000-0000-7000-9000-${at.toString(16).padStart(12, "0")}`).submitted();
  }
  await db.prisma.$executeRaw`
    INSERT INTO quotas (id, workspace_id, resource, max)
    SELECT gen_random_uuid(), workspace_id, 'active_jobs', 0 FROM workspaces
    WHERE workspace_id::text LIKE '00000000-0000-7000-9000-%'`;
}

test("a claim adds up what was used of quotas that are about what it takes, and of no others", async () => {
  for (let at = 0; at < 3; at++) await aWorkspace(engine).quota("TOKENS", 1000);
  const workspace = aWorkspace(engine);
  for (let at = 0; at < 2; at++) await workspace.submitted();
  const addedUp = async () => {
    db.statements();
    expect(workspacesOf(await claim(1))).toEqual([workspace.workspaceId]);
    return db.statements().filter((sql) => sql.includes("quota_use")).length;
  };
  expect(await addedUp()).toBe(0);
  await workspace.quota("ACTIVE_JOBS", 5);
  expect(await addedUp()).toBe(1);
});

test("a claim fills itself from the workspaces that may start something, more of them than would have had their turn", async () => {
  const usedUp = aWorkspace(engine);
  for (let at = 0; at < 3; at++) await usedUp.submitted();
  await usedUp.quota("ACTIVE_JOBS", 0);
  const free = aWorkspace(engine);
  for (let at = 0; at < 6; at++) await free.submitted();
  expect(workspacesOf(await claim(6))).toEqual(Array.from({ length: 6 }, () => free.workspaceId));
  expect(workspacesOf(await claim(6))).toEqual([]);
});

test("a profile whose quota is used up is passed over with all its jobs, and another one's jobs are taken", async () => {
  const workspace = aWorkspace(engine);
  for (let at = 0; at < 3; at++) await workspace.submitted("TERMINAL_EXEC");
  await workspace.quota("ACTIVE_JOBS", 0, { capabilityProfileId: "terminal" });
  await workspace.submitted();
  const { claims } = await claim(1);
  expect(claims.map(({ job }) => [job.workspaceId, job.jobKind])).toEqual([[workspace.workspaceId, "DOC_SUMMARIZE"]]);
});

test("more used-up places than one claim looks at keep nobody out: the next claims go on after them", {
  timeout: PATIENCE,
}, async () => {
  await addUsedUp(210);
  const free = aWorkspace(engine, "ffffffff-0000-7000-9000-000000000000");
  const { jobId } = await free.submitted();
  const taken: string[] = [];
  for (let at = 0; at < 3 && taken.length === 0; at++) {
    taken.push(...(await claim(1)).claims.map(({ job }) => job.jobId));
  }
  expect(taken).toEqual([jobId]);
});

test.each(["job_inputs", "entity_refs", "planned_operations"])(
  "%s that are too large to be handed out together are taken by several claims, one at least by each",
  { timeout: PATIENCE },
  async (column) => {
    const workspace = aWorkspace(engine);
    const ids: string[] = [];
    for (let at = 0; at < 3; at++) {
      const { jobId } = await workspace.submitted();
      ids.push(jobId);
      await fill(column, jobId);
    }
    const counts: number[] = [];
    for (let left = ids.length; left > 0; left -= counts.at(-1) ?? 0) {
      const { claims } = await claim(100);
      expect(claims.length).toBeGreaterThan(0);
      counts.push(claims.length);
    }
    expect(counts).toEqual([2, 1]);
  },
);

/**
 * Gives a job a document of 3 MB, by plain SQL past the trigger that keeps it: a submit would cost what this test is not
 * about. A few words over and over: what it is in memory counts, and not to how little it could be compressed.
 */
async function fill(column: string, jobId: string): Promise<void> {
  await db.prisma.$transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    await tx.$executeRaw`
      UPDATE ai_jobs SET ${Prisma.raw(column)} = jsonb_build_array(repeat('a few words ', 250000))
      WHERE job_id = ${jobId}::uuid`;
  });
}
