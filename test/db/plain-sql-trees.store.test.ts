import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { MAX_DESCENDANTS } from "../../src/jobs/tree.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import {
  type Columns,
  change,
  childOf,
  everythingOf,
  insertChildren,
  insertJob,
  jobIn,
  outcomeOf,
} from "../support/plain-sql.ts";
import { STATES, type StateWord } from "../support/transition-table.ts";

/** Job trees against any other writer: how a child begins, and that its place never changes. */

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
});
afterAll(() => db.close());

async function childIn(parentId: string): Promise<string> {
  const jobId = randomUUID();
  await prisma.$transaction((tx) => insertJob(tx, jobId, { job: childOf(parentId) }));
  return jobId;
}

function insertChild(parentId: string, otherwise: Columns = {}): Promise<string> {
  return outcomeOf(prisma, (tx) => insertJob(tx, randomUUID(), { job: { ...childOf(parentId), ...otherwise } }));
}

const ENDED: readonly StateWord[] = ["completed", "completed_with_issues", "failed", "cancelled", "poisoned"];

describe("a child", () => {
  test.each(STATES.filter((state) => !ENDED.includes(state)))("of a parent that is %s is inserted", async (state) => {
    expect(await insertChild(await jobIn(prisma, state))).toBe("committed");
  });

  test.each(ENDED)("of a parent that is %s is refused", async (state) => {
    const parentId = await jobIn(prisma, state);
    expect(await insertChild(parentId)).toBe("AJ003");
    expect(await prisma.aiJob.count({ where: { parentJobId: parentId } })).toBe(0);
  });

  test("of a child has the root of its parent", async () => {
    const root = await jobIn(prisma, "running");
    const child = await childIn(root);
    const grandchild = await childIn(child);
    expect(await prisma.aiJob.findUnique({ where: { jobId: grandchild } })).toMatchObject({
      parentJobId: child,
      rootJobId: root,
    });
  });

  const wrong: readonly (readonly [what: string, job: Columns])[] = [
    ["no root", { root_job_id: "NULL" }],
    ["a root that does not exist", { root_job_id: "gen_random_uuid()" }],
    ["itself for a root", { root_job_id: "job_id" }],
    ["another trace", { trace_id: "gen_random_uuid()" }],
    ["a parent that does not exist", { parent_job_id: "gen_random_uuid()" }],
    ["itself for a parent", { parent_job_id: "job_id" }],
    ["no parent, but a root", { parent_job_id: "NULL" }],
  ];

  test.each(wrong)("with %s is refused", async (_, job) => {
    expect(await insertChild(await jobIn(prisma, "queued"), job)).toBe("AJ003");
  });

  test("of a child, with its parent for a root, is refused", async () => {
    const child = await childIn(await jobIn(prisma, "queued"));
    expect(await insertChild(child, { root_job_id: `'${child}'` })).toBe("AJ003");
  });

  test("in another workspace is refused", async () => {
    const workspaceId = randomUUID();
    await prisma.workspace.create({ data: { workspaceId } });
    const parentId = await jobIn(prisma, "queued");
    expect(await insertChild(parentId, { workspace_id: `'${workspaceId}'` })).toBe("AJ003");
  });

  test.each(["RepeatableRead", "Serializable"] as const)(
    "in a transaction that is %s is refused: it could count too few",
    async (isolationLevel) => {
      const parentId = await jobIn(prisma, "queued");
      const insert = (job: Columns) =>
        outcomeOf(prisma, (tx) => insertJob(tx, randomUUID(), { job }), { isolationLevel });
      expect(await insert(childOf(parentId))).toBe("AJ003");
      expect(await insert({})).toBe("committed");
    },
  );
});

describe("a place in a tree", () => {
  test.each([
    ["another root", { root_job_id: "job_id" }],
    ["no root", { root_job_id: "NULL" }],
    ["another parent", { parent_job_id: "root_job_id" }],
    ["no parent", { parent_job_id: "NULL" }],
    ["neither", { parent_job_id: "NULL", root_job_id: "NULL" }],
  ])("does not become %s", async (_, job: Columns) => {
    const jobId = await childIn(await childIn(await jobIn(prisma, "queued")));
    const before = await everythingOf(prisma, jobId);
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "running", { job }))).toBe("AJ007");
    expect(await everythingOf(prisma, jobId)).toEqual(before);
  });

  test("is not given to a job without a parent", async () => {
    const [jobId, other] = [await jobIn(prisma, "queued"), await jobIn(prisma, "queued")];
    const job = { root_job_id: `'${other}'` };
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "running", { job }))).toBe("AJ007");
  });
});

describe("a root's descendants", () => {
  const descendantsOf = (rootJobId: string) => prisma.aiJob.count({ where: { rootJobId } });

  test("are 1,000 at most, wherever in the tree the next one would be", async () => {
    const root = await jobIn(prisma, "running");
    const child = await childIn(root);
    await prisma.$transaction((tx) => insertChildren(tx, root, MAX_DESCENDANTS - 2));
    expect(await insertChild(child)).toBe("committed");
    expect(await insertChild(child)).toBe("AJ003");
    expect(await insertChild(root)).toBe("AJ003");
    expect(await descendantsOf(root)).toBe(MAX_DESCENDANTS);
    // The limit is of one tree.
    expect(await insertChild(await jobIn(prisma, "running"))).toBe("committed");
  });

  test("are 1,000 at most within one statement, too", async () => {
    const root = await jobIn(prisma, "running");
    expect(await outcomeOf(prisma, (tx) => insertChildren(tx, root, MAX_DESCENDANTS + 1))).toBe("AJ003");
    expect(await descendantsOf(root)).toBe(0);
    expect(await outcomeOf(prisma, (tx) => insertChildren(tx, root, MAX_DESCENDANTS))).toBe("committed");
    expect(await descendantsOf(root)).toBe(MAX_DESCENDANTS);
  });
});
