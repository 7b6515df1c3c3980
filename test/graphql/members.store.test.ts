import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import type { SubmitAiJob } from "../../src/jobs/draft.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started, submitted, WORKSPACE } from "../support/engine.ts";
import { raising, whileJobsAreBusy, withFault } from "../support/faults.ts";
import { type GuardedServer, startGuardedServer } from "../support/guarded-server.ts";
import { bringTo, FOUND, HOSTILE } from "../support/jobs.ts";
import { withoutCapabilities } from "../support/review.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import {
  type Answer,
  ask,
  askToComplete,
  askToFail,
  askToRelease,
  expectMember,
  type Member,
  membersOf,
} from "../support/unions.ts";

/** Each mutation's possible answers are members of its union, and each member is one that the server gives. */

let db: TestDatabase;
let engine: EngineContext;
let server: TestServer;
/** One whose guard cannot decide. */
let puzzled: TestServer;
/** One that asks who calls, and the headers of an admin for documents that are edited alone. */
let guarded: GuardedServer;
let limited: Readonly<Record<string, string>>;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  server = await startTestServer(db);
  const guard = { name: "PuzzledGuard", check: () => Promise.reject(new Error("no idea")) };
  puzzled = await startTestServer(db, { guards: [guard] });
  guarded = await startGuardedServer(db);
  limited = (await guarded.keyOf({ roles: ["ADMIN"], jobKinds: ["DOC_EDIT"], workspaceId: WORKSPACE })).headers;
});
afterAll(async () => {
  await server.close();
  await puzzled.close();
  await guarded.close();
  await db.close();
});

const whileBusy = <T>(work: () => Promise<T>) => whileJobsAreBusy(db, work);

/** A run that a worker holds, as its reports name it. */
async function held(more: Partial<SubmitAiJob> = {}) {
  const { job, run, leaseToken } = await started(engine, more);
  return { jobId: job.jobId, proof: { workflowRunId: run.id, leaseToken } };
}

async function lost() {
  return { ...(await held()).proof, leaseToken: "A".repeat(43) };
}

async function cancelled() {
  const { jobId, proof } = await held();
  await bringTo(engine, jobId, "CANCELLED");
  return proof;
}

async function poisoned() {
  const { jobId, proof } = await held();
  await poisonJob(engine, WORKSPACE, jobId, FOUND);
  return proof;
}

const step = { nodeId: "n", nodeType: "tool", outcome: "STARTED" };
const advance = (proof: object, more: object = {}, at = server) =>
  ask(at.url, "advanceWorkflow", { ...proof, step, ...more });
const append = (proof: object, text = "So far, so good.", at = server, sequence = 1) =>
  ask(at.url, "appendOutput", { ...proof, chunks: [{ sequence, text }] });
const complete = (proof: object, more: object = {}, at = server) => askToComplete(at.url, { ...proof, ...more });
const fail = (proof: object, more: object = {}, at = server) =>
  askToFail(at.url, { ...proof, errorMessage: "broke", ...more });
const failAll = (proofs: readonly object[]) =>
  ask(server.url, "failWorkflows", { failures: proofs.map((proof) => ({ ...proof, errorMessage: "broke" })) });
const snippets = (content: string) => ({ retrievedSnippets: [{ sourceId: "doc-1", content }] });
const WRITTEN = { metrics: { entitiesWritten: 1 } };
const TEN = { metrics: { inputTokens: 10 } };

const STOPS = {
  lost: { member: "LeaseLostError", says: { directive: "STOP_LEASE_LOST" } },
  ended: { member: "IllegalTransitionError", says: { from: "CANCELLED", directive: "STOP_CANCELLED" } },
  poisoned: { member: "JobPoisonedError", says: { directive: "STOP_POISONED", job: { state: "POISONED" } } },
  forbidden: { member: "AccessModeViolationError", says: { directive: "STOP_FAILED" } },
  exceeded: { member: "BudgetExceededError", says: { directive: "STOP_FAILED", freesAt: null } },
} as const;

