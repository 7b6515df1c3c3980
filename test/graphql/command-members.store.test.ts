import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { deleteQuota, setQuota } from "../../src/quotas/quota.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, submitted, WORKSPACE } from "../support/engine.ts";
import { type FaultPoint, raising, whileJobsAreBusy, withFault } from "../support/faults.ts";
import { type GuardedServer, startGuardedServer } from "../support/guarded-server.ts";
import { bringTo, HOSTILE } from "../support/jobs.ts";
import { withoutCapabilities } from "../support/review.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { type Answer, ask, expectMember, type Member, membersOf, unionNames } from "../support/unions.ts";

/** What those who submit, start, stop and limit jobs can be answered: each member of their unions is one that is given. */

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

type State = Parameters<typeof bringTo>[2];

/** A job in a state. */
async function aJob(state: State = "QUEUED", more: Parameters<typeof submitted>[1] = {}): Promise<string> {
  const { jobId } = await submitted(engine, more);
  if (state !== "QUEUED") await bringTo(engine, jobId, state);
  return jobId;
}

const whileBusy = <T>(work: () => Promise<T>) => whileJobsAreBusy(db, work);

/** Does `work` while the database gives way to others whenever something is to be written there. */
async function whileBusyAt<T>(on: FaultPoint["on"], work: () => Promise<T>): Promise<T> {
  const point = { at: "before it is written", on, when: "BEFORE STATEMENT" } as const;
  return withFault(db, point, await raising(db, "40001"), work);
}

/** Does `work` while the workspace may use nothing. */
async function withoutRoom<T>(work: () => Promise<T>): Promise<T> {
  const quota = { capabilityProfileId: null, resource: "TOKENS", max: 0, windowSeconds: 600 } as const;
  const { id } = ok(await setQuota(engine, WORKSPACE, quota));
  try {
    return await work();
  } finally {
    ok(await deleteQuota(engine, WORKSPACE, id));
  }
}

/** The operator's headers, in a workspace that nobody has made. */
const inNoWorkspace = () => ({ ...guarded.operator, "x-workspace-id": randomUUID() });
const submit = (more: object = {}) => ask(server.url, "submitAiJob", { jobKind: "DOC_EDIT", protocolId: "p", ...more });
const start = (jobId: string, more: object = {}, at = server) =>
  ask(at.url, "startWorkflow", { jobId, workerId: "w", ...more });
const cancel = (jobId: string, more: object = {}) =>
  ask(server.url, "cancelAiJob", { jobId, reason: "not needed", ...more });
const retry = (jobId: string) => ask(server.url, "retryAiJob", { jobId });
const report = (jobId: string, more: object = {}) =>
  ask(server.url, "reportSecurityViolation", {
    jobId,
    violationType: "EXPORT",
    guardName: "a person",
    trigger: "paragraph 3",
    description: "This source may not leave.",
    ...more,
  });
const set = (more: object = {}) =>
  ask(server.url, "setQuota", { resource: "TOKENS", max: 1_000_000, windowSeconds: 3600, ...more });
const declare = (...keys: readonly string[]) => ask(server.url, "setUsageLabels", { keys });
const remove = (quotaId: string) => ask(server.url, "deleteQuota", { quotaId });

async function aQuota(): Promise<string> {
  const quota = { capabilityProfileId: null, resource: "TOKENS", max: 1_000_000, windowSeconds: 7200 } as const;
  return ok(await setQuota(engine, WORKSPACE, quota)).id;
}

/** The answers about a job that is not there, is poisoned, or cannot be written now. */
function refusalsOf(send: (jobId: string) => Promise<Member>, from: State): readonly Answer[] {
  return [
    { member: "NotFoundError", produce: () => send(randomUUID()) },
    {
      member: "JobPoisonedError",
      says: { directive: null, job: { state: "POISONED" } },
      produce: async () => send(await aJob("POISONED")),
    },
    {
      member: "TryAgainError",
      produce: async () => {
        const jobId = await aJob(from);
        return whileBusy(() => send(jobId));
      },
    },
  ];
}

/** The answers to a bulk action. */
function bulkOf(mutation: "cancelAiJobs" | "retryAiJobs", payload: string, more: object): readonly Answer[] {
  const send = (filter: object) => ask(server.url, mutation, { filter, ...more });
  return [
    { member: payload, produce: () => send({ protocolId: "bulk" }) },
    { member: "InvalidInputError", says: { path: ["input", "filter"] }, produce: () => send({}) },
    {
      member: "NotFoundError",
      produce: () => ask(guarded.url, mutation, { filter: { protocolId: "bulk" }, ...more }, inNoWorkspace()),
    },
    { member: "TryAgainError", produce: () => whileBusyAt("bulk_actions", () => send({ protocolId: "bulk" })) },
  ];
}

