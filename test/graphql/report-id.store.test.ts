import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started } from "../support/engine.ts";
import { recordsOf } from "../support/records.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { ask, askToComplete, askToFail, type Member } from "../support/unions.ts";

/** The same report over HTTP is the same whatever the order of its keys, and whether defaults and nulls are written out. */

let db: TestDatabase;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const ALL_METRICS = {
  validatorsRunCount: 0,
  entitiesWritten: 0,
  entitiesRead: 0,
  tokensExecutor: 0,
  tokensPlanner: 0,
  outputTokens: 5,
  inputTokens: 7,
  durationMs: 0,
};
const METRICS = { inputTokens: 7, outputTokens: 5 };
const ENTITY = { entityKind: "document", entityId: "1" };
const SNIPPET = { sourceId: "s", content: "c" };
const STEP = { nodeId: "n", nodeType: "tool", outcome: "STARTED" };

interface Sent {
  readonly report: string;
  readonly send: (report: object) => Promise<Member>;
  readonly first: object;
  /** The same, as another program would write it. */
  readonly again: object;
  readonly another: object;
}

const reports: readonly Sent[] = [
  {
    report: "advanceWorkflow",
    send: (report) => ask(server.url, "advanceWorkflow", report),
    first: {
      step: { ...STEP, inputPayload: { a: 1, b: { c: [null], d: "x" } } },
      retrievedSnippets: [SNIPPET],
      metrics: METRICS,
    },
    again: {
      metrics: ALL_METRICS,
      retrievedSnippets: [{ exportable: false, sensitivity: "UNKNOWN", sourceHash: null, ...SNIPPET }],
      step: { inputPayload: { b: { d: "x", c: [null] }, a: 1 }, dependsOn: [], ...STEP, outputPayload: null },
    },
    another: { step: { ...STEP, inputPayload: { a: 1, b: { c: [], d: "x" } } }, metrics: METRICS },
  },
  {
    report: "completeWorkflows",
    send: (report) => askToComplete(server.url, report),
    first: { jobOutputs: { a: 1, b: 2 }, writtenEntities: [ENTITY], metrics: METRICS },
    again: {
      needsValidation: false,
      issues: [],
      writtenEntities: [{ selector: null, ...ENTITY }],
      metrics: ALL_METRICS,
      jobOutputs: { b: 2, a: 1 },
    },
    another: { jobOutputs: { a: 1, b: 3 }, metrics: METRICS },
  },
  {
    report: "failWorkflows",
    send: (report) => askToFail(server.url, report),
    first: { errorMessage: "broke", retryable: false, metrics: METRICS },
    again: { metrics: ALL_METRICS, retryable: false, errorMessage: "broke" },
    another: { errorMessage: "burnt", retryable: false, metrics: METRICS },
  },
];

async function held() {
  const { job, run, leaseToken } = await started(engineOn(db), {
    accessMode: "APPLY_SCOPED",
    entityRefs: [ENTITY],
  });
  return { jobId: job.jobId, proof: { workflowRunId: run.id, leaseToken } };
}

describe.each(reports)("$report", ({ send, first, again, another }) => {
  test("counts once, however it is written", async () => {
    const { jobId, proof } = await held();
    const reportId = randomUUID();
    const answer = await send({ ...proof, reportId, ...first });
    const { job } = await recordsOf(db.prisma, jobId);
    expect(job.totalTokens).toBe(12n);
    expect(await send({ ...again, reportId: reportId.toUpperCase(), ...proof })).toEqual(answer);
    expect((await recordsOf(db.prisma, jobId)).job).toEqual(job);
  });

  test("is refused where another report has its id", async () => {
    const { jobId, proof } = await held();
    const reportId = randomUUID();
    const heartbeat = { ...proof, reportId, leaseSeconds: 60 };
    await ask(server.url, "heartbeatWorkflows", { heartbeats: [heartbeat] });
    const before = await recordsOf(db.prisma, jobId);
    const answer = await send({ ...proof, reportId, ...another });
    expect(answer).toMatchObject({ __typename: "InvalidInputError", path: expect.arrayContaining(["reportId"]) });
    expect(await recordsOf(db.prisma, jobId)).toEqual(before);
  });

  test("with another content is another report", async () => {
    const { jobId, proof } = await held();
    const reportId = randomUUID();
    await send({ ...proof, reportId, ...first });
    const { job } = await recordsOf(db.prisma, jobId);
    expect((await send({ ...proof, reportId, ...another })).__typename).toMatch(
      /^(InvalidInput|IllegalTransition)Error$/,
    );
    expect((await recordsOf(db.prisma, jobId)).job).toEqual(job);
  });
});

test("a heartbeat counts once, however it is written", async () => {
  const { jobId, proof } = await held();
  const reportId = randomUUID();
  const beat = (more: object) =>
    ask(server.url, "heartbeatWorkflows", { heartbeats: [{ ...proof, reportId, ...more }] });
  for (const more of [{ metrics: METRICS }, { metrics: ALL_METRICS, leaseSeconds: 30 }]) {
    expect(await beat(more)).toMatchObject({ __typename: "HeartbeatWorkflowsPayload" });
  }
  expect((await recordsOf(db.prisma, jobId)).job).toMatchObject({ version: 3, totalTokens: 12n });
});
