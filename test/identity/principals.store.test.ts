import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { rotateApiKey } from "../../src/identity/keys.ts";
import { workerOf } from "../../src/log/event.ts";
import { hashEvent } from "../../src/log/hash.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { BACKOFF, engineOn, ok } from "../support/engine.ts";
import { type Caller, type GuardedServer, OPERATOR, startGuardedServer } from "../support/guarded-server.ts";
import { post } from "../support/http.ts";
import { HOSTILE } from "../support/jobs.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { ask, type Member } from "../support/unions.ts";

/** Every event says whose request led to it (section 9), and a run is of the principal that claimed it (section 11). */

let db: TestDatabase;
let engine: EngineContext;
let server: GuardedServer;
let submitter: Caller;
let worker: Caller;
let other: Caller;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  server = await startGuardedServer(db);
  submitter = await server.keyOf({ roles: ["SUBMITTER", "REVIEWER", "SECURITY"] });
  worker = await server.keyOf({ roles: ["WORKER"] });
  other = await server.keyOf({ roles: ["WORKER"] });
});
afterAll(async () => {
  await server.close();
  await db.close();
});

/** Submits a job. @returns its id. */
async function submitted(more: object = {}): Promise<string> {
  const protocolId = randomUUID();
  const input = { jobKind: "DOC_SUMMARIZE", protocolId, ...more };
  await ask(server.url, "submitAiJob", input, submitter.headers);
  return (await db.prisma.aiJob.findFirstOrThrow({ where: { protocolId } })).jobId;
}

async function start(jobId: string, headers = worker.headers): Promise<Member> {
  const query = `mutation ($input: StartWorkflowInput!) { startWorkflow(input: $input) { __typename ... on StartWorkflowPayload {
    claim { leaseToken workflowRun { workflowRunId } } } } }`;
  const variables = { input: { jobId, workerId: "worker-1", leaseSeconds: 900 } };
  const { data } = await post(server.url, JSON.stringify({ query, variables }), headers);
  return { started: data?.startWorkflow };
}

/** Submits a job and starts it. @returns its id, and what proves its lease. */
async function held(more: object = {}) {
  const jobId = await submitted(more);
  const started = await start(jobId);
  const run = await db.prisma.workflowRun.findFirstOrThrow({ where: { jobId } });
  const [, leaseToken = ""] = /"leaseToken":"([^"]+)"/.exec(JSON.stringify(started)) ?? [];
  return { jobId, run, proof: { workflowRunId: run.id, leaseToken } };
}

/** Who each event of a job is by: actor, actor_id and principal_id. The chain must hold, with them in the hashes. */
async function whoDid(jobId: string): Promise<readonly string[]> {
  const records = await recordsOf(db.prisma, jobId);
  expectSound(records);
  for (const { hash, ...event } of records.events) {
    expect(hashEvent(event)).toBe(hash);
    expect(hashEvent({ ...event, principalId: "key:another" })).not.toBe(hash);
  }
  return records.events.map(({ type, actor, actorId, principalId }) => `${type} ${actor} ${actorId} ${principalId}`);
}

const report = (field: string, input: object, { headers } = worker) => ask(server.url, field, input, headers);
const step = (nodeId: string) => ({ nodeId, nodeType: "tool", outcome: "STARTED" });
const NODE_ENDED = { nodeId: "a", nodeType: "tool", outcome: "SUCCEEDED" };

