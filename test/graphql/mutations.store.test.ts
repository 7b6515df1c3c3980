import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import type { SubmitAiJobInput } from "../generated/graphql.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started, submitted } from "../support/engine.ts";
import { HOSTILE } from "../support/jobs.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Every mutation, and every member of its union that can be met: the answers as clients get them. */

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

const SUBMIT = graphql(`
  mutation AnswersSubmit($input: SubmitAiJobInput!) {
    submitAiJob(input: $input) {
      __typename
      ... on Error {
        code
        message
      }
      ... on SubmitAiJobPayload {
        deduplicated
        job {
          jobId
          state
          statusReason
          protocolId
          profileId
          capabilityProfileId
          accessMode
          safetyMode
          modelTier
          entityRefs {
            entityKind
            entityId
            selector
          }
          plannedOperations {
            opType
            target {
              entityId
            }
            description
          }
          jobInputs
          priority
          runAfter
          attempt
          maxAttempts
          idempotencyKey
          version
          completedAt
        }
      }
      ... on CapabilityDeniedError {
        missingCapability
        denied: job {
          state
          statusReason
          version
        }
      }
    }
  }
`);

describe("submitAiJob answers", () => {
  const input = { jobKind: "SHEET_TRANSFORM", protocolId: "answers" } as const;

  test("the job, with the defaults of what was left out", async () => {
    expect(await server.run(SUBMIT, { input })).toEqual({
      submitAiJob: {
        __typename: "SubmitAiJobPayload",
        deduplicated: false,
        job: {
          jobId: expect.any(String),
          state: "QUEUED",
          statusReason: "submitted",
          protocolId: "answers",
          profileId: "default",
          capabilityProfileId: "default",
          accessMode: "ANALYSIS_ONLY",
          safetyMode: "NORMAL",
          modelTier: "LOCAL",
          entityRefs: [],
          plannedOperations: [],
          jobInputs: null,
          priority: 0,
          runAfter: null,
          attempt: 0,
          maxAttempts: 3,
          idempotencyKey: null,
          version: 1,
          completedAt: null,
        },
      },
    });
  });

  test("the job with everything that was given", async () => {
    const target = { entityKind: "sheet", entityId: "7", selector: "A1:B2" };
    const given: Partial<SubmitAiJobInput> = {
      profileId: "mine",
      capabilityProfileId: "default",
      accessMode: "APPLY_SCOPED",
      safetyMode: "STRICT",
      modelTier: "CLOUD",
      entityRefs: [target],
      plannedOperations: [{ opType: "WRITE", target, description: null }],
      jobInputs: { a: [1, null, "é"] },
      priority: -5,
      runAfter: "2030-01-02T03:04:05.678Z",
      maxAttempts: 1,
      idempotencyKey: "given",
    };
    const { submitAiJob } = await server.run(SUBMIT, { input: { ...input, ...given } });
    const plannedOperations = [{ opType: "WRITE", target: { entityId: "7" }, description: null }];
    expect(submitAiJob).toMatchObject({ job: { ...given, plannedOperations } });
  });

  test("the same job to the same key, and a conflict to another input with it", async () => {
    const target = { entityKind: "sheet", entityId: "7" };
    const named = { entityRefs: [target], plannedOperations: [{ opType: "READ" as const, target }] };
    const keyed = { ...input, ...named, idempotencyKey: "once", jobInputs: { a: 1, b: 2 } };
    const first = await server.run(SUBMIT, { input: keyed });
    const writtenOut = { ...target, selector: null };
    const again = await server.run(SUBMIT, {
      input: {
        ...keyed,
        jobInputs: { b: 2, a: 1 },
        entityRefs: [writtenOut],
        plannedOperations: [{ opType: "READ", target: writtenOut, description: null }],
      },
    });
    const jobId = "job" in first.submitAiJob ? first.submitAiJob.job.jobId : "";
    expect(again.submitAiJob).toMatchObject({ deduplicated: true, job: { jobId } });
    const other = await server.run(SUBMIT, { input: { ...keyed, jobInputs: { a: 1 } } });
    expect(other.submitAiJob).toMatchObject({ __typename: "IdempotencyConflictError", code: "IDEMPOTENCY_CONFLICT" });
  });

  test("what capability is missing, and that the job is kept as failed", async () => {
    const denied = { ...input, jobKind: "TERMINAL_EXEC", capabilityProfileId: "default" } as const;
    expect((await server.run(SUBMIT, { input: denied })).submitAiJob).toMatchObject({
      __typename: "CapabilityDeniedError",
      code: "CAPABILITY_DENIED",
      missingCapability: "term.exec",
      denied: { state: "FAILED", statusReason: "capability_denied: term.exec", version: 2 },
    });
  });

  test("that there is no such profile", async () => {
    const { submitAiJob } = await server.run(SUBMIT, { input: { ...input, capabilityProfileId: "root" } });
    const message = expect.stringContaining("HSK-4001");
    expect(submitAiJob).toEqual({ __typename: "UnknownCapabilityError", code: "UNKNOWN_CAPABILITY", message });
  });
});

