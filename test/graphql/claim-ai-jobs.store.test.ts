import { randomUUID } from "node:crypto";
import { isObjectType } from "graphql";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { schema } from "../../src/graphql/schema.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { everything } from "../support/http.ts";
import { HOSTILE } from "../support/jobs.ts";
import { run, startTestServer, type TestServer } from "../support/server.ts";
import { ask } from "../support/unions.ts";
import { idsFrom, submitTo } from "../support/workers.ts";

let db: TestDatabase;
let server: TestServer;
let workspaceId: string;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});
beforeEach(() => {
  workspaceId = randomUUID();
});

const CLAIM = graphql(`
  mutation ClaimsClaim($input: ClaimAiJobsInput!) {
    claimAiJobs(input: $input) {
      ... on ClaimAiJobsPayload {
        claims {
          leaseToken
          leaseExpiresAt
          job {
            jobId
            state
            statusReason
            attempt
            version
            workflowRunId
            runAfter
          }
          workflowRun {
            workflowRunId
            state
            attempt
            workerId
            leaseExpiresAt
            startedAt
            finishedAt
          }
        }
        poisoned {
          jobId
          state
          statusReason
          workflowRun {
            state
            leaseExpiresAt
          }
        }
      }
    }
  }
`);

const claim = async (input: { workerId: string; limit?: number; leaseSeconds?: number }) => {
  const { claimAiJobs } = await run(server.url, CLAIM, { input }, { "x-workspace-id": workspaceId });
  if (!("claims" in claimAiJobs)) throw new Error("The claim was refused.");
  return claimAiJobs;
};
const submit = (more: object = {}) => submitTo(server.url, more, { workspaceId });

describe("claimAiJobs answers", () => {
  test("each job with its run, and the token of its lease", async () => {
    const jobId = await submit();
    const { claims, poisoned } = await claim({ workerId: "worker-1", leaseSeconds: 45 });
    const [one] = claims;
    if (!one) throw new Error("Nothing was claimed.");
    const { workflowRunId, startedAt, leaseExpiresAt } = one.workflowRun;
    expect(one).toEqual({
      leaseToken: expect.stringMatching(/^[\w-]{43}$/),
      leaseExpiresAt,
      job: { jobId, state: "RUNNING", statusReason: "running", attempt: 1, version: 2, workflowRunId, runAfter: null },
      workflowRun: {
        workflowRunId,
        state: "RUNNING",
        attempt: 1,
        workerId: "worker-1",
        leaseExpiresAt,
        startedAt,
        finishedAt: null,
      },
    });
    expect(Date.parse(one.leaseExpiresAt) - Date.parse(startedAt)).toBe(45_000);
    expect(poisoned).toEqual([]);
  });

  test("the jobs that a guard stopped apart from those that it hands out, and then nothing", async () => {
    const hostile = await submit({ jobInputs: { text: HOSTILE }, priority: 1 });
    const calm = await submit({ jobInputs: { text: "calm" } });
    const { claims, poisoned } = await claim({ workerId: "worker-1", limit: 100 });
    expect(claims.map(({ job }) => job.jobId)).toEqual([calm]);
    const run = { state: "POISONED", leaseExpiresAt: null };
    expect(poisoned).toEqual([
      { jobId: hostile, state: "POISONED", statusReason: "poisoned: prompt_injection", workflowRun: run },
    ]);
    expect(await claim({ workerId: "worker-1", limit: 100 })).toEqual({ claims: [], poisoned: [] });
  });

  test("jobs of every workspace where none is named, and of the one that is", async () => {
    const here = await submit();
    const elsewhere = randomUUID();
    const there = await submitTo(server.url, {}, { workspaceId: elsewhere });
    expect(await idsFrom(server.url, { limit: 100 }, { workspaceId: elsewhere })).toEqual([there]);
    expect(await idsFrom(server.url, { limit: 100 })).toEqual([here]);
  });
});

test("the token of a lease is in no other answer than that of the claim", () => {
  const types = Object.values(schema.getTypeMap()).filter(isObjectType);
  const showing = types.filter((type) => Object.keys(type.getFields()).some((name) => /token$/i.test(name)));
  expect(showing.map(({ name }) => name)).toEqual(["WorkflowClaim"]);
});

describe("a claim is refused, and takes nothing,", () => {
  const eightKinds = Array.from({ length: 8 }, () => "DOC_EDIT");

  test.each([
    ["of no jobs", { limit: 0 }, "limit"],
    ["of more than 100", { limit: 101 }, "limit"],
    ["of a negative wait", { waitSeconds: -1 }, "waitSeconds"],
    ["of a wait of more than 20 seconds", { waitSeconds: 21 }, "waitSeconds"],
    ["of a lease of less than 5 seconds", { leaseSeconds: 4 }, "leaseSeconds"],
    ["of a lease of more than 900 seconds", { leaseSeconds: 901 }, "leaseSeconds"],
    ["of no kinds", { jobKinds: [] }, "jobKinds"],
    ["of more kinds than there are", { jobKinds: eightKinds }, "jobKinds"],
    ["by a worker without a name", { workerId: "" }, "workerId"],
    ["by a worker of 201 characters", { workerId: "w".repeat(201) }, "workerId"],
  ])("%s", async (_, more, field) => {
    await submit();
    const before = await everything(db.prisma);
    const answer = await ask(server.url, "claimAiJobs", { workerId: "w", ...more });
    expect(answer).toMatchObject({ __typename: "InvalidInputError", path: ["input", field] });
    expect(await everything(db.prisma)).toEqual(before);
  });
});