describe("an event names the principal", () => {
  test("of a command, and of each report by a worker", async () => {
    const { jobId, run, proof } = await held();
    await report("advanceWorkflow", { ...proof, step: step("a") });
    await report("advanceWorkflow", { ...proof, step: NODE_ENDED });
    await report("heartbeatWorkflows", { heartbeats: [{ ...proof, metrics: { inputTokens: 1 } }] });
    await report("completeWorkflows", { completions: [{ ...proof, needsValidation: true }] });
    await ask(server.url, "resolveValidation", { jobId, verdict: "NEEDS_USER" }, submitter.headers);
    await ask(server.url, "resolveUserReview", { jobId, decision: "REVISE" }, submitter.headers);
    await ask(server.url, "cancelAiJob", { jobId, reason: "enough" }, submitter.headers);
    const person = `HUMAN ${submitter.principal} ${submitter.principal}`;
    const agent = `AGENT worker-1 ${worker.principal}`;
    expect(await whoDid(jobId)).toEqual([
      `JOB_SUBMITTED ${person}`,
      `STATE_CHANGED ${agent}`,
      `NODE_CHANGED ${agent}`,
      `NODE_CHANGED ${agent}`,
      `METRICS_RECORDED ${agent}`,
      `STATE_CHANGED ${agent}`,
      `STATE_CHANGED ${person}`,
      `STATE_CHANGED ${person}`,
      `STATE_CHANGED ${person}`,
    ]);
    expect(run.principalId).toBe(worker.principal);
  });

  test("of the request because of which the server itself does something", async () => {
    const denied = await submitted({ capabilityProfileId: "terminal" });
    expect((await whoDid(denied)).at(-1)).toBe(`CAPABILITY_ACTION SYSTEM workflow-engine ${submitter.principal}`);
    const poisonedAtStart = await submitted({ jobInputs: { text: HOSTILE } });
    await start(poisonedAtStart);
    expect((await whoDid(poisonedAtStart)).at(-1)).toBe(
      `SECURITY_VIOLATION SYSTEM workflow-engine ${worker.principal}`,
    );
    const overBudget = await held({ tokenBudget: 1 });
    await report("heartbeatWorkflows", { heartbeats: [{ ...overBudget.proof, metrics: { inputTokens: 2 } }] });
    expect((await whoDid(overBudget.jobId)).at(-1)).toBe(`STATE_CHANGED SYSTEM workflow-engine ${worker.principal}`);
    const poisonedByReport = await held();
    await report("failWorkflows", { failures: [{ ...poisonedByReport.proof, errorMessage: HOSTILE }] });
    expect((await whoDid(poisonedByReport.jobId)).at(-1)).toBe(
      `SECURITY_VIOLATION SYSTEM workflow-engine ${worker.principal}`,
    );
  });

  test("of a violation that was reported, whose actor is the server for the one who reports, for descendants as well", async () => {
    const jobId = await submitted();
    const child = await submitted({ parentJobId: jobId });
    const finding = { violationType: "EXPORT", guardName: "g", trigger: "t", description: "d" };
    await ask(server.url, "reportSecurityViolation", { jobId, ...finding }, submitter.headers);
    for (const id of [jobId, child])
      expect((await whoDid(id)).at(-1)).toBe(`SECURITY_VIOLATION SYSTEM ${submitter.principal} ${submitter.principal}`);
  });

  test("of a bulk action, which any server may do later", async () => {
    const jobId = await submitted();
    const { protocolId } = await db.prisma.aiJob.findUniqueOrThrow({ where: { jobId } });
    await ask(server.url, "cancelAiJobs", { filter: { protocolId }, reason: "no" }, submitter.headers);
    expect((await whoDid(jobId)).at(-1)).toBe(`STATE_CHANGED HUMAN ${submitter.principal} ${submitter.principal}`);
  });

  test("where there is one: a recovery has none", async () => {
    const { jobId, run } = await held();
    await db.prisma
      .$executeRaw`UPDATE workflow_runs SET lease_expires_at = now() - interval '1 s' WHERE id = ${run.id}::uuid`;
    await recoverStalledRuns({ ...engine, backoff: BACKOFF });
    expect((await whoDid(jobId)).slice(-2)).toEqual([
      "WORKFLOW_RECOVERY SYSTEM workflow-engine null",
      "STATE_CHANGED SYSTEM workflow-engine null",
    ]);
  });

  test("and is served", async () => {
    const jobId = await submitted();
    const query = `{ flightRecorderEvents(filter: { jobId: "${jobId}" }) { nodes { actorId principalId } } }`;
    const { data } = await post(server.url, JSON.stringify({ query }), submitter.headers);
    const { principal } = submitter;
    expect(data).toEqual({ flightRecorderEvents: { nodes: [{ actorId: principal, principalId: principal }] } });
  });
});

/** Each kind of report of a run, and the answer to it. */
const REPORTS: readonly [string, (proof: object, caller: Caller) => Promise<unknown>][] = [
  ["advanceWorkflow", (proof, caller) => report("advanceWorkflow", { ...proof, step: step("x") }, caller)],
  [
    "advanceWorkflow with texts",
    (proof, caller) =>
      report(
        "advanceWorkflow",
        { ...proof, step: step("x"), retrievedSnippets: [{ sourceId: "s", content: HOSTILE }] },
        caller,
      ),
  ],
  ["heartbeatWorkflows", (proof, caller) => heartbeat(proof, caller)],
  ["completeWorkflows", (proof, caller) => one("complete", proof, caller)],
  ["failWorkflows", (proof, caller) => one("fail", { ...proof, errorMessage: "broke" }, caller)],
];

