import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { Transaction } from "../../src/db/transaction.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { labelsIn } from "../support/labels.ts";
import {
  addOtherWorkspace,
  type Columns,
  change,
  insertJob,
  OTHER_WORKSPACE,
  outcomeOf,
} from "../support/plain-sql.ts";

/** Labels, and who submitted a job, against any other writer: they are written with the job, and stay as they are. */

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
  await addOtherWorkspace(prisma);
});
afterAll(() => db.close());

/** Inserts labels with these keys, in one statement. */
function insertLabels(tx: Transaction, jobId: string, keys: readonly string[], otherwise: Columns = {}) {
  const columns: Columns = {
    workspace_id: "workspace_id",
    job_id: "job_id",
    key: "label_key",
    value: "'v'",
    created_at: "created_at",
    ...otherwise,
  };
  return tx.$executeRawUnsafe(
    `INSERT INTO job_labels (${Object.keys(columns).join(", ")}) SELECT ${Object.values(columns).join(", ")}
     FROM ai_jobs, unnest(ARRAY[${keys.map((key) => `'${key}'`).join()}]::text[]) AS label_key WHERE job_id = '${jobId}'`,
  );
}

const insertLabelled = async (tx: Transaction, jobId: string, keys: readonly string[], otherwise: Columns = {}) => {
  await insertJob(tx, jobId, { job: { label_count: String(keys.length) } });
  await insertLabels(tx, jobId, keys, otherwise);
};

async function labelledJob(...keys: readonly string[]): Promise<string> {
  const jobId = randomUUID();
  await prisma.$transaction((tx) => insertLabelled(tx, jobId, keys));
  return jobId;
}

const many = (count: number) => Array.from({ length: count }, (_, index) => `key-${index}`);

test("a job is inserted with up to 32 labels", async () => {
  expect(await labelsIn(prisma, await labelledJob(...many(32)))).toHaveLength(32);
});

describe("labels are refused", () => {
  const refused: readonly (readonly [string, string, (tx: Transaction, jobId: string) => Promise<unknown>])[] = [
    ["of a 33rd", "23514", (tx, id) => insertLabelled(tx, id, many(33))],
    ["with a key twice", "23505", (tx, id) => insertLabelled(tx, id, ["team", "team"])],
    ["without a key", "23514", (tx, id) => insertLabelled(tx, id, [""])],
    ["with a key of 64 characters", "23514", (tx, id) => insertLabelled(tx, id, ["x".repeat(64)])],
    ["with a key in upper case", "23514", (tx, id) => insertLabelled(tx, id, ["Team"])],
    ["with a key that ends in a line feed", "23514", (tx, id) => insertLabelled(tx, id, ["team\n"])],
    [
      "with a value of 201 characters",
      "23514",
      (tx, id) => insertLabelled(tx, id, ["a"], { value: "repeat('ä', 201)" }),
    ],
    [
      "of another time than the job",
      "AJ003",
      (tx, id) => insertLabelled(tx, id, ["a"], { created_at: "created_at + interval '1 ms'" }),
    ],
    [
      "in another workspace",
      "23503",
      (tx, id) => insertLabelled(tx, id, ["a"], { workspace_id: `'${OTHER_WORKSPACE}'` }),
    ],
    ["of a job that there is not", "23503", (tx, id) => insertLabelled(tx, id, ["a"], { job_id: "gen_random_uuid()" })],
    [
      "of a job that says it has none",
      "AJ003",
      async (tx, id) => {
        await insertJob(tx, id);
        await insertLabels(tx, id, ["a"]);
      },
    ],
    [
      "of a job that says it has more",
      "AJ006",
      async (tx, id) => {
        await insertJob(tx, id, { job: { label_count: "2" } });
        await insertLabels(tx, id, ["a"]);
      },
    ],
    [
      "that a job says it has, and which never come",
      "AJ006",
      (tx, id) => insertJob(tx, id, { job: { label_count: "2" } }),
    ],
    ["of fewer than none", "23514", (tx, id) => insertJob(tx, id, { job: { label_count: "-1" } })],
  ];
  test.each(refused)("%s", async (_what, state, work) => {
    const jobId = randomUUID();
    expect(await outcomeOf(prisma, (tx) => work(tx, jobId))).toBe(state);
    expect(await prisma.aiJob.count({ where: { jobId } })).toBe(0);
  });
});

describe("the labels of a stored job", () => {
  const changes: readonly (readonly [string, (tx: Transaction, jobId: string) => Promise<unknown>])[] = [
    ["get no other beside them", (tx, id) => insertLabels(tx, id, ["another"])],
    ["do not change", (tx, id) => tx.$executeRaw`UPDATE job_labels SET value = 'w' WHERE job_id = ${id}::uuid`],
    ["are not removed", (tx, id) => tx.$executeRaw`DELETE FROM job_labels WHERE job_id = ${id}::uuid`],
    ["are not emptied", (tx) => tx.$executeRaw`TRUNCATE job_labels`],
  ];
  test.each(changes)("%s", async (_what, attempt) => {
    const jobId = await labelledJob("team");
    expect(await outcomeOf(prisma, (tx) => attempt(tx, jobId))).toMatch(/^AJ00[35]$/);
    expect(await labelsIn(prisma, jobId)).toEqual([{ key: "team", value: "v" }]);
  });

  test("get no other set of as many, by the transaction that gives the job a version", async () => {
    const jobId = await labelledJob("team");
    const work = async (tx: Transaction) => {
      await change(tx, jobId, "failed");
      await insertLabels(tx, jobId, ["another"]);
    };
    expect(await outcomeOf(prisma, work)).toBe("AJ003");
  });

  test("get no second set in the transaction that inserts it", async () => {
    const work = async (tx: Transaction, jobId = randomUUID()) => {
      await insertLabelled(tx, jobId, ["team"]);
      await insertLabels(tx, jobId, ["another"]);
    };
    expect(await outcomeOf(prisma, work)).toBe("AJ006");
  });

  test("get none, where there were none", async () => {
    const jobId = await labelledJob();
    expect(await outcomeOf(prisma, (tx) => insertLabels(tx, jobId, ["late"]))).toBe("AJ003");
  });
});

describe("who submitted a job", () => {
  test.each([
    ["is somebody", { job: { submitted_by: "''" } }, "23514"],
    ["is known", { job: { submitted_by: "NULL" } }, "23502"],
    ["has a name of at most 300 characters", { job: { submitted_by: "repeat('x', 301)" } }, "23514"],
    ["is the principal of its first event", { event: { principal_id: "'another'" } }, "AJ006"],
    ["is the principal of its first event, which has one", { event: { principal_id: "NULL" } }, "AJ006"],
  ])("%s", async (_what, otherwise, state) => {
    expect(await outcomeOf(prisma, (tx) => insertJob(tx, randomUUID(), otherwise))).toBe(state);
  });

  test("did so at the time of its first event, by which lists find it", async () => {
    const event = { recorded_at: "created_at + interval '1 ms'" };
    expect(await outcomeOf(prisma, (tx) => insertJob(tx, randomUUID(), { event }))).toBe("AJ006");
  });
});
