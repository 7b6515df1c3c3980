import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { EngineContext } from "../../src/engine.ts";
import { resolveUserReview } from "../../src/review/user-review.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { requestUserInput } from "../../src/runs/ask.ts";
import { wakeParents } from "../../src/runs/children.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { graphql } from "../generated/gql.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { dueNow, FOUND } from "../support/jobs.ts";
import { aCompletion, aGiveBack, aQuestion, releaseWorkflow } from "../support/reports.ts";
import { awaitingUser, awaitingValidation, OUTPUTS, review, verdict } from "../support/review.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** What a claim brings of earlier runs, of people and of children; and what runs show of how they ended (section 13). */

const Start = graphql(`
  mutation ClaimBrings($jobId: UUID!) {
    startWorkflow(input: { jobId: $jobId, workerId: "next" }) {
      ... on StartWorkflowPayload {
        claim {
          reviewComment
          completedNodes {
            nodeId
            nodeType
            stepId
            input
            output
            outputIsLeftOut
          }
          userAnswers {
            question
            answer
            answeredBy
          }
          children {
            jobId
            state
            jobOutputs
          }
        }
      }
    }
  }
`);

const Waits = graphql(`
  query JobWaits($jobId: UUID!) {
    aiJob(jobId: $jobId) {
      state
      waitsFor
      endedAt
      userInputRequest {
        requestId
        question
        payload
        options
        answerSchema
        expiresAt
      }
      workflowRuns {
        nodes {
          endReason
          outputs
        }
      }
    }
  }
`);

const Step = graphql(`
  query StepById($id: ID!) {
    node(id: $id) {
      ... on NodeExecution {
        nodeId
        outputPayload
      }
    }
  }
`);

let db: TestDatabase;
let engine: EngineContext;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

async function start(jobId: string) {
  const { startWorkflow } = await server.run(Start, { jobId });
  if (!("claim" in startWorkflow)) throw new Error("The job was not started.");
  return startWorkflow.claim;
}

/** Its worker is lost, and the job is due again. */
async function backToQueue(jobId: string): Promise<void> {
  await db.prisma.$executeRaw`
    UPDATE workflow_runs SET lease_expires_at = clock_timestamp() - interval '1 second'
    WHERE job_id = ${jobId}::uuid AND finished_at IS NULL`;
  expect(await recoverStalledRuns(engine)).toBe(1);
  await dueNow(engine, jobId);
}

async function read(jobId: string) {
  const { aiJob } = await server.run(Waits, { jobId });
  if (!aiJob) throw new Error("There is no such job.");
  return aiJob;
}

async function step(
  held: Claim,
  nodeId: string,
  outputPayload: string | null,
  outcome: "SUCCEEDED" | "FAILED" = "SUCCEEDED",
) {
  ok(await advanceWorkflow(engine, aStep(held, nodeId, { inputPayload: { for: nodeId } })));
  ok(await advanceWorkflow(engine, aStep(held, nodeId, { outcome, outputPayload, errorMessage: null })));
}

const giveBack = async (held: Claim, more = {}) => ok(await releaseWorkflow(engine, aGiveBack(held, more)));