async function heartbeat(proof: object, { headers }: Caller) {
  const query = `mutation ($input: HeartbeatWorkflowsInput!) { heartbeatWorkflows(input: $input) {
    ... on HeartbeatWorkflowsPayload { results { error { __typename code message directive } } } } }`;
  const { data } = await post(
    server.url,
    JSON.stringify({ query, variables: { input: { heartbeats: [proof] } } }),
    headers,
  );
  return errorIn(data);
}

async function one(kind: "complete" | "fail", item: object, { headers }: Caller) {
  const [type, list] = kind === "complete" ? ["Complete", "completions"] : ["Fail", "failures"];
  const query = `mutation ($input: ${type}WorkflowsInput!) { ${kind}Workflows(input: $input) {
    ... on ${type}WorkflowsPayload { results { __typename ... on Error { code message directive } } } } }`;
  const { data } = await post(
    server.url,
    JSON.stringify({ query, variables: { input: { [list ?? ""]: [item] } } }),
    headers,
  );
  return errorIn(data);
}

/** The one object of an answer that has a message. */
function errorIn(data: unknown): unknown {
  const [, text = "null"] = /(\{"__typename"[^}]*\})/.exec(JSON.stringify(data)) ?? [];
  return JSON.parse(text);
}

/** An error as unions give it, without what else it may have. */
const words = (answer: unknown) => {
  const { code, message, directive } = { code: null, message: null, directive: null, ...Object(answer) };
  return { code, message, directive };
};

describe("a run is of the principal that claimed it", () => {
  test.each(REPORTS)("another one's report is refused as a token is that does not exist: %s", async (_, send) => {
    const { jobId, proof } = await held();
    const before = await recordsOf(db.prisma, jobId);
    const stolen = await send(proof, other);
    const unknown = await send({ workflowRunId: randomUUID(), leaseToken: "A".repeat(43) }, other);
    expect(words(stolen)).toEqual(words(unknown));
    expect(words(stolen)).toMatchObject({ code: "LEASE_LOST", directive: "STOP_LEASE_LOST" });
    expect(await recordsOf(db.prisma, jobId)).toEqual(before);
    expect(words(await send(proof, worker))).not.toMatchObject({ code: "LEASE_LOST" });
  });

  test("a principal of all workspaces reports without naming one, and not on the runs of others", async () => {
    const everywhere = await server.keyOf({ roles: ["WORKER"], workspaceId: null });
    const { proof } = await held();
    expect(await heartbeat(proof, everywhere)).toMatchObject({ code: "LEASE_LOST" });
    const jobId = await submitted();
    const kind = { workerId: "w", limit: 100, leaseSeconds: 900 };
    const query = `mutation ($input: ClaimAiJobsInput!) { claimAiJobs(input: $input) { ... on ClaimAiJobsPayload { claims {
      leaseToken job { jobId } workflowRun { workflowRunId } } } } }`;
    const { data } = await post(server.url, JSON.stringify({ query, variables: { input: kind } }), everywhere.headers);
    const text = JSON.stringify(data);
    const [, leaseToken] = new RegExp(`"leaseToken":"([^"]+)","job":{"jobId":"${jobId}"}`).exec(text) ?? [];
    const run = await db.prisma.workflowRun.findFirstOrThrow({ where: { jobId } });
    expect(run.principalId).toBe(everywhere.principal);
    expect(await heartbeat({ workflowRunId: run.id, leaseToken }, everywhere)).toBeNull();
    expect(workerOf(run)).toEqual({ actor: "AGENT", actorId: "w", principalId: everywhere.principal });
  });

  test("a rotated key is the same principal", async () => {
    const { apiKeyId, ...before } = await server.keyOf({ roles: ["WORKER"] });
    const jobId = await submitted();
    const text = JSON.stringify(await start(jobId, before.headers));
    const [, leaseToken] = /"leaseToken":"([^"]+)"/.exec(text) ?? [];
    const run = await db.prisma.workflowRun.findFirstOrThrow({ where: { jobId } });
    const { secret } = ok(await rotateApiKey(engine, OPERATOR, { apiKeyId, overlapSeconds: 60 }));
    const rotated = { ...before, apiKeyId, headers: { authorization: `Bearer ${secret}` } };
    for (const caller of [rotated, { ...before, apiKeyId }])
      expect(await heartbeat({ workflowRunId: run.id, leaseToken }, caller)).toBeNull();
  });
});
