import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { z } from "zod";
import { startWorkflow } from "../../src/claims/start.ts";
import type { AiJob } from "../../src/db/generated/client/client.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import type { SubmitAiJob } from "../../src/jobs/draft.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { watch } from "../support/live.ts";
import { run, startTestServer, type TestServer } from "../support/server.ts";

/** A filter means the same to who is told of changes and to who reads the list. */

const LIST = graphql(`
  query FilteredList($filter: AiJobFilter) { aiJobs(first: 100, filter: $filter) { feedCursor nodes { jobId } } }
`);
const CHANGES = `subscription ($filter: AiJobFilter, $after: Cursor) {
  change: aiJobsChanged(filter: $filter, after: $after) { kind matchesFilter version job { jobId } } }`;
const payload = z.object({
  change: z.object({
    kind: z.string(),
    matchesFilter: z.boolean(),
    version: z.int(),
    job: z.object({ jobId: z.string() }),
  }),
});

const workspaceId = randomUUID();
const header = { "x-workspace-id": workspaceId };
let db: TestDatabase;
let server: TestServer;
/** Where the log is before there is any of the jobs. */
let start: string;
let parent: AiJob;
/** Submitted one after the other, no two of them in the same millisecond. */
let jobs: { first: AiJob; second: AiJob; third: AiJob; fourth: AiJob; fifth: AiJob };
/** The last thing that happens is a change of the third one, which is of every filter. */
const LAST = 3;

beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
  start = (await run(server.url, LIST, {}, header)).aiJobs.feedCursor;
  parent = await submit({ labels: [{ key: "env", value: "" }] });
  const child = { parentJobId: parent.jobId };
  jobs = {
    first: await submit({ ...child, jobKind: "DOC_EDIT", protocolId: "one" }),
    second: await submit({ jobKind: "SHEET_TRANSFORM", protocolId: "one" }),
    third: await submit({ ...child, jobKind: "DOC_EDIT", protocolId: "one", labels: [{ key: "team", value: "a" }] }),
    fourth: await submit({ ...child, jobKind: "DOC_EDIT", protocolId: "two" }),
    fifth: await submit({ ...child, jobKind: "CANVAS_CLUSTER", protocolId: "one", idempotencyKey: "the fifth" }),
  };
  const engine = engineOn(db);
  await take(jobs.fourth);
  ok(await cancelAiJob(engine, workspaceId, SOMEBODY, { jobId: jobs.first.jobId, reason: "test" }));
  ok(await cancelAiJob(engine, workspaceId, SOMEBODY, { jobId: jobs.fourth.jobId, reason: "test" }));
  const proof = await take(jobs.third);
  await heartbeatWorkflows(engine, [{ ...proof, leaseSeconds: 60, metrics: { ...NO_METRICS, inputTokens: 1 } }]);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

async function submit(more: Partial<SubmitAiJob>): Promise<AiJob> {
  const { job } = ok(await submitAiJob(engineOn(db), workspaceId, SOMEBODY, aSubmit(more)));
  await vi.waitUntil(() => Date.now() > job.createdAt.getTime() + 1, { interval: 1 });
  return job;
}

async function take({ jobId }: AiJob, workerId = "w") {
  const wanted = { jobId, workerId, leaseSeconds: 60 };
  const claim = ok(await startWorkflow(engineOn(db), workspaceId, wanted));
  if (!("leaseToken" in claim)) throw new Error("The job was poisoned instead of started.");
  return { workflowRunId: claim.run.id, leaseToken: claim.leaseToken };
}

function follow(filter: object) {
  const operation = { query: CHANGES, variables: { filter, after: start }, workspaceId };
  return watch("graphql-ws", server.url, operation, (data) => payload.parse(data).change);
}

/** The jobs that a subscriber of the filter holds for its own, when it has been told everything. */
async function followed(
  filter: object,
  last: Pick<AiJob, "jobId" | "version"> = { ...jobs.third, version: LAST },
): Promise<readonly string[]> {
  await using changes = follow(filter);
  const isLast = ({ job, version }: z.infer<typeof payload>["change"]) =>
    job.jobId === last.jobId && version === last.version;
  const seen = await changes.until((all) => all.some(isLast));
  const holds = new Map(seen.map(({ job, matchesFilter }) => [job.jobId, matchesFilter]));
  return [...holds].flatMap(([jobId, matches]) => (matches ? [jobId] : []));
}