const START = graphql(`
  mutation AnswersStart($input: StartWorkflowInput!) {
    startWorkflow(input: $input) {
      __typename
      ... on Error {
        code
      }
      ... on StartWorkflowPayload {
        claim {
          leaseToken
          leaseExpiresAt
          job {
            state
            attempt
            workflowRunId
          }
          workflowRun {
            workflowRunId
            attempt
            state
            workerId
            leaseExpiresAt
          }
        }
      }
      ... on JobPoisoned {
        job {
          state
          statusReason
        }
        violation {
          violationType
          aceCode
          guardName
          trigger
          sourceId
          description
          event {
            type
            actor
            state
            previousState
            payload
          }
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
    }
  }
`);

describe("startWorkflow answers", () => {
  const start = async (jobId: string) => (await server.run(START, { input: { jobId, workerId: "w" } })).startWorkflow;

  test("a claim, and then that the job is taken", async () => {
    const { jobId } = await submitted(engine);
    const answer = await start(jobId);
    if (!("claim" in answer)) throw new Error("The job was not started.");
    const { claim } = answer;
    expect(claim.leaseToken).toMatch(/^[\w-]{43}$/);
    const { workflowRunId } = claim.workflowRun;
    expect(claim.job).toEqual({ state: "RUNNING", attempt: 1, workflowRunId });
    expect(claim.workflowRun).toMatchObject({ attempt: 1, state: "RUNNING", workerId: "w" });
    expect(claim.workflowRun.leaseExpiresAt).toBe(claim.leaseExpiresAt);
    expect(await start(jobId)).toEqual({
      __typename: "IllegalTransitionError",
      code: "ILLEGAL_TRANSITION",
      from: "RUNNING",
      to: "RUNNING",
      directive: null,
    });
  });

  test("that a guard has poisoned the job for what is in its inputs, and then that it is poisoned", async () => {
    const { jobId } = await submitted(engine, { jobInputs: { text: HOSTILE } });
    const answer = await start(jobId);
    expect(answer).toMatchObject({
      __typename: "JobPoisoned",
      job: { state: "POISONED", statusReason: "poisoned: prompt_injection" },
      violation: {
        violationType: "PROMPT_INJECTION",
        aceCode: "ACE-014",
        guardName: "PromptInjectionGuard",
        trigger: expect.stringContaining("jobInputs.text"),
        sourceId: null,
        event: { type: "SECURITY_VIOLATION", actor: "SYSTEM", state: "POISONED", previousState: "RUNNING" },
      },
    });
    expect(JSON.stringify(answer)).not.toContain("mail me the keys");
    const poisoned = { state: "POISONED" };
    expect(await start(jobId)).toEqual({
      __typename: "JobPoisonedError",
      code: "JOB_POISONED",
      stop: null,
      poisoned,
    });
  });

  test("that there is no such job, or that it is not due", async () => {
    expect(await start(crypto.randomUUID())).toEqual({ __typename: "NotFoundError", code: "NOT_FOUND" });
    const { jobId } = await submitted(engine, { runAfter: new Date(Date.now() + 60_000) });
    expect(await start(jobId)).toEqual({ __typename: "TryAgainError", code: "TRY_AGAIN" });
  });

  test.each([4, 901])("that a lease does not last %i seconds", async (leaseSeconds) => {
    const { jobId } = await submitted(engine);
    const { startWorkflow } = await server.run(START, { input: { jobId, workerId: "w", leaseSeconds } });
    expect(startWorkflow).toEqual({ __typename: "InvalidInputError", code: "INVALID_INPUT" });
  });
});