const unions: readonly { union: string; answers: readonly Answer[] }[] = [
  {
    union: "SubmitAiJobResult",
    answers: [
      { member: "SubmitAiJobPayload", says: { job: { state: "QUEUED" } }, produce: () => submit() },
      {
        member: "InvalidInputError",
        says: { path: ["input", "protocolId"] },
        produce: () => submit({ protocolId: "" }),
      },
      {
        member: "ForbiddenError",
        produce: () => ask(guarded.url, "submitAiJob", { jobKind: "ASR_TRANSCRIBE", protocolId: "p" }, limited),
      },
      { member: "NotFoundError", produce: () => submit({ parentJobId: randomUUID() }) },
      {
        member: "IllegalTransitionError",
        says: { from: "CANCELLED", directive: null },
        produce: async () => submit({ parentJobId: await aJob("CANCELLED") }),
      },
      {
        member: "JobPoisonedError",
        says: { job: { state: "POISONED" } },
        produce: async () => submit({ parentJobId: await aJob("POISONED") }),
      },
      {
        member: "CapabilityDeniedError",
        says: { missingCapability: "term.exec", job: { state: "FAILED" } },
        produce: () => submit({ jobKind: "TERMINAL_EXEC", capabilityProfileId: "default" }),
      },
      { member: "UnknownCapabilityError", produce: () => submit({ capabilityProfileId: "nope" }) },
      {
        member: "BudgetExceededError",
        says: { directive: null, freesAt: null },
        produce: () => withoutRoom(() => submit()),
      },
      {
        member: "IdempotencyConflictError",
        produce: async () => {
          const idempotencyKey = randomUUID();
          await submit({ idempotencyKey });
          return submit({ idempotencyKey, protocolId: "another" });
        },
      },
      { member: "TryAgainError", produce: () => whileBusyAt("flight_recorder_events", () => submit()) },
    ],
  },
  {
    union: "StartWorkflowResult",
    answers: [
      { member: "StartWorkflowPayload", produce: async () => start(await aJob()) },
      {
        member: "JobPoisoned",
        says: { job: { state: "POISONED" } },
        produce: async () => start(await aJob("QUEUED", { jobInputs: { text: HOSTILE } })),
      },
      {
        member: "InvalidInputError",
        says: { path: ["input", "leaseSeconds"] },
        produce: async () => start(await aJob(), { leaseSeconds: 1 }),
      },
      {
        member: "ForbiddenError",
        produce: async () => ask(guarded.url, "startWorkflow", { jobId: await aJob(), workerId: "w" }, limited),
      },
      {
        member: "IllegalTransitionError",
        says: { from: "CANCELLED", to: "RUNNING" },
        produce: async () => start(await aJob("CANCELLED")),
      },
      ...refusalsOf(start, "QUEUED"),
      {
        member: "CapabilityDeniedError",
        says: { missingCapability: "doc.summarize", job: { state: "FAILED" } },
        produce: async () => {
          const jobId = await aJob();
          return withoutCapabilities(engine, () => start(jobId));
        },
      },
      {
        member: "BudgetExceededError",
        says: { freesAt: null },
        produce: async () => {
          const jobId = await aJob();
          return withoutRoom(() => start(jobId));
        },
      },
      {
        member: "GuardFailedError",
        says: { guardName: "PuzzledGuard" },
        produce: async () => start(await aJob("QUEUED", { jobInputs: { text: "fine" } }), {}, puzzled),
      },
    ],
  },
  {
    union: "CancelAiJobResult",
    answers: [
      {
        member: "CancelAiJobPayload",
        says: { job: { state: "CANCELLED" } },
        produce: async () => cancel(await aJob()),
      },
      {
        member: "InvalidInputError",
        says: { path: ["input", "reason"] },
        produce: async () => cancel(await aJob(), { reason: "" }),
      },
      {
        member: "IllegalTransitionError",
        says: { from: "FAILED", to: "CANCELLED", directive: null },
        produce: async () => cancel(await aJob("FAILED")),
      },
      ...refusalsOf(cancel, "QUEUED"),
    ],
  },
  {
    union: "RetryAiJobResult",
    answers: [
      {
        member: "RetryAiJobPayload",
        says: { job: { state: "QUEUED" } },
        produce: async () => retry(await aJob("FAILED")),
      },
      {
        member: "IllegalTransitionError",
        says: { from: "CANCELLED", to: "QUEUED", directive: null },
        produce: async () => retry(await aJob("CANCELLED")),
      },
      {
        member: "BudgetExceededError",
        says: { freesAt: null, directive: null },
        produce: async () => {
          const { jobId } = await submitted(engine, { tokenBudget: 5 });
          await bringTo(engine, jobId, "FAILED", { outputTokens: 6n, totalTokens: 6n });
          return retry(jobId);
        },
      },
      ...refusalsOf(retry, "FAILED"),
    ],
  },
  { union: "CancelAiJobsResult", answers: bulkOf("cancelAiJobs", "CancelAiJobsPayload", { reason: "not needed" }) },
  { union: "RetryAiJobsResult", answers: bulkOf("retryAiJobs", "RetryAiJobsPayload", {}) },
  {
    union: "ReportSecurityViolationResult",
    answers: [
      {
        member: "ReportSecurityViolationPayload",
        says: { actionTaken: "POISONED", job: { state: "POISONED" } },
        produce: async () => report(await aJob()),
      },
      { member: "NotFoundError", produce: () => report(randomUUID()) },
      {
        member: "InvalidInputError",
        says: { path: ["input", "guardName"] },
        produce: async () => report(await aJob(), { guardName: "" }),
      },
      {
        member: "ForbiddenError",
        produce: async () => {
          const { headers } = await guarded.keyOf({ roles: ["WORKER"], workspaceId: WORKSPACE });
          const finding = { violationType: "EXPORT", guardName: "g", trigger: "t", description: "d" };
          return ask(guarded.url, "reportSecurityViolation", { jobId: await aJob(), ...finding }, headers);
        },
      },
      {
        member: "LeaseLostError",
        says: { directive: "STOP_LEASE_LOST" },
        produce: async () => report(await aJob(), { workflowRunId: randomUUID(), leaseToken: "A".repeat(43) }),
      },
      {
        member: "TryAgainError",
        produce: async () => {
          const jobId = await aJob();
          return whileBusy(() => report(jobId));
        },
      },
    ],
  },
  {
    union: "SetQuotaResult",
    answers: [
      { member: "SetQuotaPayload", produce: () => set() },
      {
        member: "InvalidInputError",
        says: { path: ["input", "windowSeconds"] },
        produce: () => set({ windowSeconds: null }),
      },
      {
        member: "NotFoundError",
        produce: () => ask(guarded.url, "setQuota", { resource: "JOBS", max: 1, windowSeconds: 60 }, inNoWorkspace()),
      },
      { member: "UnknownCapabilityError", produce: () => set({ capabilityProfileId: "nope" }) },
      { member: "TryAgainError", produce: () => whileBusyAt("quotas", () => set()) },
    ],
  },
  {
    union: "SetUsageLabelsResult",
    answers: [
      { member: "SetUsageLabelsPayload", produce: () => declare("team", "env") },
      {
        member: "InvalidInputError",
        says: { path: ["input", "keys", "1"] },
        produce: () => declare("team", "team"),
      },
      { member: "NotFoundError", produce: () => ask(guarded.url, "setUsageLabels", { keys: [] }, inNoWorkspace()) },
      { member: "TryAgainError", produce: () => whileBusyAt("usage_labels", () => declare("team")) },
    ],
  },
  {
    union: "DeleteQuotaResult",
    answers: [
      { member: "DeleteQuotaPayload", produce: async () => remove(await aQuota()) },
      { member: "NotFoundError", produce: () => remove(randomUUID()) },
      {
        member: "TryAgainError",
        produce: async () => {
          const quotaId = await aQuota();
          return whileBusyAt("quotas", () => remove(quotaId));
        },
      },
    ],
  },
];