/** The answers that each sort of report has in common. */
function stopsOf(send: (proof: object, more?: object) => Promise<Member>): readonly Answer[] {
  return [
    { ...STOPS.lost, produce: async () => send(await lost()) },
    { ...STOPS.ended, produce: async () => send(await cancelled()) },
    { ...STOPS.poisoned, produce: async () => send(await poisoned()) },
    { ...STOPS.forbidden, produce: async () => send((await held()).proof, WRITTEN) },
  ];
}

const claim = (more: object = {}) => ask(server.url, "claimAiJobs", { workerId: "w", ...more });
const beat = (proof: object) => ask(server.url, "heartbeatWorkflows", { heartbeats: [proof] });
const release = (proof: object, more: object = {}, at = server) =>
  askToRelease(at.url, { ...proof, reason: "deploy", ...more });
const releaseAll = (proofs: readonly object[]) =>
  ask(server.url, "releaseWorkflows", { releases: proofs.map((proof) => ({ ...proof, reason: "deploy" })) });
const question = (proof: object, more: object = {}, at = server) =>
  ask(at.url, "requestUserInput", { ...proof, question: "Send it?", ...more });
const CALL = { provider: "openai", model: "gpt-5", inputTokens: 10 };
const use = (proof: object, more: object = {}) =>
  ask(server.url, "reportUsage", { ...proof, reportId: randomUUID(), usage: [CALL], ...more });
const completeAll = (completions: readonly object[]) => ask(server.url, "completeWorkflows", { completions });