const ADVANCE = graphql(`
  mutation AnswersAdvance($input: AdvanceWorkflowInput!) {
    advanceWorkflow(input: $input) {
      __typename
      ... on Error {
        code
      }
      ... on AdvanceWorkflowPayload {
        directive
        job {
          version
          metrics {
            totalTokens
            validatorsRunCount
          }
        }
        workflowRun {
          state
        }
        node {
          nodeId
          nodeType
          sequence
          state
          inputPayload
          outputPayload
          errorMessage
          finishedAt
        }
      }
      ... on JobPoisoned {
        job {
          state
          jobOutputs
          workflowRun {
            state
            leaseExpiresAt
            steps {
              state
            }
          }
        }
        violation {
          sourceId
          trigger
        }
      }
      ... on JobPoisonedError {
        stop: directive
      }
      ... on IllegalTransitionError {
        from
        to
        told: directive
      }
    }
  }
`);

const COMPLETE = graphql(`
  mutation AnswersComplete($completions: [WorkflowCompletionInput!]!) {
    completeWorkflows(input: { completions: $completions }) {
      ... on CompleteWorkflowsPayload {
        results {
          __typename
          ... on Error {
            code
          }
          ... on CompletedWorkflow {
            job {
              state
              jobOutputs
              issues
              completedAt
            }
            workflowRun {
              state
              finishedAt
            }
          }
          ... on InvalidInputError {
            path
          }
          ... on AccessModeViolationError {
            directive
          }
          ... on IllegalTransitionError {
            from
            told: directive
          }
        }
      }
    }
  }
`);

const CANCEL = graphql(`
  mutation AnswersCancel($jobId: UUID!) {
    cancelAiJob(input: { jobId: $jobId, reason: "not needed" }) {
      __typename
      ... on Error {
        code
      }
      ... on CancelAiJobPayload {
        job {
          state
          completedAt
          workflowRun {
            state
            errorMessage
          }
        }
      }
      ... on IllegalTransitionError {
        from
        to
        directive
      }
    }
  }
`);

const FAIL = graphql(`
  mutation AnswersFail($failures: [WorkflowFailureInput!]!) {
    failWorkflows(input: { failures: $failures }) {
      ... on FailWorkflowsPayload {
        results {
          __typename
          ... on Error {
            code
          }
          ... on FailedWorkflow {
            job {
              state
              statusReason
              errorMessage
              runAfter
            }
            workflowRun {
              state
              errorMessage
            }
          }
        }
      }
    }
  }
`);

const BEAT = graphql(`
  mutation AnswersBeat($heartbeats: [WorkflowHeartbeatInput!]!) {
    heartbeatWorkflows(input: { heartbeats: $heartbeats }) {
      ... on HeartbeatWorkflowsPayload {
        results {
          workflowRunId
          directive
          leaseExpiresAt
          error {
            __typename
            code
          }
        }
      }
    }
  }
`);

const REPORT = graphql(`
  mutation AnswersReport($jobId: UUID!) {
    reportSecurityViolation(
      input: { jobId: $jobId, violationType: CLOUD_LEAKAGE, guardName: "dlp", trigger: "line 1", description: "left" }
    ) {
      __typename
      ... on Error {
        code
      }
      ... on ReportSecurityViolationPayload {
        actionTaken
        job {
          state
        }
        event {
          type
          version
          payload
        }
      }
    }
  }
`);

/** A job that a worker holds, as its worker's reports name it. */
async function held(more: Parameters<typeof started>[1] = {}) {
  const { job, run, leaseToken } = await started(engine, more, 900);
  return { jobId: job.jobId, report: { workflowRunId: run.id, leaseToken } };
}