test.each<[string, () => object, number]>([
  ["nothing at all", () => ({}), 6],
  ["a kind", () => ({ kinds: ["DOC_EDIT"] }), 3],
  ["two kinds", () => ({ kinds: ["CANVAS_CLUSTER", "DOC_EDIT"] }), 4],
  ["a protocol", () => ({ protocolId: "one" }), 4],
  ["a parent", () => ({ parentJobId: parent.jobId }), 4],
  ["a state", () => ({ states: ["RUNNING"] }), 1],
  ["two states", () => ({ states: ["RUNNING", "CANCELLED"] }), 3],
  ["later than a job", () => ({ createdAfter: jobs.second.createdAt }), 3],
  ["earlier than a job", () => ({ createdBefore: jobs.fourth.createdAt }), 4],
  ["between two jobs", () => ({ createdAfter: jobs.first.createdAt, createdBefore: jobs.fifth.createdAt }), 3],
  ["a tree by its root", () => ({ rootJobId: parent.jobId }), 5],
  ["no roots only", () => ({ rootsOnly: false }), 6],
  ["a worker that holds one, and held another", () => ({ workerId: "w" }), 2],
  ["a worker, and what it holds now", () => ({ workerId: "w", states: ["RUNNING"] }), 1],
  ["a capability profile", () => ({ capabilityProfileId: "default" }), 6],
  ["changed since a moment", () => ({ updatedAfter: jobs.fifth.createdAt }), 3],
  ["a label", () => ({ labels: [{ key: "team", value: "a" }] }), 1],
  ["the submitter", () => ({ submittedBy: "anonymous" }), 6],
  ["a trace", () => ({ traceId: parent.traceId }), 5],
  ["a kind and a state", () => ({ kinds: ["DOC_EDIT"], states: ["RUNNING", "QUEUED"] }), 1],
  [
    "everything at once",
    () => ({
      kinds: ["DOC_EDIT"],
      protocolId: "one",
      parentJobId: parent.jobId,
      states: ["RUNNING", "CANCELLED"],
      createdAfter: jobs.first.createdAt,
      createdBefore: jobs.fourth.createdAt,
    }),
    1,
  ],
])("who is told of changes by %s has the jobs that the list has", async (_what, filterOf, count) => {
  const filter = filterOf();
  const { aiJobs } = await run(server.url, LIST, { filter }, header);
  const listed = aiJobs.nodes.map(({ jobId }) => jobId).toSorted();
  expect(listed).toHaveLength(count);
  expect((await followed(filter)).toSorted()).toEqual(listed);
});

const cancel = async ({ jobId }: AiJob) =>
  ok(await cancelAiJob(engineOn(db), workspaceId, SOMEBODY, { jobId, reason: "test" }));

/** Each does something of which the filter's subscriber is told last, and returns the job with it. */
const lastOf = {
  "another trace": () => submit({ parentJobId: jobs.second.jobId }),
  "roots only": () => submit({}),
  "another capability profile": () => submit({ jobKind: "TERMINAL_EXEC" }),
  "an idempotency key": () => cancel(jobs.fifth),
  "another worker": async () => {
    const job = await submit({});
    await take(job, "another");
    return { ...job, version: 2 };
  },
  "unchanged since a moment": () => cancel(jobs.second),
  "a label that is inherited": () => submit({ parentJobId: parent.jobId }),
};

test.each<[keyof typeof lastOf, () => object, number]>([
  ["another trace", () => ({ traceId: jobs.second.traceId }), 2],
  ["roots only", () => ({ rootsOnly: true }), 3],
  ["another capability profile", () => ({ capabilityProfileId: "terminal" }), 1],
  ["an idempotency key", () => ({ idempotencyKey: "the fifth" }), 1],
  ["another worker", () => ({ workerId: "another" }), 1],
  ["unchanged since a moment", () => ({ updatedBefore: jobs.fourth.createdAt }), 1],
  ["a label that is inherited", () => ({ labels: [{ key: "env", value: "" }] }), 5],
])(
  "who is told of changes by %s, of which there was another last change, has them, too",
  async (what, filterOf, count) => {
    const filter = filterOf();
    const last = await lastOf[what]();
    const { aiJobs } = await run(server.url, LIST, { filter }, header);
    const listed = aiJobs.nodes.map(({ jobId }) => jobId).toSorted();
    expect(listed).toHaveLength(count);
    expect((await followed(filter, last)).toSorted()).toEqual(listed);
  },
);
