import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { claimAiJobs } from "../../src/claims/claim.ts";
import type { JsonValue } from "../../src/db/rows.ts";
import type { EngineContext } from "../../src/engine.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { failUnansweredJobs } from "../../src/review/user-input-timeout.ts";
import { resolveUserReview } from "../../src/review/user-review.ts";
import { requestUserInput } from "../../src/runs/ask.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, SOMEBODY, started, WORKSPACE } from "../support/engine.ts";
import { claim, HOSTILE } from "../support/jobs.ts";
import { recordsOf } from "../support/records.ts";
import { aQuestion } from "../support/reports.ts";
import { awaitingUser, passAnswerLimit, review } from "../support/review.ts";

/** Questions of workers, and the answers of people (section 13). */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = (jobId: string) => recordsOf(db.prisma, jobId);

/** A job that waits for an answer. */
async function asking(more: Parameters<typeof aQuestion>[1] = {}) {
  const held = await started(engine, { maxAttempts: 1 });
  const asked = ok(await requestUserInput(engine, aQuestion(held, more)));
  if (!("request" in asked)) throw new Error("The question poisoned its job.");
  return { jobId: held.job.jobId, requestId: asked.request.requestId, held };
}

const answer = (jobId: string, value: JsonValue, requestId: string | null = null) =>
  resolveUserReview(engine, WORKSPACE, SOMEBODY, {
    jobId,
    decision: "ANSWER",
    comment: null,
    answer: value,
    requestId,
  });

describe("an answer", () => {
  test("goes to the job's next run, with who gave it; the attempt is not charged, the lease is gone meanwhile", async () => {
    const { jobId, requestId, held } = await asking({ payload: { draft: "Dear all" } });
    expect((await records(jobId)).runs).toMatchObject([
      { state: "AWAITING_USER", leaseExpiresAt: null, finishedAt: null },
    ]);
    expect(ok(await answer(jobId, { send: true }))).toMatchObject({
      state: "QUEUED",
      statusReason: "answered",
      waitsFor: null,
      preferredWorkerId: held.run.workerId,
      unchargedAttempts: 1,
    });
    const after = await records(jobId);
    expect(after.runs).toMatchObject([{ state: "CANCELLED", endReason: "answered" }]);
    expect(after.events.at(-1)).toMatchObject({
      actor: "HUMAN",
      actorId: "anonymous",
      payload: { reason: "answered", decision: "answer", request_id: requestId },
    });
    expect(JSON.stringify(after.events.map(({ payload }) => payload))).not.toMatch(/Send it|Dear all|send/);
    const next = await claim(engine, jobId);
    expect(next.carriedOver.answers).toMatchObject([
      { requestId, question: "Send it?", answer: { send: true }, answeredBy: "anonymous" },
    ]);
  });

  test("is one of the options, meets the schema, and is there", async () => {
    const options = await asking({ options: ["yes", "no"] });
    const path = ["input", "answer"];
    expect(await answer(options.jobId, "maybe")).toMatchObject({ code: "INVALID_INPUT", inputPath: path });
    expect(await answer(options.jobId, null)).toMatchObject({ code: "INVALID_INPUT", inputPath: path });
    ok(await answer(options.jobId, "no"));
    const schema = { type: "object", properties: { n: { type: "integer" } }, required: ["n"] };
    const shaped = await asking({ answerSchema: schema });
    expect(await answer(shaped.jobId, { n: "1" })).toMatchObject({ code: "INVALID_INPUT", inputPath: [...path, "n"] });
    ok(await answer(shaped.jobId, { n: 1 }));
  });

  test("is for the question that is meant, and given once", async () => {
    const { jobId, requestId } = await asking();
    expect(await answer(jobId, 1, crypto.randomUUID())).toMatchObject({ inputPath: ["input", "requestId"] });
    ok(await answer(jobId, 1, requestId.toUpperCase()));
    expect(await answer(jobId, 2, requestId)).toMatchObject({ code: "ILLEGAL_TRANSITION" });
  });

  test("is refused of outputs that await a person, as their decisions are of a question", async () => {
    const { jobId, held } = await asking();
    for (const decision of ["ACCEPT", "ACCEPT_WITH_ISSUES", "REVISE"] as const)
      expect(await review(engine, held, decision)).toMatchObject({
        code: "INVALID_INPUT",
        inputPath: ["input", "decision"],
      });
    expect(ok(await review(engine, held, "CANCEL"))).toMatchObject({ state: "CANCELLED" });
    const outputs = await awaitingUser(engine);
    expect(await answer(outputs.job.jobId, 1)).toMatchObject({ inputPath: ["input", "decision"] });
    expect((await records(jobId)).questions).toMatchObject([{ answer: null, answeredBy: null }]);
  });

  test("with an injection poisons the job before its worker gets it, as its inputs would", async () => {
    const { jobId } = await asking();
    ok(await answer(jobId, { text: HOSTILE }));
    const request = { workspaceId: WORKSPACE, workerId: "worker-1", jobKinds: null, limit: 100, leaseSeconds: 60 };
    const { poisoned } = await claimAiJobs(engine, request);
    expect(poisoned.map((job) => job.jobId)).toContain(jobId);
  });

  test("that comes after the time limit fails the job, whoever notices first", async () => {
    const limited = () => asking({ expiresAt: new Date(Date.now() + 3_600_000) });
    const { jobId } = await limited();
    await passAnswerLimit(engine, jobId);
    const tooLate = { code: "ILLEGAL_TRANSITION", from: "FAILED", message: expect.stringContaining("retryAiJob") };
    expect(await answer(jobId, 1)).toMatchObject(tooLate);
    const other = await limited();
    expect(await failUnansweredJobs(engine)).toBe(0);
    await passAnswerLimit(engine, other.jobId);
    expect(await failUnansweredJobs(engine)).toBe(1);
    expect(await answer(other.jobId, 1)).toMatchObject(tooLate);
    for (const id of [jobId, other.jobId]) {
      const { job, runs } = await records(id);
      expect(job).toMatchObject({ state: "FAILED", statusReason: "user_input_timeout", waitsUntil: null });
      expect(runs).toMatchObject([{ state: "FAILED", endReason: "user_input_timeout" }]);
    }
  });
});

describe("a question", () => {
  test("with a time limit that has passed is refused, and the worker keeps its lease", async () => {
    const held = await started(engine);
    const asked = await requestUserInput(engine, aQuestion(held, { expiresAt: new Date(0) }));
    expect(asked).toMatchObject({ code: "INVALID_INPUT", inputPath: ["input", "expiresAt"], directive: null });
    expect((await records(held.job.jobId)).job.state).toBe("RUNNING");
  });

  test("is the same when it is sent again, also after the answer", async () => {
    const held = await started(engine);
    const question = aQuestion(held, { reportId: crypto.randomUUID() });
    const first = ok(await requestUserInput(engine, question));
    const again = ok(await requestUserInput(engine, question));
    expect(again).toMatchObject({ request: { requestId: "request" in first ? first.request.requestId : "" } });
    ok(await answer(held.job.jobId, 1));
    expect(ok(await requestUserInput(engine, question))).toMatchObject({ job: { state: "QUEUED" } });
  });

  test("goes with its job: a cancelled job waits for nothing", async () => {
    const { jobId } = await asking();
    ok(await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId, reason: "enough" }));
    expect((await records(jobId)).job).toMatchObject({ state: "CANCELLED", waitsFor: null });
    expect(await answer(jobId, 1)).toMatchObject({ code: "ILLEGAL_TRANSITION", from: "CANCELLED" });
  });
});