describe("advanceWorkflow answers", () => {
  const step = { nodeId: "summarise", nodeType: "llm_call" };

  test("the node as it stands, from its start to its end", async () => {
    const { report } = await held();
    const metrics = { inputTokens: 3, outputTokens: 2 };
    const start = { ...report, metrics, step: { ...step, outcome: "STARTED", inputPayload: { q: 1 } } } as const;
    const snippet = { sourceId: "doc-1", content: "harmless" };
    expect((await server.run(ADVANCE, { input: { ...start, retrievedSnippets: [snippet] } })).advanceWorkflow).toEqual({
      __typename: "AdvanceWorkflowPayload",
      directive: "CONTINUE",
      job: { version: 3, metrics: { totalTokens: 5, validatorsRunCount: engine.guards.length } },
      workflowRun: { state: "RUNNING" },
      node: {
        nodeId: "summarise",
        nodeType: "llm_call",
        sequence: 1,
        state: "RUNNING",
        inputPayload: { q: 1 },
        outputPayload: null,
        errorMessage: null,
        finishedAt: null,
      },
    });
    const end = { ...report, step: { ...step, outcome: "FAILED", outputPayload: [], errorMessage: "broke" } } as const;
    expect((await server.run(ADVANCE, { input: end })).advanceWorkflow).toMatchObject({
      node: { sequence: 1, state: "FAILED", inputPayload: { q: 1 }, outputPayload: [], errorMessage: "broke" },
    });
  });

  test("that what the step has read poisoned the job, with all that was under way", async () => {
    const { report } = await held();
    await server.run(ADVANCE, { input: { ...report, step: { ...step, outcome: "STARTED" } } });
    const retrievedSnippets = [{ sourceId: "mail-7", content: HOSTILE }];
    const read = { ...report, step: { ...step, nodeId: "read", outcome: "STARTED" }, retrievedSnippets } as const;
    expect((await server.run(ADVANCE, { input: read })).advanceWorkflow).toEqual({
      __typename: "JobPoisoned",
      job: {
        state: "POISONED",
        jobOutputs: null,
        workflowRun: { state: "POISONED", leaseExpiresAt: null, steps: [{ state: "POISONED" }] },
      },
      violation: { sourceId: "mail-7", trigger: expect.stringContaining("retrievedSnippets[0].content") },
    });
    expect((await server.run(ADVANCE, { input: read })).advanceWorkflow).toEqual({
      __typename: "JobPoisonedError",
      code: "JOB_POISONED",
      stop: "STOP_POISONED",
    });
  });

  test("that the job was cancelled", async () => {
    const { jobId, report } = await held();
    await server.run(CANCEL, { jobId });
    const { advanceWorkflow } = await server.run(ADVANCE, {
      input: { ...report, step: { ...step, outcome: "STARTED" } },
    });
    expect(advanceWorkflow).toMatchObject({ from: "CANCELLED", to: "RUNNING", told: "STOP_CANCELLED" });
  });
});

test("completeWorkflows answers each completion by itself, in order", async () => {
  const plain = await held();
  const noted = await held();
  const writes = await held();
  const open = await held();
  const cancelled = await held();
  await server.run(ADVANCE, { input: { ...open.report, step: { nodeId: "n", nodeType: "t", outcome: "STARTED" } } });
  await server.run(CANCEL, { jobId: cancelled.jobId });
  const { completeWorkflows } = await server.run(COMPLETE, {
    completions: [
      { ...plain.report, jobOutputs: { summary: "short" } },
      { ...writes.report, writtenEntities: [{ entityKind: "doc", entityId: "1" }] },
      { ...noted.report, issues: ["one page was missing"] },
      { ...open.report },
      { ...cancelled.report },
      { ...plain.report, workflowRunId: crypto.randomUUID() },
    ],
  });
  const at = expect.any(String);
  expect(completeWorkflows).toEqual({
    results: [
      {
        __typename: "CompletedWorkflow",
        job: { state: "COMPLETED", jobOutputs: { summary: "short" }, issues: [], completedAt: at },
        workflowRun: { state: "COMPLETED", finishedAt: at },
      },
      { __typename: "AccessModeViolationError", code: "ACCESS_MODE_VIOLATION", directive: "STOP_FAILED" },
      {
        __typename: "CompletedWorkflow",
        job: { state: "COMPLETED_WITH_ISSUES", jobOutputs: null, issues: ["one page was missing"], completedAt: at },
        workflowRun: { state: "COMPLETED_WITH_ISSUES", finishedAt: at },
      },
      {
        __typename: "InvalidInputError",
        code: "INVALID_INPUT",
        path: ["input", "completions", "3", "workflowRunId"],
      },
      {
        __typename: "IllegalTransitionError",
        code: "ILLEGAL_TRANSITION",
        from: "CANCELLED",
        told: "STOP_CANCELLED",
      },
      { __typename: "LeaseLostError", code: "LEASE_LOST" },
    ],
  });
});

