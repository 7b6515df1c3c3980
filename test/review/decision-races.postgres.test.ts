import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../src/engine.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, SOMEBODY, WORKSPACE } from "../support/engine.ts";
import { anotherClient } from "../support/interrupt.ts";
import { FOUND } from "../support/jobs.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { reportOutcome } from "../support/reports.ts";
import { awaitingUser, awaitingValidation, OUTPUTS, review, verdict } from "../support/review.ts";

/** Two who decide on the same outputs at once, at two servers: one wins, the other gets its typed error. */

const ROUNDS = 40;

let db: TestDatabase;
let other: PrismaClient;
let engines: readonly [EngineContext, EngineContext];
beforeAll(async () => {
  db = await openTestDatabase();
  other = anotherClient(db.url, 5);
  engines = [engineOn(db), engineOn({ ...db, prisma: other })];
});
afterAll(async () => {
  await other.$disconnect();
  await db.close();
});

/** A decision, and the state that it brings the job to. */
interface Rival {
  readonly name: string;
  readonly to: string;
  readonly decide: (engine: EngineContext, claim: Claim) => Promise<unknown>;
}

const reviews: readonly Rival[] = [
  { name: "ACCEPT", to: "COMPLETED", decide: (engine, claim) => review(engine, claim, "ACCEPT") },
  { name: "REVISE", to: "QUEUED", decide: (engine, claim) => review(engine, claim, "REVISE") },
  { name: "CANCEL", to: "CANCELLED", decide: (engine, claim) => review(engine, claim, "CANCEL") },
  {
    name: "a cancellation",
    to: "CANCELLED",
    decide: (engine, { job }) => cancelAiJob(engine, job.workspaceId, SOMEBODY, { jobId: job.jobId, reason: "enough" }),
  },
];
const verdicts: readonly Rival[] = [
  { name: "APPROVED", to: "COMPLETED", decide: (engine, claim) => verdict(engine, claim, "APPROVED") },
  { name: "REJECTED", to: "FAILED", decide: (engine, claim) => verdict(engine, claim, "REJECTED") },
  { name: "NEEDS_USER", to: "AWAITING_USER", decide: (engine, claim) => verdict(engine, claim, "NEEDS_USER") },
];

/** Both decide at once, as often as it takes for each of them to have won. */
async function race(make: (engine: EngineContext) => Promise<Claim>, one: Rival, two: Rival): Promise<void> {
  const wins = { one: 0, two: 0 };
  for (let round = 0; round < ROUNDS && Math.min(wins.one, wins.two) < 2; round++) {
    const claim = await make(engines[0]);
    const before = await recordsOf(other, claim.job.jobId);
    const rivals = round % 2 === 0 ? [one, two] : [two, one];
    const answers = await Promise.all(
      rivals.map(({ decide }, at) => decide(engines[at === 0 ? 0 : 1], claim).then(reportOutcome)),
    );
    const at = answers.indexOf("done");
    const winner = rivals[at];
    expect(answers[1 - at]).toBe("ILLEGAL_TRANSITION");
    const after = await recordsOf(other, claim.job.jobId);
    expectSound(after);
    expect(after.job).toMatchObject({ state: winner?.to, version: before.job.version + 1 });
    wins[winner === one ? "one" : "two"] += 1;
  }
  // Both really happened; a test in which one of them always wins shows no race.
  expect(Math.min(wins.one, wins.two)).toBeGreaterThan(0);
}

describe("two reviews at once", () => {
  test.each([
    ["ACCEPT", "ACCEPT"],
    ["ACCEPT", "REVISE"],
    ["ACCEPT", "CANCEL"],
    ["REVISE", "CANCEL"],
    ["ACCEPT", "a cancellation"],
  ])("%s and %s: one wins, the other is told that it is decided", async (one, two) => {
    const [first, second] = [one, two].map((wanted) => reviews.find(({ name }) => name === wanted));
    if (!first || !second) throw new Error("There is no such decision.");
    await race(awaitingUser, first, { ...second });
  });

  test("of ten, one wins", async () => {
    const claim = await awaitingUser(engines[0]);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, at) => review(engines[at % 2 === 0 ? 0 : 1], claim, "REVISE").then(reportOutcome)),
    );
    expect(answers.filter((answer) => answer === "done")).toHaveLength(1);
    expect((await recordsOf(other, claim.job.jobId)).job).toMatchObject({ state: "QUEUED", unchargedAttempts: 1 });
  });
});

describe("two verdicts at once", () => {
  test.each([
    ["APPROVED", "REJECTED"],
    ["APPROVED", "NEEDS_USER"],
    ["REJECTED", "NEEDS_USER"],
  ])("%s and %s: one wins, the other is told that it is decided", async (one, two) => {
    const [first, second] = [one, two].map((wanted) => verdicts.find(({ name }) => name === wanted));
    if (!first || !second) throw new Error("There is no such verdict.");
    await race(awaitingValidation, first, second);
  });
});

test("a review and a poisoning at once: the outputs count as applied with the violation on record, or are cleared", async () => {
  for (let round = 0; round < 20; round++) {
    const claim = await awaitingUser(engines[0]);
    const work = [
      () => review(engines[0], claim, "ACCEPT").then(reportOutcome),
      () => poisonJob(engines[1], WORKSPACE, claim.job.jobId, FOUND).then(({ action }) => action),
    ];
    const answers = await Promise.all((round % 2 === 0 ? work : work.toReversed()).map((begin) => begin()));
    const after = await recordsOf(other, claim.job.jobId);
    expectSound(after);
    const { state, jobOutputs } = after.job;
    expect([
      { answers: ["RECORDED", "done"], state: "COMPLETED", jobOutputs: OUTPUTS },
      { answers: ["JOB_POISONED", "POISONED"], state: "POISONED", jobOutputs: null },
    ]).toContainEqual({ answers: answers.toSorted(), state, jobOutputs });
  }
});
