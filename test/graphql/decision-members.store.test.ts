import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted, WORKSPACE } from "../support/engine.ts";
import { whileJobsAreBusy } from "../support/faults.ts";
import { FOUND } from "../support/jobs.ts";
import { awaitingUser, awaitingValidation, withoutCapabilities } from "../support/review.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { type Answer, ask, expectMember, membersOf } from "../support/unions.ts";

/** What verdicts and reviews can be answered: each member of their unions is one that the server gives. */

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

/** The answers that verdicts and reviews have in common. */
function decisionsOf(mutation: string, decision: object, make: () => Promise<string>): readonly Answer[] {
  const send = async (more: object = {}, jobId?: string) =>
    ask(server.url, mutation, { jobId: jobId ?? (await make()), ...decision, ...more });
  return [
    { member: "NotFoundError", produce: () => send({}, randomUUID()) },
    {
      member: "InvalidInputError",
      says: { path: ["input", "comment"] },
      produce: () => send({ comment: "x".repeat(2001) }),
    },
    {
      member: "IllegalTransitionError",
      says: { from: "QUEUED", to: "COMPLETED", directive: null },
      produce: async () => send({}, (await submitted(engine)).jobId),
    },
    {
      member: "JobPoisonedError",
      says: { job: { state: "POISONED" } },
      produce: async () => {
        const jobId = await make();
        await poisonJob(engine, WORKSPACE, jobId, FOUND);
        return send({}, jobId);
      },
    },
    {
      member: "CapabilityDeniedError",
      says: { missingCapability: "doc.summarize", job: { state: "FAILED" } },
      produce: async () => {
        const jobId = await make();
        return withoutCapabilities(engine, () => send({}, jobId));
      },
    },
    {
      member: "TryAgainError",
      produce: async () => {
        const jobId = await make();
        return whileJobsAreBusy(db, () => send({}, jobId));
      },
    },
  ];
}

const awaiting = async () => (await awaitingValidation(engine)).job.jobId;
const withPerson = async () => (await awaitingUser(engine)).job.jobId;

const unions: readonly { union: string; answers: readonly Answer[] }[] = [
  {
    union: "ResolveValidationResult",
    answers: [
      {
        member: "ResolveValidationPayload",
        says: { job: { state: "AWAITING_USER" } },
        produce: async () => ask(server.url, "resolveValidation", { jobId: await awaiting(), verdict: "NEEDS_USER" }),
      },
      ...decisionsOf("resolveValidation", { verdict: "APPROVED" }, awaiting),
    ],
  },
  {
    union: "ResolveUserReviewResult",
    answers: [
      {
        member: "ResolveUserReviewPayload",
        says: { job: { state: "QUEUED" } },
        produce: async () =>
          ask(server.url, "resolveUserReview", { jobId: await withPerson(), decision: "REVISE", comment: "Shorter." }),
      },
      ...decisionsOf("resolveUserReview", { decision: "ACCEPT" }, withPerson),
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
