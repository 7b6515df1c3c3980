import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Columns, change, insertJob, jobIn, outcomeOf, runningJob, update } from "../support/plain-sql.ts";

/** Progress against any other writer (section 13). */

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
});
afterAll(() => db.close());

const AT = "'2026-01-02 03:04:05.006+00'";
const CHECK = "23514";

/** A progress with what makes it right or wrong, and what the database says. */
const CASES: readonly (readonly [string, string, Columns])[] = [
  ["a fraction", "committed", { progress_fraction: "0", progress_at: AT }],
  ["a message", "committed", { progress_message: "repeat('字', 200)", progress_at: AT }],
  ["both", "committed", { progress_fraction: "1", progress_message: "'x'", progress_at: AT }],
  ["a time alone", CHECK, { progress_at: AT }],
  ["a fraction without a time", CHECK, { progress_fraction: "0.5" }],
  ["a message without a time", CHECK, { progress_message: "'x'" }],
  ["a fraction below 0", CHECK, { progress_fraction: "-5e-324", progress_at: AT }],
  ["a fraction above 1", CHECK, { progress_fraction: "1.0000000000000002", progress_at: AT }],
  ["no number", CHECK, { progress_fraction: "'NaN'", progress_at: AT }],
  ["infinitely much", CHECK, { progress_fraction: "'Infinity'", progress_at: AT }],
  ["an empty message", CHECK, { progress_message: "''", progress_at: AT }],
  ["a message of 201 characters", CHECK, { progress_message: "repeat('x', 201)", progress_at: AT }],
];

const ofRun = (columns: Columns): Columns =>
  Object.fromEntries(Object.entries(columns).map(([name, value]) => [`next_${name}`, value]));

test.each(CASES)("%s, as the progress of a job and as what waits with its run: %s", async (_, outcome, progress) => {
  const { jobId, runId } = await runningJob(prisma);
  expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "running", { job: progress }))).toBe(outcome);
  expect(await outcomeOf(prisma, (tx) => update(tx, "workflow_runs", runId, ofRun(progress)))).toBe(outcome);
});

const SAID: Columns = { progress_fraction: "0.5", progress_message: "'reading'", progress_at: AT };

describe("a job's progress", () => {
  test("is of an attempt: there is none at the insert, nor before the first claim", async () => {
    const inserted = outcomeOf(prisma, (tx) => insertJob(tx, crypto.randomUUID(), { job: SAID }));
    expect(await inserted).toBe(CHECK);
    const jobId = await jobIn(prisma, "queued");
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "queued", { job: SAID }))).toBe(CHECK);
  });

  test("stays with a job that ends, and goes with a poisoning", async () => {
    const { jobId } = await runningJob(prisma);
    await prisma.$transaction((tx) => change(tx, jobId, "running", { job: SAID }));
    await prisma.$transaction((tx) => change(tx, jobId, "failed"));
    expect(await prisma.aiJob.findUnique({ where: { jobId } })).toMatchObject({ progressFraction: 0.5 });
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "poisoned"))).toBe(CHECK);
    const cleared = { progress_fraction: "NULL", progress_message: "NULL", progress_at: "NULL" };
    expect(await outcomeOf(prisma, (tx) => change(tx, jobId, "poisoned", { job: cleared }))).toBe("committed");
  });

  test("changes only with a version, as everything of a job does", async () => {
    const { jobId } = await runningJob(prisma);
    const alone = outcomeOf(prisma, (tx) =>
      tx.$executeRawUnsafe(`UPDATE ai_jobs SET progress_fraction = 0.5, progress_at = ${AT} WHERE job_id = '${jobId}'`),
    );
    expect(await alone).toBe("AJ002");
  });
});

describe("what waits with a run", () => {
  const WAITING = ofRun(SAID);
  const ENDED: Columns = { finished_at: "now()", end_reason: "'ended'", lease_expires_at: "NULL" };

  test.each([
    ["has finished", { state: "'failed'", ...ENDED }],
    ["was given back", { state: "'cancelled'", ...ENDED }],
    ["awaits a verdict", { state: "'awaiting_validation'", lease_expires_at: "NULL" }],
    ["awaits a person", { state: "'awaiting_user'", lease_expires_at: "NULL" }],
  ])("is let go of where the run %s", async (_, end: Columns) => {
    const { runId } = await runningJob(prisma);
    await prisma.$transaction((tx) => update(tx, "workflow_runs", runId, WAITING));
    expect(await outcomeOf(prisma, (tx) => update(tx, "workflow_runs", runId, end))).toBe(CHECK);
    const gone = { next_progress_fraction: "NULL", next_progress_message: "NULL", next_progress_at: "NULL" };
    expect(await outcomeOf(prisma, (tx) => update(tx, "workflow_runs", runId, { ...end, ...gone }))).toBe("committed");
  });
});