describe.each(unions)("$union", ({ union, answers }) => {
  test.each(answers)("holds $member", async ({ member, produce, says = {} }) => {
    expectMember(await produce(), member, says);
  });

  test("holds nothing that no test produces", () => {
    expect(answers.map(({ member }) => member).toSorted()).toEqual(membersOf(union).toSorted());
  });
});

/** Those of what workers report, of decisions, and of workspaces and keys have files of their own. */
const ELSEWHERE = [
  "CreateApiKeyResult",
  "CreateWorkspaceResult",
  "RevokeApiKeyResult",
  "RotateApiKeyResult",
  "UpdateWorkspaceResult",
  "AdvanceWorkflowResult",
  "AppendOutputResult",
  "ClaimAiJobsResult",
  "CompleteWorkflowResult",
  "CompleteWorkflowsResult",
  "FailWorkflowResult",
  "FailWorkflowsResult",
  "HeartbeatWorkflowsResult",
  "ReleaseWorkflowResult",
  "ReleaseWorkflowsResult",
  "RequestUserInputResult",
  "ReportUsageResult",
  "ResolveUserReviewResult",
  "ResolveValidationResult",
];

test("there is no union whose members no test produces", () => {
  expect([...unions.map(({ union }) => union), ...ELSEWHERE].toSorted()).toEqual(unionNames().toSorted());
});
