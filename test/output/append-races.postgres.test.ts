import { afterAll, beforeAll, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../src/engine.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { appendOutput } from "../../src/output/append.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, SOMEBODY, started, WORKSPACE } from "../support/engine.ts";
import { anotherClient } from "../support/interrupt.ts";
import { FOUND } from "../support/jobs.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { aCompletion } from "../support/reports.ts";

/** Partial output against what ends its run, on two servers at once (sections 5 and 13). */

const ROUNDS = 30;

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

const append = (on: EngineContext, { run, leaseToken }: Claim, first: number, texts: readonly string[]) =>
  appendOutput(on, {
    workflowRunId: run.id,
    leaseToken,
    chunks: texts.map((text, index) => ({ sequence: first + index, text })),
  });
const textsOf = async ({ job: { jobId } }: Claim) =>
  (await db.prisma.outputChunk.findMany({ where: { jobId }, orderBy: { sequence: "asc" } })).map(({ text }) => text);

const RIVALS: readonly (readonly [string, (on: EngineContext, held: Claim) => Promise<unknown>, string])[] = [
  ["poisoning", (on, { job }) => poisonJob(on, WORKSPACE, job.jobId, FOUND), "JOB_POISONED"],
  [
    "a cancellation",
    (on, { job: { jobId } }) => cancelAiJob(on, WORKSPACE, SOMEBODY, { jobId, reason: "enough" }),
    "ILLEGAL_TRANSITION",
  ],
  ["a completion", (on, held) => completeWorkflows(on, [aCompletion(held)]), "ILLEGAL_TRANSITION"],
];

test.each(RIVALS)(
  "against %s: what is behind it is refused, and of a poisoned job nothing stays",
  async (name, end, code) => {
    const [one, two] = engines;
    const outcomes = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const held = await started(one);
      await append(one, held, 1, ["One "]);
      const appending = async () => {
        const answers: string[] = [];
        for (let sequence = 2; sequence < 8; sequence++) {
          const answer = await append(one, held, sequence, ["more "]);
          answers.push("code" in answer ? answer.code : "appended");
        }
        return answers;
      };
      const ending = async () => {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
        await end(two, held);
      };
      const [answers] = await Promise.all([appending(), ending()]);
      const kept = answers.filter((answer) => answer === "appended").length;
      // Once refused, always refused, and with what the rival made of the job.
      expect(answers.slice(kept)).toEqual(Array.from({ length: answers.length - kept }, () => code));
      expect(await textsOf(held)).toHaveLength(name === "poisoning" ? 0 : kept + 1);
      expectSound(await recordsOf(db.prisma, held.job.jobId));
      outcomes.add(kept === 0 ? "before" : kept === answers.length ? "after" : "in between");
    }
    // It was a race: the rival came in the middle at times.
    expect(outcomes).toContain("in between");
  },
  120_000,
);

test("the same chunks, sent twice at once, count once, and of two different ones the second is refused", async () => {
  const [one, two] = engines;
  for (let round = 0; round < ROUNDS; round++) {
    const held = await started(one);
    const same = await Promise.all([append(one, held, 1, ["One ", "two "]), append(two, held, 1, ["One ", "two "])]);
    expect(same).toEqual([{ nextSequence: 3 }, { nextSequence: 3 }]);
    const both = await Promise.all([append(one, held, 3, ["three "]), append(two, held, 3, ["drei ", "vier "])]);
    expect(both.filter((answer) => "code" in answer && answer.code === "INVALID_INPUT")).toHaveLength(1);
    const texts = await textsOf(held);
    expect([["three "], ["drei ", "vier "]]).toContainEqual(texts.slice(2));
  }
}, 120_000);
