import { afterAll, beforeAll, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { startWorkflow } from "../../src/claims/start.ts";
import type { EngineContext } from "../../src/engine.ts";
import { CapabilityDeniedError } from "../../src/errors.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import type { Guard } from "../../src/security/guards/guard.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSnippet, aStep, aSubmit, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { bringTo, expireLease, FOUND, HOSTILE } from "../support/jobs.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { failWorkflow } from "../support/reports.ts";

/** Section 4's table: which versions, and which events of whom, every operation makes of a job. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const METRICS = { ...NO_METRICS, inputTokens: 1 };
const proof = ({ run, leaseToken }: Claim) => ({ workflowRunId: run.id, leaseToken });
const start = (jobId: string, on = engine) =>
  startWorkflow(on, WORKSPACE, { jobId, workerId: "worker-1", leaseSeconds: 30 });

async function denied(): Promise<string> {
  const answer = await submitAiJob(engine, WORKSPACE, SOMEBODY, aSubmit({ capabilityProfileId: "terminal" }));
  if (!(answer instanceof CapabilityDeniedError)) throw new Error("This submit should have been denied.");
  return answer.job.jobId;
}

/** Takes the capabilities of a profile away for as long as `work` takes. */
async function without<T>(work: () => Promise<T>): Promise<T> {
  const { prisma } = db;
  await prisma.$executeRaw`UPDATE capability_profiles SET capabilities = '{}' WHERE id = 'default'`;
  try {
    return await work();
  } finally {
    await prisma.$executeRaw`
      UPDATE capability_profiles SET capabilities = '{doc.read,doc.summarize}' WHERE id = 'default'`;
  }
}

const overBudget: Guard = {
  name: "BudgetGuard",
  check: () => ({ code: "ACE-001", trigger: "1,000 of 900 tokens", description: "Too many.", sourceId: null }),
};

const queued = async () => (await submitted(engine)).jobId;
const held = () => started(engine);
const snippets = (content: string) => ({ retrievedSnippets: [aSnippet(content)] });
const completion = (one: Claim) => ({
  ...proof(one),
  metrics: METRICS,
  jobOutputs: { a: 1 },
  writtenEntities: [],
  issues: [],
});
const failure = { metrics: METRICS, errorMessage: "no" };

/** One version: the event's type, the actor, the state before and after. */
type Version = readonly [type: string, actor: string, from: string | null, to: string];

interface Operation {
  readonly operation: string;
  /** Makes the job, and gives what is to be looked at. */
  readonly prepare: () => Promise<{ readonly jobId: string; readonly act: () => Promise<unknown> }>;
  readonly versions: readonly Version[];
}

function on(make: () => Promise<string>, act: (jobId: string) => Promise<unknown>): Operation["prepare"] {
  return async () => {
    const jobId = await make();
    return { jobId, act: () => act(jobId) };
  };
}

function onHeld(act: (claim: Claim) => Promise<unknown>, make = held): Operation["prepare"] {
  return async () => {
    const claim = await make();
    return { jobId: claim.job.jobId, act: () => act(claim) };
  };
}

const withNode = async (nodeType: string) => {
  const claim = await held();
  ok(await advanceWorkflow(engine, aStep(claim, "n", { nodeType })));
  return claim;
};

const operations: readonly Operation[] = [
  {
    operation: "claim",
    prepare: on(queued, start),
    versions: [["STATE_CHANGED", "AGENT", "QUEUED", "RUNNING"]],
  },
  {
    operation: "claim that is denied",
    prepare: on(queued, (jobId) => without(() => start(jobId))),
    versions: [["CAPABILITY_ACTION", "SYSTEM", "QUEUED", "FAILED"]],
  },
  {
    operation: "claim of hostile inputs",
    prepare: on(async () => (await submitted(engine, { jobInputs: HOSTILE })).jobId, start),
    versions: [
      ["STATE_CHANGED", "AGENT", "QUEUED", "RUNNING"],
      ["SECURITY_VIOLATION", "SYSTEM", "RUNNING", "POISONED"],
    ],
  },
  {
    operation: "claim whose guard raises an AceError that does not poison",
    prepare: on(
      async () => (await submitted(engine, { jobInputs: "text" })).jobId,
      (jobId) => start(jobId, engineOn(db, { guards: [overBudget] })),
    ),
    versions: [
      ["STATE_CHANGED", "AGENT", "QUEUED", "RUNNING"],
      ["DIAGNOSTIC", "SYSTEM", "RUNNING", "RUNNING"],
      ["STATE_CHANGED", "SYSTEM", "RUNNING", "QUEUED"],
    ],
  },
  {
    operation: "heartbeat",
    prepare: onHeld((claim) =>
      heartbeatWorkflows(engine, [{ ...proof(claim), leaseSeconds: 60, metrics: NO_METRICS }]),
    ),
    versions: [],
  },
  {
    operation: "heartbeat with metrics",
    prepare: onHeld((claim) => heartbeatWorkflows(engine, [{ ...proof(claim), leaseSeconds: 60, metrics: METRICS }])),
    versions: [["METRICS_RECORDED", "AGENT", "RUNNING", "RUNNING"]],
  },
  {
    operation: "advance of a tool, that starts",
    prepare: onHeld((claim) => advanceWorkflow(engine, { ...aStep(claim, "n"), metrics: METRICS })),
    versions: [["NODE_CHANGED", "AGENT", "RUNNING", "RUNNING"]],
  },
  {
    operation: "advance of a tool, that ends, with snippets",
    prepare: onHeld(
      (claim) => advanceWorkflow(engine, { ...aStep(claim, "n", { outcome: "FAILED" }), ...snippets("fine") }),
      () => withNode("tool"),
    ),
    versions: [["NODE_CHANGED", "AGENT", "RUNNING", "RUNNING"]],
  },
  {
    operation: "advance of an llm_call, that starts",
    prepare: onHeld((claim) =>
      advanceWorkflow(engine, { ...aStep(claim, "n", { nodeType: "llm_call" }), metrics: METRICS }),
    ),
    versions: [["LLM_INFERENCE", "AGENT", "RUNNING", "RUNNING"]],
  },
  {
    operation: "advance of an llm_call, that ends",
    prepare: onHeld(
      (claim) => advanceWorkflow(engine, aStep(claim, "n", { nodeType: "llm_call", outcome: "SUCCEEDED" })),
      () => withNode("llm_call"),
    ),
    versions: [["LLM_INFERENCE", "AGENT", "RUNNING", "RUNNING"]],
  },
  {
    operation: "advance with a hostile snippet",
    prepare: onHeld((claim) => advanceWorkflow(engine, { ...aStep(claim, "n"), ...snippets(HOSTILE) })),
    versions: [["SECURITY_VIOLATION", "SYSTEM", "RUNNING", "POISONED"]],
  },
  {
    operation: "advance whose guard raises an AceError that does not poison",
    prepare: onHeld((claim) =>
      advanceWorkflow(engineOn(db, { guards: [overBudget] }), { ...aStep(claim, "n"), ...snippets("fine") }),
    ),
    versions: [["DIAGNOSTIC", "SYSTEM", "RUNNING", "RUNNING"]],
  },
  {
    operation: "complete",
    prepare: onHeld((claim) => completeWorkflows(engine, [completion(claim)])),
    versions: [["STATE_CHANGED", "AGENT", "RUNNING", "COMPLETED"]],
  },
  {
    operation: "complete with issues",
    prepare: onHeld((claim) => completeWorkflows(engine, [{ ...completion(claim), issues: ["short"] }])),
    versions: [["STATE_CHANGED", "AGENT", "RUNNING", "COMPLETED_WITH_ISSUES"]],
  },
  {
    operation: "complete that is denied",
    prepare: onHeld((claim) => without(() => completeWorkflows(engine, [completion(claim)]))),
    versions: [["CAPABILITY_ACTION", "SYSTEM", "RUNNING", "FAILED"]],
  },
  {
    operation: "complete that breaks the access mode",
    prepare: onHeld((claim) =>
      completeWorkflows(engine, [
        { ...completion(claim), writtenEntities: [{ entityKind: "document", entityId: "d-1" }] },
      ]),
    ),
    versions: [["STATE_CHANGED", "AGENT", "RUNNING", "FAILED"]],
  },
  {
    operation: "fail, to be tried again",
    prepare: onHeld((claim) => failWorkflow(engine, { ...proof(claim), ...failure, retryable: true })),
    versions: [["STATE_CHANGED", "AGENT", "RUNNING", "QUEUED"]],
  },
  {
    operation: "fail, for good",
    prepare: onHeld((claim) => failWorkflow(engine, { ...proof(claim), ...failure, retryable: false })),
    versions: [["STATE_CHANGED", "AGENT", "RUNNING", "FAILED"]],
  },
  {
    operation: "cancel",
    prepare: on(queued, (jobId) => cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId, reason: "enough" })),
    versions: [["STATE_CHANGED", "HUMAN", "QUEUED", "CANCELLED"]],
  },
  {
    operation: "recovery, to be tried again",
    prepare: onHeld(async (claim) => {
      await expireLease(db, claim);
      return recoverStalledRuns(engine);
    }),
    versions: [
      ["WORKFLOW_RECOVERY", "SYSTEM", "RUNNING", "STALLED"],
      ["STATE_CHANGED", "SYSTEM", "STALLED", "QUEUED"],
    ],
  },
  {
    operation: "recovery of the last attempt",
    prepare: onHeld(
      async (claim) => {
        await expireLease(db, claim);
        return recoverStalledRuns(engine);
      },
      () => started(engine, { maxAttempts: 1 }),
    ),
    versions: [
      ["WORKFLOW_RECOVERY", "SYSTEM", "RUNNING", "STALLED"],
      ["STATE_CHANGED", "SYSTEM", "STALLED", "FAILED"],
    ],
  },
  {
    operation: "poison",
    prepare: on(queued, (jobId) => poisonJob(engine, WORKSPACE, jobId, FOUND)),
    versions: [["SECURITY_VIOLATION", "SYSTEM", "QUEUED", "POISONED"]],
  },
  {
    operation: "poison of a poisoned job",
    prepare: on(
      async () => {
        const jobId = await queued();
        await poisonJob(engine, WORKSPACE, jobId, FOUND);
        return jobId;
      },
      (jobId) => poisonJob(engine, WORKSPACE, jobId, FOUND),
    ),
    versions: [],
  },
  {
    operation: "violation that is only recorded",
    prepare: on(
      async () => (await bringTo(engine, await queued(), "CANCELLED")).jobId,
      (jobId) => poisonJob(engine, WORKSPACE, jobId, FOUND),
    ),
    versions: [["SECURITY_VIOLATION", "SYSTEM", "CANCELLED", "CANCELLED"]],
  },
];

async function versionsOf(jobId: string, after = 0): Promise<Version[]> {
  const all = await recordsOf(db.prisma, jobId);
  expectSound(all);
  const events = all.events.slice(after);
  return events.map(({ type, actor, previousState, state }) => [type, actor, previousState, state]);
}

test("submit: job_submitted", async () => {
  expect(await versionsOf(await queued())).toEqual([["JOB_SUBMITTED", "HUMAN", null, "QUEUED"]]);
});

test("submit that is denied: job_submitted as queued, then capability_action", async () => {
  expect(await versionsOf(await denied())).toEqual([
    ["JOB_SUBMITTED", "HUMAN", null, "QUEUED"],
    ["CAPABILITY_ACTION", "SYSTEM", "QUEUED", "FAILED"],
  ]);
});

test.each(operations)(
  "$operation: the versions and events of the table, and no other",
  async ({ prepare, versions }) => {
    const { jobId, act } = await prepare();
    const before = await versionsOf(jobId);
    await act();
    expect(await versionsOf(jobId, before.length)).toEqual(versions);
  },
);
