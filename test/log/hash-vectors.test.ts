import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import type { Database } from "../../src/db/database.ts";
import { JobKind, JobState, RecorderActor, RecorderEventType } from "../../src/db/generated/client/enums.ts";
import type { StoredReport } from "../../src/db/rows.ts";
import { decodeCursor, encodeCursor } from "../../src/log/cursor.ts";
import { CHAIN_START, canonicalText, type HashedEvent, hashEvent } from "../../src/log/hash.ts";
import { provesLease } from "../../src/runs/lease-token.ts";
import { isSameReport } from "../../src/runs/report.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase } from "../support/database.ts";
import { blocksOf, readText } from "../support/documents.ts";
import { engineOn, started } from "../support/engine.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** The test vectors of docs/ai-job-model.md, section 9: as an outsider computes them, and as the server does. */

const vectors = new Map(
  blocksOf(readText("docs/ai-job-model.md")).flatMap(({ info, text }) => {
    const name = /vector=(\S+)/.exec(info)?.[1];
    return name === undefined ? [] : [[name, text.trim()] as const];
  }),
);

function vector(name: string): string {
  const text = vectors.get(name);
  if (text === undefined) throw new Error(`The document has no vector ${name}.`);
  return text;
}

const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");

/** RFC 8785 with nothing but the language: what an outsider writes who has the document alone. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  // JavaScript sorts texts by their UTF-16 units, which is the order that the RFC asks for.
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(",")}}`;
}

const json = (name: string): unknown => JSON.parse(vector(name));

test.each(["event-1", "event-2", "event-3", "submit", "report"])("an outsider finds the hash of %s", (name) => {
  const text = canonical(json(name));
  expect(text, "the document shows the canonical text itself").toBe(vector(name));
  expect(sha256(text)).toBe(vector(`${name}-sha256`));
});

test("an outsider finds that each event is chained to the one before, and the first to nothing", () => {
  expect(json("event-1")).toMatchObject({ version: 1, prev_hash: "0".repeat(64), previous_state: null });
  expect(json("event-2")).toMatchObject({ version: 2, prev_hash: vector("event-1-sha256"), previous_state: "queued" });
  expect(json("event-3")).toMatchObject({
    version: 3,
    prev_hash: vector("event-2-sha256"),
    principal_id: "key:01a21c28-7a55-7b1d-8e3f-2f6f1c7d9b04",
  });
});

test("an outsider finds the stored form of the lease token", () => {
  const bytes = Buffer.from(vector("lease-token"), "base64url");
  expect(bytes).toHaveLength(32);
  expect(sha256(bytes)).toBe(vector("lease-token-sha256"));
});

test("an outsider reads the second event's order_xid from its cursor", () => {
  const [format, epoch, orderXid, jobId, version] = Buffer.from(vector("cursor"), "base64url").toString().split(" ");
  expect([format, epoch]).toEqual(["1", EPOCH]);
  expect(json("event-2")).toMatchObject({ order_xid: orderXid, job_id: jobId, version: Number(version) });
});

/** As the document names it. */
const EPOCH = "6f1c2b34-9a5d-4e0f-8c71-2d3e4f5a6b7c";

/** An enum's value by its stored word. */
function named<const Names extends Readonly<Record<string, string>>>(names: Names) {
  return z.string().toUpperCase().pipe(z.enum(names));
}

const count = z.int().transform(BigInt);

/** An event as the document shows it. */
const shownEvent = z.strictObject({
  actor: named(RecorderActor),
  actor_id: z.string(),
  principal_id: z.string().optional(),
  capability_id: z.string().nullable(),
  event_id: z.uuid(),
  job_id: z.uuid(),
  metrics: z.strictObject({
    duration_ms: count,
    entities_read: count,
    entities_written: count,
    input_tokens: count,
    output_tokens: count,
    tokens_executor: count,
    tokens_planner: count,
    total_tokens: count,
    validators_run_count: count,
  }),
  order_xid: z.string().transform(BigInt),
  payload: z.record(z.string(), z.json()),
  prev_hash: z.string(),
  previous_state: named(JobState).nullable(),
  recorded_at: z.iso.datetime({ precision: 3 }),
  state: named(JobState),
  trace_id: z.uuid(),
  type: named(RecorderEventType),
  version: z.int(),
  workflow_run_id: z.uuid().nullable(),
  workspace_id: z.uuid(),
});

