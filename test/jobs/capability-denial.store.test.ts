import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { startWorkflow } from "../../src/claims/start.ts";
import { JobKind } from "../../src/db/generated/client/enums.ts";
import { metricsOf } from "../../src/db/metrics.ts";
import type { EngineContext } from "../../src/engine.ts";
import { CapabilityDeniedError } from "../../src/errors.ts";
import type { SubmitAiJob } from "../../src/jobs/draft.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, aSubmit, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { expectSound, recordsOf } from "../support/records.ts";

/** The server decides whether a profile suffices: at submit, at claim and at completion. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = (jobId: string) => recordsOf(db.prisma, jobId);
const submit = (more: Partial<SubmitAiJob>) => submitAiJob(engine, WORKSPACE, SOMEBODY, aSubmit(more));

/** A profile of the test's own, so that it can change while others' jobs go on. */
async function aProfile(id: string): Promise<string> {
  await db.prisma.$executeRaw`
    INSERT INTO capability_profiles (id, capabilities, job_kinds) VALUES (${id}, '{doc.summarize}', '{}')`;
  return id;
}

async function revoke(id: string): Promise<void> {
  await db.prisma.$executeRaw`UPDATE capability_profiles SET capabilities = '{doc.read}' WHERE id = ${id}`;
}

describe("at submit", () => {
  const suffices = (kind: JobKind, profile: string) => (kind === "TERMINAL_EXEC") === (profile === "terminal");
  const cases = Object.values(JobKind).flatMap((kind) =>
    ["default", "terminal"].map((profile) => [kind, profile, suffices(kind, profile) ? "QUEUED" : "FAILED"] as const),
  );

  test.each(cases)("%s under the profile %s is stored as %s", async (jobKind, capabilityProfileId, state) => {
    const answer = await submit({ jobKind, capabilityProfileId });
    expect(answer instanceof CapabilityDeniedError).toBe(state === "FAILED");
    const { job } = answer instanceof CapabilityDeniedError ? answer : ok(answer);
    expect((await records(job.jobId)).job).toMatchObject({ state, capabilityProfileId });
  });

  test("a denial names what is missing, and is on record", async () => {
    const answer = await submit({ jobKind: "TERMINAL_EXEC", capabilityProfileId: "default" });
    if (!(answer instanceof CapabilityDeniedError)) throw new Error("It was not denied.");
    expect(answer).toMatchObject({ code: "CAPABILITY_DENIED", missingCapability: "term.exec", job: { version: 2 } });
    const after = await records(answer.job.jobId);
    expectSound(after);
    expect(after.job).toMatchObject({
      state: "FAILED",
      statusReason: "capability_denied: term.exec",
      attempt: 0,
      completedAt: null,
    });
    expect(after.runs).toEqual([]);
    // A check that failed names no capability in the event of the submit: it allowed nothing.
    expect(after.events).toMatchObject([
      { type: "JOB_SUBMITTED", state: "QUEUED", capabilityId: null },
      { type: "CAPABILITY_ACTION", state: "FAILED", previousState: "QUEUED", capabilityId: "term.exec" },
    ]);
    expect(after.events[1]?.payload).toEqual({
      outcome: "denied",
      capability: "term.exec",
      capability_profile_id: "default",
      checked_at: "submit",
    });
  });

  test("a denied job that is sent again with its key is the same job", async () => {
    const denied = { jobKind: "TERMINAL_EXEC" as const, capabilityProfileId: "default", idempotencyKey: "denied" };
    const first = await submit(denied);
    if (!(first instanceof CapabilityDeniedError)) throw new Error("It was not denied.");
    const before = await records(first.job.jobId);
    expect(await submit(denied)).toMatchObject({ job: { jobId: first.job.jobId, state: "FAILED" } });
    expect(await records(first.job.jobId)).toEqual(before);
  });
});

test("at claim, a profile that no longer suffices fails the job, without a run", async () => {
  const capabilityProfileId = await aProfile("revoked-before-claim");
  const { jobId } = await submitted(engine, { capabilityProfileId });
  await revoke(capabilityProfileId);
  const answer = await startWorkflow(engine, WORKSPACE, { jobId, workerId: "worker-1", leaseSeconds: 30 });
  expect(answer).toBeInstanceOf(CapabilityDeniedError);
  expect(answer).toMatchObject({ missingCapability: "doc.summarize", job: { jobId, state: "FAILED", version: 2 } });

  const after = await records(jobId);
  expectSound(after);
  expect(after.job).toMatchObject({ state: "FAILED", statusReason: "capability_denied: doc.summarize", attempt: 0 });
  expect(after.runs).toEqual([]);
  expect(after.events.at(-1)).toMatchObject({
    type: "CAPABILITY_ACTION",
    actor: "SYSTEM",
    capabilityId: "doc.summarize",
    payload: {
      outcome: "denied",
      capability: "doc.summarize",
      capability_profile_id: capabilityProfileId,
      checked_at: "claim",
    },
  });
});

describe("at completion", () => {
  const METRICS = { ...NO_METRICS, inputTokens: 9 };
  const completion = ({ run, leaseToken }: Claim) => ({
    workflowRunId: run.id,
    leaseToken,
    jobOutputs: { a: 1 },
    writtenEntities: [],
    issues: ["one"],
    metrics: METRICS,
  });

  test("a profile that no longer suffices fails the run and the job, and nothing of the report is applied", async () => {
    const capabilityProfileId = await aProfile("revoked-before-completion");
    const held = await started(engine, { capabilityProfileId, maxAttempts: 5 });
    ok(await advanceWorkflow(engine, aStep(held, "n")));
    const untouched = await started(engine);
    const before = await records(held.job.jobId);
    await revoke(capabilityProfileId);

    const [answer, other] = await completeWorkflows(engine, [completion(held), completion(untouched)]);
    expect(answer).toBeInstanceOf(CapabilityDeniedError);
    expect(answer).toMatchObject({
      missingCapability: "doc.summarize",
      job: { jobId: held.job.jobId, state: "FAILED", version: before.job.version + 1 },
    });
    expect(other).toMatchObject({ job: { state: "COMPLETED_WITH_ISSUES" } });

    const after = await records(held.job.jobId);
    expectSound(after);
    expect(after.job).toMatchObject({
      state: "FAILED",
      statusReason: "capability_denied: doc.summarize",
      jobOutputs: null,
      issues: [],
      runAfter: null,
      ...metricsOf(before.job),
    });
    expect(after.runs).toMatchObject([{ state: "FAILED", leaseExpiresAt: null }]);
    expect(after.nodes).toMatchObject([{ state: "FAILED" }]);
    expect(after.events.slice(before.events.length)).toMatchObject([
      { type: "CAPABILITY_ACTION", actor: "SYSTEM", state: "FAILED", payload: { checked_at: "completion" } },
    ]);
  });

  test("a profile that suffices is named by the event of the completion", async () => {
    const held = await started(engine);
    await completeWorkflows(engine, [completion(held)]);
    expect((await records(held.job.jobId)).events.map(({ capabilityId }) => capabilityId)).toEqual([
      "doc.summarize",
      "doc.summarize",
      "doc.summarize",
    ]);
  });

  test("a step between is not stopped by it: the check is made at submit, at claim and at completion", async () => {
    const capabilityProfileId = await aProfile("revoked-between");
    const held = await started(engine, { capabilityProfileId });
    await revoke(capabilityProfileId);
    expect(ok(await advanceWorkflow(engine, aStep(held, "n")))).toMatchObject({ node: { state: "RUNNING" } });
  });
});