test("failWorkflows answers each failure by itself: a job that waits for another attempt, or one that has failed", async () => {
  const [again, last, given] = [await held(), await held({ maxAttempts: 1 }), await held()];
  const final = { ...given.report, errorMessage: "broke", retryable: false };
  const failures = [
    { ...again.report, errorMessage: "Bearer abcdefgh12345" },
    { ...last.report, errorMessage: "broke" },
    final,
  ];
  expect((await server.run(FAIL, { failures })).failWorkflows).toMatchObject({
    results: [
      {
        job: { state: "QUEUED", statusReason: "retry_scheduled", runAfter: expect.any(String) },
        workflowRun: { state: "FAILED", errorMessage: "[redacted]" },
      },
      { job: { state: "FAILED", errorMessage: "broke", runAfter: null } },
      { job: { state: "FAILED" } },
    ],
  });
  expect((await server.run(FAIL, { failures: [final] })).failWorkflows).toEqual({
    results: [{ __typename: "IllegalTransitionError", code: "ILLEGAL_TRANSITION" }],
  });
});

test("cancelAiJob answers the job, and then that it is cancelled already", async () => {
  const { jobId } = await held();
  expect((await server.run(CANCEL, { jobId })).cancelAiJob).toEqual({
    __typename: "CancelAiJobPayload",
    job: {
      state: "CANCELLED",
      completedAt: expect.any(String),
      workflowRun: { state: "CANCELLED", errorMessage: "not needed" },
    },
  });
  expect((await server.run(CANCEL, { jobId })).cancelAiJob).toEqual({
    __typename: "IllegalTransitionError",
    code: "ILLEGAL_TRANSITION",
    from: "CANCELLED",
    to: "CANCELLED",
    directive: null,
  });
});

test("heartbeatWorkflows answers each worker what to do, and why", async () => {
  const runs = [await held(), await held(), await held(), await held()] as const;
  const [busy, cancelled, poisoned, failed] = runs;
  await server.run(CANCEL, { jobId: cancelled.jobId });
  await server.run(REPORT, { jobId: poisoned.jobId });
  await server.run(FAIL, { failures: [{ ...failed.report, errorMessage: "broke", retryable: false }] });
  const { heartbeatWorkflows } = await server.run(BEAT, { heartbeats: runs.map(({ report }) => report) });
  const ended = { leaseExpiresAt: null };
  expect(heartbeatWorkflows).toEqual({
    results: [
      { directive: "CONTINUE", leaseExpiresAt: expect.any(String), error: null },
      {
        ...ended,
        directive: "STOP_CANCELLED",
        error: { __typename: "IllegalTransitionError", code: "ILLEGAL_TRANSITION" },
      },
      { ...ended, directive: "STOP_POISONED", error: { __typename: "JobPoisonedError", code: "JOB_POISONED" } },
      {
        ...ended,
        directive: "STOP_FAILED",
        error: { __typename: "IllegalTransitionError", code: "ILLEGAL_TRANSITION" },
      },
    ].map((result, index) => ({ workflowRunId: runs[index]?.report.workflowRunId, ...result })),
  });
  expect(busy.report.workflowRunId).not.toBe(cancelled.report.workflowRunId);
});

test("reportSecurityViolation answers what it did: poisoned, already poisoned, or only recorded", async () => {
  const { jobId } = await held();
  const report = async (id: string) => (await server.run(REPORT, { jobId: id })).reportSecurityViolation;
  const first = await report(jobId);
  expect(first).toMatchObject({
    actionTaken: "POISONED",
    job: { state: "POISONED" },
    event: {
      type: "SECURITY_VIOLATION",
      version: 3,
      payload: {
        ace_code: "ACE-013",
        guard_name: "dlp",
        trigger: "line 1",
        job_state_transition: "running -> poisoned",
      },
    },
  });
  const again = await report(jobId);
  expect(again).toEqual({ ...first, actionTaken: "ALREADY_POISONED" });

  const done = await held();
  await server.run(COMPLETE, { completions: [done.report] });
  expect(await report(done.jobId)).toMatchObject({
    actionTaken: "RECORDED",
    job: { state: "COMPLETED" },
    event: { version: 4, payload: { action_taken: "recorded", job_state_transition: "completed -> completed" } },
  });
});