/** The same event as the server has it. */
function eventIn(name: string): HashedEvent {
  const shown = shownEvent.parse(json(name));
  const { metrics } = shown;
  return {
    eventId: shown.event_id,
    jobId: shown.job_id,
    version: shown.version,
    orderXid: shown.order_xid,
    workspaceId: shown.workspace_id,
    traceId: shown.trace_id,
    workflowRunId: shown.workflow_run_id,
    type: shown.type,
    actor: shown.actor,
    actorId: shown.actor_id,
    principalId: shown.principal_id ?? null,
    state: shown.state,
    previousState: shown.previous_state,
    durationMs: metrics.duration_ms,
    totalTokens: metrics.total_tokens,
    inputTokens: metrics.input_tokens,
    outputTokens: metrics.output_tokens,
    tokensPlanner: metrics.tokens_planner,
    tokensExecutor: metrics.tokens_executor,
    entitiesRead: metrics.entities_read,
    entitiesWritten: metrics.entities_written,
    validatorsRunCount: metrics.validators_run_count,
    capabilityId: shown.capability_id,
    payload: shown.payload,
    recordedAt: new Date(shown.recorded_at),
    prevHash: shown.prev_hash,
  };
}

test.each(["event-1", "event-2", "event-3"])("the server writes the canonical text of %s, and its hash", (name) => {
  const event = eventIn(name);
  expect(canonicalText(event, event.orderXid.toString(), event.recordedAt.toISOString())).toBe(vector(name));
  expect(hashEvent(event)).toBe(vector(`${name}-sha256`));
});

test("the server begins a chain with the 64 zeros of the first event", () => {
  expect(eventIn("event-1").prevHash).toBe(CHAIN_START);
});

test("the server makes the second event's cursor, and reads it", () => {
  const { orderXid, jobId, version } = eventIn("event-2");
  const position = { orderXid, jobId, version, hash: vector("event-2-sha256").slice(0, 16) };
  expect(encodeCursor(EPOCH, position)).toBe(vector("cursor"));
  expect(decodeCursor(vector("cursor"))).toEqual({ epoch: EPOCH, position });
});

let database: Database;
let server: TestServer;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startTestServer(database);
});
afterAll(async () => {
  await server.close();
  await database.close();
});

const SUBMIT = graphql(`
  mutation SubmitOfVector($input: SubmitAiJobInput!) {
    submitAiJob(input: $input) {
      __typename
      ... on SubmitAiJobPayload {
        deduplicated
        job {
          jobId
        }
      }
    }
  }
`);

const shownSubmit = z.object({
  jobKind: z.enum(JobKind),
  protocolId: z.string(),
  jobInputs: z.json(),
  idempotencyKey: z.string(),
});

test("the server stores the submit's hash, also where the defaults are left out", async () => {
  const input = shownSubmit.parse(json("submit"));
  const { submitAiJob } = await server.run(SUBMIT, { input });
  expect(submitAiJob).toMatchObject({ __typename: "SubmitAiJobPayload", deduplicated: false });
  const job = await database.prisma.aiJob.findFirstOrThrow({ where: { idempotencyKey: input.idempotencyKey } });
  expect(job.submitHash).toBe(vector("submit-sha256"));
  const again = await server.run(SUBMIT, { input: z.looseObject(shownSubmit.shape).parse(json("submit")) });
  expect(again.submitAiJob).toMatchObject({ deduplicated: true });
});

const shownReport = z.looseObject({ workflowRunId: z.uuid(), reportId: z.uuid() });

test.each([
  ["the report of the vector", {}, true],
  ["another report", { leaseSeconds: 31 }, false],
])("the server takes %s for a repeated one as the hash says", (_which, change, isSame) => {
  const report = { ...shownReport.parse(json("report")), ...change, leaseToken: vector("lease-token") };
  const kept: StoredReport = {
    workflowRunId: report.workflowRunId,
    reportId: report.reportId,
    reportHash: new Uint8Array(Buffer.from(vector("report-sha256"), "hex")),
    nodeExecutionId: null,
    policyViolationCode: null,
    policyViolationDetail: null,
    recordedAt: new Date(0),
  };
  expect(isSameReport(report, kept)).toBe(isSame);
});

test("the server takes the lease token for the one that it stored, and no other spelling of it", async () => {
  const { run } = await started(engineOn(database));
  const leaseToken = new Uint8Array(Buffer.from(vector("lease-token-sha256"), "hex"));
  const stored = { ...run, leaseToken };
  expect(provesLease(stored, vector("lease-token"))).toBe(true);
  expect(provesLease(stored, `${vector("lease-token")}=`)).toBe(false);
});
