import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { EngineContext } from "../../src/engine.ts";
import { MAX_DESCENDANTS } from "../../src/jobs/tree.ts";
import { poisonJob } from "../../src/security/poison.ts";
import type { SubmitAiJobInput } from "../generated/graphql.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started, submitted, WORKSPACE } from "../support/engine.ts";
import { bringTo, FOUND } from "../support/jobs.ts";
import { PROTOCOLS, type Protocol, type Watch, watch } from "../support/live.ts";
import { insertChildren } from "../support/plain-sql.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Job trees as clients see them. */

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
  mutation TreesSubmit($input: SubmitAiJobInput!) {
    submitAiJob(input: $input) {
      __typename
      ... on SubmitAiJobPayload {
        deduplicated
        job {
          jobId
          traceId
          state
          parentJob {
            jobId
            state
          }
        }
      }
      ... on IllegalTransitionError {
        code
        message
        from
        to
        directive
      }
      ... on JobPoisonedError {
        code
        message
        job {
          jobId
          state
        }
      }
      ... on NotFoundError {
        code
        message
      }
      ... on InvalidInputError {
        code
        path
      }
      ... on CapabilityDeniedError {
        job {
          state
          parentJob {
            jobId
          }
        }
      }
    }
  }
`);

async function submit(more: Partial<SubmitAiJobInput>) {
  const input = { jobKind: "DOC_SUMMARIZE", protocolId: "trees", ...more } as const;
  return (await server.run(SUBMIT, { input })).submitAiJob;
}

describe("submitAiJob with a parent answers", () => {
  test("the child, which has its parent's trace", async () => {
    const parent = (await started(engine)).job;
    const parentJobId = parent.jobId.toUpperCase();
    const answer = await submit({ parentJobId, idempotencyKey: "a child" });
    expect(answer).toMatchObject({
      __typename: "SubmitAiJobPayload",
      deduplicated: false,
      job: { state: "QUEUED", traceId: parent.traceId, parentJob: { jobId: parent.jobId, state: "RUNNING" } },
    });
    // An id is the same however it is written.
    expect(await submit({ parentJobId: parent.jobId, idempotencyKey: "a child" })).toEqual({
      ...answer,
      deduplicated: true,
    });
  });

  test("that the parent has ended", async () => {
    const { jobId: parentJobId } = await submitted(engine);
    await bringTo(engine, parentJobId, "FAILED");
    expect(await submit({ parentJobId })).toEqual({
      __typename: "IllegalTransitionError",
      code: "ILLEGAL_TRANSITION",
      message: "The parent is FAILED: a job that has ended gets no more children. Nothing was changed.",
      from: "FAILED",
      to: "QUEUED",
      directive: null,
    });
  });

  test("that the parent is poisoned", async () => {
    const { jobId: parentJobId } = await submitted(engine);
    await poisonJob(engine, WORKSPACE, parentJobId, FOUND);
    expect(await submit({ parentJobId })).toEqual({
      __typename: "JobPoisonedError",
      code: "JOB_POISONED",
      message: "The parent is poisoned: it gets no more children. Nothing was changed.",
      job: { jobId: parentJobId, state: "POISONED" },
    });
  });

  test("that there is no such parent", async () => {
    expect(await submit({ parentJobId: crypto.randomUUID() })).toEqual({
      __typename: "NotFoundError",
      code: "NOT_FOUND",
      message: "There is no job that could be the parent in this workspace.",
    });
  });

  test("that the tree is full", async () => {
    const { jobId: parentJobId } = await submitted(engine);
    await db.prisma.$transaction((tx) => insertChildren(tx, parentJobId, MAX_DESCENDANTS));
    expect(await submit({ parentJobId })).toEqual({
      __typename: "InvalidInputError",
      code: "INVALID_INPUT",
      path: ["input", "parentJobId"],
    });
  });

  test("that the child was denied, and is kept under its parent", async () => {
    const { jobId } = await submitted(engine);
    expect(await submit({ parentJobId: jobId, capabilityProfileId: "terminal" })).toEqual({
      __typename: "CapabilityDeniedError",
      job: { state: "FAILED", parentJob: { jobId } },
    });
  });
});

const CANCEL = graphql(`
  mutation TreesCancel($input: CancelAiJobInput!) {
    cancelAiJob(input: $input) {
      ... on CancelAiJobPayload {
        job {
          jobId
          state
        }
      }
    }
  }
