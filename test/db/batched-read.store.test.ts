import { randomUUID } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { batchEqualReads, batchReads, rememberReads, type ScopedId } from "../../src/db/batched-read.ts";
import { ReadMemory } from "../../src/db/read-memory.ts";
import { createListReads, createReadsById, type ListReads, type ReadsById } from "../../src/graphql/reads.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted, WORKSPACE } from "../support/engine.ts";

/** What reads that share a statement are answered: what each of them would be answered alone. */

const THEIRS = "11111111-1111-7111-8111-111111111111";

let db: TestDatabase;
let reads: ReadsById;
let lists: ListReads;
let ours: readonly ScopedId[];
beforeAll(async () => {
  db = await openTestDatabase();
  reads = createReadsById(db.prisma);
  lists = createListReads(db.prisma);
  const jobs = [];
  for (let priority = 0; priority < 5; priority++) jobs.push(await submitted(engineOn(db), { priority }));
  ours = jobs.map(({ jobId }) => ({ workspaceId: WORKSPACE, id: jobId }));
});
beforeEach(() => void db.statements());
afterAll(() => db.close());

async function prioritiesOf(ids: readonly ScopedId[]): Promise<readonly (readonly number[])[]> {
  const rows = await Promise.all(ids.map((id) => reads.job(id, ["priority"])));
  return rows.map((list) => list.map(({ priority }) => priority));
}

describe("reads by id of one turn", () => {
  test("are one statement, and each has its own answer, in whatever order and however often it is asked for", async () => {
    const none = { workspaceId: WORKSPACE, id: randomUUID() };
    const asked = [...ours, none, ...ours.toReversed()];
    expect(await prioritiesOf(asked)).toEqual([[0], [1], [2], [3], [4], [], [4], [3], [2], [1], [0]]);
    expect(db.statements()).toHaveLength(1);
  });

  test("share only where they ask for the same columns", async () => {
    const [id = { workspaceId: "", id: "" }] = ours;
    const [[short], [long]] = await Promise.all([reads.job(id, ["priority"]), reads.job(id, ["priority", "state"])]);
    expect([short, long]).toEqual([
      { jobId: id.id, workspaceId: WORKSPACE, priority: 0 },
      { jobId: id.id, workspaceId: WORKSPACE, priority: 0, state: "QUEUED" },
    ]);
    expect(db.statements()).toHaveLength(2);
  });

  test("are answered in their own workspace each: a job that two ask for is asked for in two statements", async () => {
    const theirs = ours.map(({ id }) => ({ workspaceId: THEIRS, id }));
    expect(await prioritiesOf([...theirs, ...ours])).toEqual([[], [], [], [], [], [0], [1], [2], [3], [4]]);
    expect(db.statements()).toHaveLength(2);
    const others = theirs.slice(0, 2);
    expect(await prioritiesOf([...others, ...ours.slice(2)])).toEqual([[], [], [2], [3], [4]]);
    expect(db.statements()).toHaveLength(1);
  });

  test("are handed out by a row's own workspace, also where the statement forgot to ask for it", async () => {
    const read = batchReads(
      (ids: readonly ScopedId[]) => db.prisma.aiJob.findMany({ where: { jobId: { in: ids.map(({ id }) => id) } } }),
      ({ workspaceId, jobId }) => ({ workspaceId, id: jobId }),
    );
    const [mine = { workspaceId: "", id: "" }] = ours;
    const [found, none] = await Promise.all([read(mine, undefined), read({ ...mine, workspaceId: THEIRS }, undefined)]);
    expect([found.length, none.length]).toEqual([1, 0]);
  });

  test("fail no neighbour: one that the database refuses is refused alone", async () => {
    const bad = { workspaceId: WORKSPACE, id: "no id" };
    const settled = await Promise.allSettled([...ours, bad].map((id) => reads.job(id, ["priority"])));
    expect(settled.map(({ status }) => status)).toEqual([...ours.map(() => "fulfilled"), "rejected"]);
    // Each alone: those that the database refused are not among these.
    expect(db.statements()).toHaveLength(ours.length);
  });

  test("give rows that nobody can change for the others", async () => {
    const [id = { workspaceId: "", id: "" }] = ours;
    const [one, other] = await Promise.all([reads.job(id, ["priority"]), reads.job(id, ["priority"])]);
    expect(one).toBe(other);
    const [row] = one;
    expect(() => Object.assign(row ?? {}, { priority: 9 })).toThrow(TypeError);
    expect(() => Reflect.apply(Array.prototype.push, one, [row])).toThrow(TypeError);
  });
});

test("a read of another turn is another statement: nothing is remembered", async () => {
  await prioritiesOf(ours);
  await prioritiesOf(ours);
  const later = prioritiesOf(ours);
  await turn();
  await Promise.all([later, prioritiesOf(ours)]);
  expect(db.statements()).toHaveLength(4);
});

test("but where it is asked to remember: for as long as whoever asked keeps it", async () => {
  const job = rememberReads(reads.job, new ReadMemory(1_000_000), () => undefined);
  const [id = { workspaceId: "", id: "" }] = ours;
  const first = await job(id, ["priority"]);
  expect(await job(id, ["priority"])).toBe(first);
  expect(db.statements()).toHaveLength(1);
  expect(await job({ ...id, workspaceId: THEIRS }, ["priority"])).toEqual([]);
});

describe("lists of one turn", () => {
  const slice = { limit: 3, fromEnd: false };
  const newest = { workspaceId: WORKSPACE, filter: {}, slice, fields: ["jobId", "priority"] } as const;

  test("are read once where they are equal", async () => {
    const [one, other] = await Promise.all([lists.jobs(newest), lists.jobs({ ...newest })]);
    expect(one.map(({ priority }) => priority)).toEqual([4, 3, 2]);
    expect(other).toBe(one);
    expect([Object.isFrozen(one), one.every((row) => Object.isFrozen(row))]).toEqual([true, true]);
    expect(db.statements()).toHaveLength(1);
  });

  test.each([
    ["workspace", { workspaceId: THEIRS }, []],
    ["filter", { filter: { createdBefore: new Date(0) } }, []],
    ["slice", { slice: { limit: 1, fromEnd: true } }, [0]],
    ["columns", { fields: ["jobId", "priority", "state"] as const }, [4, 3, 2]],
  ])("are read twice where they differ in their %s", async (_what, other, expected) => {
    const [one, differing] = await Promise.all([lists.jobs(newest), lists.jobs({ ...newest, ...other })]);
    expect(one.map(({ priority }) => priority)).toEqual([4, 3, 2]);
    expect(differing.map(({ priority }) => priority)).toEqual(expected);
    expect(db.statements()).toHaveLength(2);
  });

  test("fail together, without a second run: each of them alone would fail as well", async () => {
    let runs = 0;
    const read = batchEqualReads(async () => {
      runs += 1;
      throw new Error("No.");
    });
    const settled = await Promise.allSettled([read("list"), read("list")]);
    expect(settled.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(runs).toBe(1);
  });
});
