import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started, submitted, WORKSPACE } from "../support/engine.ts";
import { raising, withFault } from "../support/faults.ts";
import { bringTo, FOUND } from "../support/jobs.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

let db: TestDatabase;
let server: TestServer;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
  engine = engineOn(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const RETRY = graphql(`
  mutation AnswersRetry($jobId: UUID!) {
    retryAiJob(input: { jobId: $jobId }) {
      __typename
      ... on Error {
        code
      }
      ... on RetryAiJobPayload {
        job {
          state
          statusReason
          errorMessage
          runAfter
          version
        }
      }
      ... on IllegalTransitionError {
        from
        to
        directive
      }
      ... on JobPoisonedError {
        stop: directive
        poisoned: job {
          state
        }
      }
      ... on BudgetExceededError {
        freesAt
        directive
      }
    }
  }
`);

const retry = async (jobId: string) => (await server.run(RETRY, { jobId })).retryAiJob;

test("retryAiJob answers the job, queued, and then that it is", async () => {
  const { jobId } = (await started(engine)).job;
  await bringTo(engine, jobId, "FAILED", { errorMessage: "broke" });
  expect(await retry(jobId)).toEqual({
    __typename: "RetryAiJobPayload",
    job: { state: "QUEUED", statusReason: "retried", errorMessage: null, runAfter: null, version: 4 },
  });
  expect(await retry(jobId)).toEqual({
    __typename: "IllegalTransitionError",
    code: "ILLEGAL_TRANSITION",
    from: "QUEUED",
    to: "QUEUED",
    directive: null,
  });
});

test("retryAiJob answers that the job is poisoned", async () => {
  const { jobId } = await submitted(engine);
  await poisonJob(engine, WORKSPACE, jobId, FOUND);
  expect(await retry(jobId)).toEqual({
    __typename: "JobPoisonedError",
    code: "JOB_POISONED",
    stop: null,
    poisoned: { state: "POISONED" },
  });
});

test("retryAiJob answers that the job's tokens have passed its budget", async () => {
  const { jobId } = await submitted(engine, { tokenBudget: 5 });
  await bringTo(engine, jobId, "FAILED", { outputTokens: 6n, totalTokens: 6n });
  expect(await retry(jobId)).toEqual({
    __typename: "BudgetExceededError",
    code: "BUDGET_EXCEEDED",
    freesAt: null,
    directive: null,
  });
});

test("retryAiJob answers that there is no such job", async () => {
  expect(await retry(randomUUID())).toEqual({ __typename: "NotFoundError", code: "NOT_FOUND" });
});

test("retryAiJob answers that the database has no time for it", async () => {
  const { jobId } = await submitted(engine);
  await bringTo(engine, jobId, "FAILED");
  const point = { at: "before the job", on: "ai_jobs", when: "BEFORE STATEMENT" } as const;
  const body = await raising(db, "40P01");
  const answer = await withFault(db, point, body, () => retry(jobId));
  expect(answer).toEqual({ __typename: "TryAgainError", code: "TRY_AGAIN" });
});