const unions: readonly { union: string; answers: readonly Answer[] }[] = [
  {
    union: "ClaimAiJobsResult",
    answers: [
      { member: "ClaimAiJobsPayload", produce: () => claim() },
      { member: "InvalidInputError", says: { path: ["input", "limit"] }, produce: () => claim({ limit: 101 }) },
      {
        member: "ForbiddenError",
        produce: () => ask(guarded.url, "claimAiJobs", { workerId: "w", jobKinds: ["ASR_TRANSCRIBE"] }, limited),
      },
      {
        member: "TryAgainError",
        produce: async () => {
          await submitted(engine);
          return whileBusy(() => claim());
        },
      },
    ],
  },
  {
    union: "HeartbeatWorkflowsResult",
    answers: [
      { member: "HeartbeatWorkflowsPayload", produce: async () => beat((await held()).proof) },
      {
        member: "InvalidInputError",
        says: { path: ["input", "heartbeats"] },
        produce: () => ask(server.url, "heartbeatWorkflows", { heartbeats: [] }),
      },
      {
        member: "TryAgainError",
        produce: async () => {
          const { proof } = await held();
          return whileBusy(() => beat({ ...proof, ...TEN }));
        },
      },
    ],
  },
  {
    union: "AdvanceWorkflowResult",
    answers: [
      {
        member: "AdvanceWorkflowPayload",
        says: { directive: "CONTINUE", job: { state: "RUNNING" } },
        produce: async () => advance((await held()).proof),
      },
      {
        member: "JobPoisoned",
        says: { job: { state: "POISONED" } },
        produce: async () => advance((await held()).proof, snippets(HOSTILE)),
      },
      {
        member: "InvalidInputError",
        says: { path: ["input", "step", "dependsOn"] },
        produce: async () => advance((await held()).proof, { step: { ...step, dependsOn: ["before"] } }),
      },
      ...stopsOf(advance),
      { ...STOPS.exceeded, produce: async () => advance((await held({ tokenBudget: 9 })).proof, TEN) },
      {
        member: "GuardFailedError",
        says: { guardName: "PuzzledGuard" },
        produce: async () => advance((await held()).proof, snippets("fine"), puzzled),
      },
      {
        member: "TryAgainError",
        produce: async () => {
          const { proof } = await held();
          return whileBusy(() => advance(proof));
        },
      },
    ],
  },
  {
    union: "AppendOutputResult",
    answers: [
      { member: "AppendOutputPayload", says: { nextSequence: 2 }, produce: async () => append((await held()).proof) },
      {
        member: "JobPoisoned",
        says: { job: { state: "POISONED" } },
        produce: async () => append((await held()).proof, HOSTILE),
      },
      {
        member: "InvalidInputError",
        says: { path: ["input", "chunks", "0", "sequence"], directive: null },
        produce: async () => append((await held()).proof, "too early", server, 2),
      },
      { ...STOPS.lost, produce: async () => append(await lost()) },
      { ...STOPS.ended, produce: async () => append(await cancelled()) },
      { ...STOPS.poisoned, produce: async () => append(await poisoned()) },
      {
        member: "GuardFailedError",
        says: { guardName: "PuzzledGuard" },
        produce: async () => append((await held()).proof, "fine", puzzled),
      },
      {
        member: "TryAgainError",
        produce: async () => {
          const { proof } = await held();
          const point = { at: "before it is written", on: "output_chunks", when: "BEFORE STATEMENT" } as const;
          return withFault(db, point, await raising(db, "40001"), () => append(proof));
        },
      },
    ],
  },
  {
    union: "CompleteWorkflowsResult",
    answers: [
      { member: "CompleteWorkflowsPayload", produce: async () => completeAll([(await held()).proof]) },
      {
        member: "InvalidInputError",
        says: { path: ["input", "completions", "1", "workflowRunId"] },
        produce: async () => {
          const { proof } = await held();
          return completeAll([proof, proof]);
        },
      },
      {
        member: "TryAgainError",
        produce: async () => {
          const { proof } = await held();
          return whileBusy(() => completeAll([proof]));
        },
      },
    ],
  },
  {
    union: "CompleteWorkflowResult",
    answers: [
      {
        member: "CompletedWorkflow",
        says: { job: { state: "AWAITING_VALIDATION" } },
        produce: async () => complete((await held()).proof, { needsValidation: true }),
      },
      {
        member: "InvalidInputError",
        says: { path: ["input", "completions", "0", "metrics", "tokensPlanner"] },
        produce: async () => complete((await held()).proof, { metrics: { tokensPlanner: 1 } }),
      },
      ...stopsOf(complete),
      { ...STOPS.exceeded, produce: async () => complete((await held({ tokenBudget: 9 })).proof, TEN) },
      {
        member: "CapabilityDeniedError",
        says: { missingCapability: "doc.summarize", job: { state: "FAILED" } },
        produce: async () => {
          const { proof } = await held();
          return withoutCapabilities(engine, () => complete(proof));
        },
      },
      {
        member: "GuardFailedError",
        says: { guardName: "PuzzledGuard" },
        produce: async () => complete((await held()).proof, { jobOutputs: "fine" }, puzzled),
      },
    ],
  },
  {
    union: "FailWorkflowResult",
    answers: [
      {
        member: "FailedWorkflow",
        says: { job: { state: "QUEUED" } },
        produce: async () => fail((await held()).proof),
      },
      {
        member: "InvalidInputError",
        says: { path: ["input", "failures", "0", "metrics", "tokensPlanner"] },
        produce: async () => fail((await held()).proof, { metrics: { tokensPlanner: 1 } }),
      },
      ...stopsOf(fail),
      {
        member: "GuardFailedError",
        says: { guardName: "PuzzledGuard" },
        produce: async () => fail((await held()).proof, {}, puzzled),
      },
    ],
  },
  {
    union: "FailWorkflowsResult",
    answers: [
      { member: "FailWorkflowsPayload", produce: async () => failAll([(await held()).proof]) },
      {
        member: "InvalidInputError",
        says: { path: ["input", "failures", "1", "workflowRunId"] },
        produce: async () => {
          const { proof } = await held();
          return failAll([proof, proof]);
        },
      },
      {
        member: "TryAgainError",
        produce: async () => {
          const { proof } = await held();
          return whileBusy(() => failAll([proof]));
        },
      },
    ],
  },
  {
    union: "ReleaseWorkflowResult",
    answers: [
      {
        member: "ReleasedWorkflow",
        says: { job: { state: "QUEUED" } },
        produce: async () => release((await held()).proof),
      },
      {
        member: "InvalidInputError",
        says: { path: ["input", "releases", "0", "runAfter"] },
        produce: async () =>
          release((await held()).proof, { runAfter: "2999-01-01T00:00:00Z", untilChildrenEnd: true }),
      },
      ...stopsOf(release),
      { ...STOPS.exceeded, produce: async () => release((await held({ tokenBudget: 9 })).proof, TEN) },
      {
        member: "GuardFailedError",
        says: { guardName: "PuzzledGuard" },
        produce: async () => release((await held()).proof, {}, puzzled),
      },
    ],
  },
  {
    union: "ReleaseWorkflowsResult",
    answers: [
      { member: "ReleaseWorkflowsPayload", produce: async () => releaseAll([(await held()).proof]) },
      {
        member: "InvalidInputError",
        says: { path: ["input", "releases", "1", "workflowRunId"] },
        produce: async () => {
          const { proof } = await held();
          return releaseAll([proof, proof]);
        },
      },
      {
        member: "TryAgainError",
        produce: async () => {
          const { proof } = await held();
          return whileBusy(() => releaseAll([proof]));
        },
      },
    ],
  },
  {
    union: "RequestUserInputResult",
    answers: [
      {
        member: "RequestUserInputPayload",
        says: { job: { state: "AWAITING_USER" } },
        produce: async () => question((await held()).proof),
      },
      {
        member: "JobPoisoned",
        says: { job: { state: "POISONED" } },
        produce: async () => question((await held()).proof, { question: HOSTILE }),
      },
      {
        member: "InvalidInputError",
        says: { path: ["input", "answerSchema"] },
        produce: async () => question((await held()).proof, { answerSchema: { type: "nothing" } }),
      },
      ...stopsOf(question),
      { ...STOPS.exceeded, produce: async () => question((await held({ tokenBudget: 9 })).proof, TEN) },
      {
        member: "GuardFailedError",
        says: { guardName: "PuzzledGuard" },
        produce: async () => question((await held()).proof, {}, puzzled),
      },
      {
        member: "TryAgainError",
        produce: async () => {
          const { proof } = await held();
          return whileBusy(() => question(proof));
        },
      },
    ],
  },
  {
    union: "ReportUsageResult",
    answers: [
      {
        member: "ReportUsagePayload",
        says: { isLate: true, job: { state: "POISONED" } },
        produce: async () => use(await poisoned()),
      },
      {
        member: "InvalidInputError",
        says: { path: ["input", "usage", "0", "model"] },
        produce: async () => use((await held()).proof, { usage: [{ ...CALL, model: "a model of mine" }] }),
      },
      { ...STOPS.lost, produce: async () => use(await lost()) },
      {
        member: "TryAgainError",
        produce: async () => {
          const { proof } = await held();
          return whileBusy(() => use(proof));
        },
      },
    ],
  },
];

/** Produced in test/claims/shared-transactions.store.test.ts, because it takes two calls that share a transaction. */
const PRODUCED_ELSEWHERE: Readonly<Record<string, readonly string[]>> = {
  CompleteWorkflowResult: ["TryAgainError"],
  FailWorkflowResult: ["TryAgainError"],
  ReleaseWorkflowResult: ["TryAgainError"],
};

describe.each(unions)("$union", ({ union, answers }) => {
  test.each(answers)("holds $member", async ({ member, produce, says = {} }) => {
    expectMember(await produce(), member, says);
  });

  test("holds nothing that no test produces", () => {
    const produced = [...answers.map(({ member }) => member), ...(PRODUCED_ELSEWHERE[union] ?? [])];
    expect(produced.toSorted()).toEqual(membersOf(union).toSorted());
  });
});