describe("a claim", () => {
  test("brings of each step the last execution that succeeded in earlier runs, in the order of their ends", async () => {
    const held = await started(engine);
    await step(held, "read", "first");
    await step(held, "write", "draft");
    await step(held, "read", "second");
    await step(held, "write", "broken", "FAILED");
    ok(await advanceWorkflow(engine, aStep(held, "open")));
    await giveBack(held);
    const nodes = (await start(held.job.jobId)).completedNodes;
    expect(nodes.map(({ nodeId, input, output }) => [nodeId, input, output])).toEqual([
      ["write", { for: "write" }, "draft"],
      ["read", { for: "read" }, "second"],
    ]);
    expect((await server.run(Step, { id: nodes[0]?.stepId ?? "" })).node).toEqual({
      nodeId: "write",
      outputPayload: "draft",
    });
    expect((await start((await submitted(engine)).jobId)).completedNodes).toEqual([]);
  });

  test("leaves out outputs beyond 4 MiB, which are loaded by the id of their step", async () => {
    const held = await started(engine);
    const large = "x".repeat(200 * 1024);
    for (let at = 0; at < 22; at++) await step(held, `step-${at}`, large);
    await giveBack(held);
    const nodes = (await start(held.job.jobId)).completedNodes;
    const leftOut = nodes.filter(({ outputIsLeftOut }) => outputIsLeftOut);
    expect(nodes).toHaveLength(22);
    expect(leftOut.map(({ nodeId }) => nodeId)).toEqual(["step-20", "step-21"]);
    expect(leftOut.every(({ input, output }) => input === null && output === null)).toBe(true);
    const { node } = await server.run(Step, { id: leftOut[0]?.stepId ?? "" });
    expect(node).toEqual({ nodeId: "step-20", outputPayload: large });
  });

  test("brings the words of whoever last sent the job back, and all answers, to every later run", async () => {
    const sent = await awaitingUser(engine);
    const { jobId } = sent.job;
    ok(await review(engine, sent, "REVISE", "The dates are wrong."));
    const words = { reviewComment: "The dates are wrong.", userAnswers: [] };
    expect(await start(jobId)).toMatchObject(words);
    // The worker that was to begin anew is lost: the next one is told as well.
    await backToQueue(jobId);
    expect(await start(jobId)).toMatchObject(words);
    const asked = await started(engine);
    ok(await requestUserInput(engine, aQuestion(asked)));
    const decision = {
      jobId: asked.job.jobId,
      decision: "ANSWER",
      comment: "as agreed",
      answer: { send: true },
    } as const;
    ok(await resolveUserReview(engine, WORKSPACE, SOMEBODY, decision));
    const answered = {
      reviewComment: null,
      userAnswers: [{ question: "Send it?", answer: { send: true }, answeredBy: "anonymous" }],
    };
    expect(await start(asked.job.jobId)).toMatchObject(answered);
    await backToQueue(asked.job.jobId);
    expect(await start(asked.job.jobId)).toMatchObject(answered);
  });

  test("brings the children with their states and outputs", async () => {
    const held = await started(engine);
    const child = await started(engine, { parentJobId: held.job.jobId });
    await giveBack(held, { untilChildrenEnd: true });
    expect((await read(held.job.jobId)).waitsFor).toBe("CHILDREN");
    await completeWorkflows(engine, [aCompletion(child, { jobOutputs: { words: 7 } })]);
    await wakeParents(engine);
    expect((await start(held.job.jobId)).children).toEqual([
      { jobId: child.job.jobId, state: "COMPLETED", jobOutputs: { words: 7 } },
    ]);
  });
});

describe("a job says what it waits for", () => {
  test("a time, until it has come", async () => {
    const ahead = await submitted(engine, { runAfter: new Date(Date.now() + 3_600_000) });
    const past = await submitted(engine, { runAfter: new Date(0) });
    expect([(await read(ahead.jobId)).waitsFor, (await read(past.jobId)).waitsFor]).toEqual(["TIME", null]);
  });

  test("a person's decision, or an answer, with the question as it was asked", async () => {
    expect(await read((await awaitingUser(engine)).job.jobId)).toMatchObject({
      waitsFor: "USER_REVIEW",
      userInputRequest: null,
    });
    const held = await started(engine);
    const asked = { payload: { draft: [1] }, options: ["yes"], answerSchema: { type: "string" } };
    const expiresAt = new Date(Date.now() + 60_000);
    ok(await requestUserInput(engine, aQuestion(held, { ...asked, expiresAt })));
    expect(await read(held.job.jobId)).toMatchObject({
      state: "AWAITING_USER",
      waitsFor: "USER_INPUT",
      userInputRequest: { question: "Send it?", ...asked, expiresAt: expiresAt.toISOString() },
    });
  });
});

describe("a run keeps its outputs", () => {
  test("whatever the verdict, and says how it ended; a poisoning takes them away", async () => {
    const rejected = await awaitingValidation(engine);
    ok(await verdict(engine, rejected, "REJECTED"));
    expect(await read(rejected.job.jobId)).toMatchObject({
      endedAt: expect.any(String),
      workflowRuns: { nodes: [{ endReason: "rejected", outputs: OUTPUTS }] },
    });
    const revised = await awaitingUser(engine);
    ok(await review(engine, revised, "REVISE"));
    expect((await read(revised.job.jobId)).workflowRuns.nodes).toEqual([{ endReason: "revised", outputs: OUTPUTS }]);
    await poisonJob(engine, WORKSPACE, revised.job.jobId, FOUND);
    expect((await read(revised.job.jobId)).workflowRuns.nodes).toEqual([{ endReason: "revised", outputs: null }]);
  });
});