`);

const CHILDREN = graphql(`
  query TreesChildren($parentJobId: UUID!, $states: [JobState!], $first: Int, $after: String) {
    aiJobs(filter: { parentJobId: $parentJobId, states: $states }, first: $first, after: $after) {
      totalCount
      nodes {
        jobId
        state
        parentJob {
          jobId
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`);

/** A running job with two children, one of which has a child. */
async function aTree() {
  const root = (await started(engine)).job.jobId;
  const one = (await submitted(engine, { parentJobId: root })).jobId;
  const two = (await started(engine, { parentJobId: root })).job.jobId;
  const below = (await submitted(engine, { parentJobId: two })).jobId;
  return { root, one, two, below };
}

test("the children of a job are listed, newest first and page by page; theirs are not", async () => {
  const { root, one, two } = await aTree();
  const list = async (more: object = {}) => (await server.run(CHILDREN, { parentJobId: root, ...more })).aiJobs;
  const { nodes, totalCount } = await list();
  const parentJob = { jobId: root };
  expect(nodes).toEqual([
    { jobId: two, state: "RUNNING", parentJob },
    { jobId: one, state: "QUEUED", parentJob },
  ]);
  expect(totalCount).toBe(2);
  expect(await list({ states: ["QUEUED"] })).toMatchObject({ totalCount: 1, nodes: [{ jobId: one }] });
  const first = await list({ first: 1 });
  expect(first).toMatchObject({ nodes: [{ jobId: two }], pageInfo: { hasNextPage: true } });
  const rest = await list({ first: 1, after: first.pageInfo.endCursor });
  expect(rest).toMatchObject({ nodes: [{ jobId: one }], pageInfo: { hasNextPage: false } });
});

describe("cancelAiJob", () => {
  const statesOf = async (...jobIds: string[]) => {
    const jobs = await db.prisma.aiJob.findMany({ where: { jobId: { in: jobIds } } });
    return jobIds.map((id) => jobs.find(({ jobId }) => jobId === id)?.state);
  };

  test("takes the children with it where it is asked to, and only then", async () => {
    const { root, one, two, below } = await aTree();
    const cancelled = (jobId: string) => ({ cancelAiJob: { job: { jobId, state: "CANCELLED" } } });
    expect(await server.run(CANCEL, { input: { jobId: one, reason: "enough" } })).toEqual(cancelled(one));
    expect(await statesOf(root, two, below)).toEqual(["RUNNING", "RUNNING", "QUEUED"]);
    expect(await server.run(CANCEL, { input: { jobId: root, reason: "enough" } })).toEqual(cancelled(root));
    expect(await statesOf(two, below)).toEqual(["RUNNING", "QUEUED"]);
    const input = { jobId: two, reason: "enough", includeChildren: true };
    expect(await server.run(CANCEL, { input })).toEqual(cancelled(two));
    expect(await statesOf(below)).toEqual(["CANCELLED"]);
  });
});

const change = z.object({
  change: z.object({
    kind: z.string(),
    state: z.string(),
    job: z.object({ jobId: z.string() }),
    event: z.object({ type: z.string(), payload: z.record(z.string(), z.unknown()) }).nullable(),
  }),
});
type Change = z.infer<typeof change>["change"];

function watchChanges(protocol: Protocol, filter: object): Watch<Change> {
  const query = `subscription ($filter: AiJobFilter) { change: aiJobsChanged(filter: $filter) {
    kind state job { jobId } event { type payload } } }`;
  return watch(protocol, server.url, { query, variables: { filter } }, (data) => change.parse(data).change);
}

describe("subscribers hear of every job of a tree", () => {
  const REPORT = graphql(`
    mutation TreesReport($jobId: UUID!) {
      reportSecurityViolation(
        input: { jobId: $jobId, violationType: EXPORT, guardName: "dlp", trigger: "line 1", description: "left" }
      ) {
        ... on ReportSecurityViolationPayload {
          actionTaken
        }
      }
    }
  `);

  test.each(PROTOCOLS)("that is poisoned, by an event that names the source (%s)", async (protocol) => {
    const { root, one, two, below } = await aTree();
    await using children = watchChanges(protocol, { parentJobId: root });
    await using all = watchChanges(protocol, {});
    await children.until((seen) => seen.length === 2);
    await all.until((seen) => seen.some(({ job }) => job.jobId === root));
    const answer = await server.run(REPORT, { jobId: root });
    expect(answer).toEqual({ reportSecurityViolation: { actionTaken: "POISONED" } });

    const poisoned = (seen: readonly Change[]) =>
      seen.filter(({ kind, state }) => kind === "EVENT" && state === "POISONED");
    await all.until((seen) => poisoned(seen).length === 4);
    await children.until((seen) => poisoned(seen).length === 2);
    const sources = (seen: readonly Change[]) =>
      Object.fromEntries(poisoned(seen).map(({ job, event }) => [job.jobId, event?.payload.source_job_id]));
    expect(sources(all.seen)).toEqual({ [root]: undefined, [one]: root, [two]: root, [below]: root });
    expect(sources(children.seen)).toEqual({ [one]: root, [two]: root });
    for (const { event } of poisoned(all.seen)) expect(event?.type).toBe("SECURITY_VIOLATION");
  });

  test("that is cancelled, by an event that names the job it was cancelled with", async () => {
    const { root, one, two, below } = await aTree();
    await using all = watchChanges("graphql-sse", {});
    await all.until((seen) => seen.some(({ job }) => job.jobId === root));
    await server.run(CANCEL, { input: { jobId: root, reason: "enough", includeChildren: true } });
    const cancelled = (seen: readonly Change[]) => seen.filter(({ event }) => event?.payload.reason === "cancelled");
    await all.until((seen) => cancelled(seen).length === 4);
    const origins = cancelled(all.seen).map(({ job, event }) => [job.jobId, event?.payload.cancelled_with]);
    expect(Object.fromEntries(origins)).toEqual({ [root]: undefined, [one]: root, [two]: root, [below]: root });
  });
});
