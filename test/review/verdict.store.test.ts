import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { metricsOf } from "../../src/db/metrics.ts";
import type { EngineContext } from "../../src/engine.ts";
import { CapabilityDeniedError, IllegalTransitionError, JobPoisonedError, NotFoundError } from "../../src/errors.ts";
import { resolveValidation } from "../../src/review/verdict.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { bringTo, FOUND, stall } from "../support/jobs.ts";
import { expectPoisoned, expectSound, recordsOf } from "../support/records.ts";
import { reportOutcome, SORTS } from "../support/reports.ts";
import { awaitingUser, awaitingValidation, OUTPUTS, verdict, withoutCapabilities } from "../support/review.ts";

/** Outputs that await a verdict, and what each verdict makes of them (section 6). */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = ({ job }: Pick<Claim, "job">) => recordsOf(db.prisma, job.jobId);

describe("a completion that asks for a verdict", () => {
  test.each([[[]], [["page 3 is missing"]]])("keeps outputs and issues %j, and ends the lease", async (issues) => {
    const taken = await awaitingValidation(engine, issues);
    const after = await records(taken);
    expectSound(after);
    expect(after.job).toMatchObject({ state: "AWAITING_VALIDATION", jobOutputs: OUTPUTS, issues, completedAt: null });
    expect(after.job).toMatchObject({ statusReason: "awaiting_validation", version: 3 });
    expect(after.runs).toMatchObject([{ state: "AWAITING_VALIDATION", leaseExpiresAt: null, finishedAt: null }]);
    expect(after.events.at(-1)).toMatchObject({
      type: "STATE_CHANGED",
      actor: "AGENT",
      previousState: "RUNNING",
      state: "AWAITING_VALIDATION",
      payload: { reason: "awaiting_validation", issues: issues.length },
    });
  });

  test.each([
    ["validation", awaitingValidation],
    ["a person", awaitingUser],
  ])("awaits %s for good: no report of its worker counts any more, and no sweep takes it", async (_, make) => {
    const taken = await make(engine);
    const before = await records(taken);
    for (const { report, send } of SORTS) {
      expect({ report, told: reportOutcome(await send(engine, taken)) }).toEqual({
        report,
        told: "LEASE_LOST STOP_LEASE_LOST",
      });
    }
    expect(await recoverStalledRuns(engine)).toBe(0);
    expect(await records(taken)).toEqual(before);
  });

  test.each([
    ["validation", awaitingValidation],
    ["a person", awaitingUser],
  ])("and awaits %s can be poisoned, with its run, and its outputs are cleared", async (_, make) => {
    const taken = await make(engine, ["short"]);
    const before = await records(taken);
    expect(await poisonJob(engine, WORKSPACE, taken.job.jobId, FOUND)).toMatchObject({ action: "POISONED" });
    const after = await records(taken);
    expectPoisoned(after, before);
    expect(after.job.jobOutputs).toBeNull();
    expect(reportOutcome(await SORTS[0]?.send(engine, taken))).toBe("JOB_POISONED STOP_POISONED");
  });
});

const ENDED = { leaseExpiresAt: null, finishedAt: expect.any(Date) };

describe("the verdict", () => {
  test.each([
    ["APPROVED", [], "COMPLETED", "completed", OUTPUTS],
    ["APPROVED", ["short"], "COMPLETED_WITH_ISSUES", "completed_with_issues", OUTPUTS],
    ["NEEDS_USER", [], "AWAITING_USER", "awaiting_user", OUTPUTS],
    ["NEEDS_USER", ["short"], "AWAITING_USER", "awaiting_user", OUTPUTS],
    ["REJECTED", [], "FAILED", "rejected", null],
    ["REJECTED", ["short"], "FAILED", "rejected", null],
  ] as const)("%s, with issues %j, makes the job %s", async (given, issues, state, reason, jobOutputs) => {
    const taken = await awaitingValidation(engine, issues);
    const before = await records(taken);
    const comment = "Bearer 0123456789abcdef has seen it.";
    const job = ok(await verdict(engine, taken, given, comment));

    const after = await records(taken);
    expectSound(after);
    expect(job).toMatchObject({ state, version: before.job.version + 1, jobOutputs });
    expect(after.job).toMatchObject({ state, statusReason: reason, jobOutputs, issues, attempt: 1 });
    expect(after.job).toMatchObject({ ...metricsOf(before.job), version: before.job.version + 1, runAfter: null });
    expect(after.job.completedAt === null).toBe(state === "AWAITING_USER" || state === "FAILED");
    expect(after.job.errorMessage).toBe(given === "REJECTED" ? "[redacted] has seen it." : null);
    const ended = given === "NEEDS_USER" ? { leaseExpiresAt: null, finishedAt: null } : ENDED;
    expect(after.runs).toMatchObject([{ state, ...ended }]);
    expect(after.events.at(-1)).toMatchObject({
      type: "STATE_CHANGED",
      actor: "HUMAN",
      actorId: "anonymous",
      previousState: "AWAITING_VALIDATION",
      state,
      capabilityId: given === "APPROVED" ? "doc.summarize" : null,
      payload: { reason, decision: given.toLowerCase(), comment: "[redacted] has seen it." },
    });
  });

  test.each(["APPROVED", "NEEDS_USER", "REJECTED"] as const)("%s needs no comment", async (given) => {
    const taken = await awaitingValidation(engine);
    const job = ok(await verdict(engine, taken, given));
    const { events, runs } = await records(taken);
    expect(events.at(-1)?.payload).toMatchObject({ comment: null });
    // Whoever looks at a job that has failed finds why.
    const why = given === "REJECTED" ? "The outputs were rejected." : null;
    expect({ job: job.errorMessage, run: runs[0]?.errorMessage }).toEqual({ job: why, run: why });
  });

  test("APPROVED is denied where the capability has been taken away meanwhile: the job fails", async () => {
    const taken = await awaitingValidation(engine);
    const answer = await withoutCapabilities(engine, () => verdict(engine, taken, "APPROVED"));
    expect(answer).toBeInstanceOf(CapabilityDeniedError);
    expect(answer).toMatchObject({ missingCapability: "doc.summarize", job: { state: "FAILED" } });
    const after = await records(taken);
    expectSound(after);
    expect(after.job).toMatchObject({ state: "FAILED", statusReason: "capability_denied: doc.summarize" });
    expect(after.job).toMatchObject({ jobOutputs: null, version: 4 });
    expect(after.runs).toMatchObject([{ state: "FAILED", ...ENDED }]);
    expect(after.events.at(-1)).toMatchObject({
      type: "CAPABILITY_ACTION",
      capabilityId: "doc.summarize",
      state: "FAILED",
      payload: { outcome: "denied", checked_at: "completion" },
    });
  });

  test.each(["NEEDS_USER", "REJECTED"] as const)("%s asks for no capability", async (given) => {
    const taken = await awaitingValidation(engine);
    const job = ok(await withoutCapabilities(engine, () => verdict(engine, taken, given)));
    expect(job.state).toBe(given === "REJECTED" ? "FAILED" : "AWAITING_USER");
  });
});

describe("a verdict is refused, and changes nothing,", () => {
  const elsewhere = [
    ["queued", async () => ({ job: await submitted(engine) })],
    ["running", () => started(engine)],
    ["stalled", async () => ({ job: await stall(engine, await started(engine)) })],
    ["awaiting_user", () => awaitingUser(engine)],
    ["completed", async () => ({ job: await bringTo(engine, (await started(engine)).job.jobId, "COMPLETED") })],
    ["failed", async () => ({ job: await bringTo(engine, (await submitted(engine)).jobId, "FAILED") })],
    ["cancelled", async () => ({ job: await bringTo(engine, (await submitted(engine)).jobId, "CANCELLED") })],
  ] as const;

  test.each(elsewhere)("where the job is %s, by a name that tells from where to where", async (state, make) => {
    const { job } = await make();
    const before = await records({ job });
    const to = { APPROVED: "COMPLETED", NEEDS_USER: "AWAITING_USER", REJECTED: "FAILED" } as const;
    for (const given of ["APPROVED", "NEEDS_USER", "REJECTED"] as const) {
      const made = { jobId: job.jobId, verdict: given, comment: null };
      const answer = await resolveValidation(engine, job.workspaceId, SOMEBODY, made);
      expect(answer).toBeInstanceOf(IllegalTransitionError);
      expect(answer).toMatchObject({ from: state.toUpperCase(), to: to[given], directive: null });
    }
    expect(await records({ job })).toEqual(before);
  });

  test("where the job is poisoned, is of another workspace, or is not there", async () => {
    const poisoned = await awaitingValidation(engine);
    await poisonJob(engine, WORKSPACE, poisoned.job.jobId, FOUND);
    const before = await records(poisoned);
    expect(await verdict(engine, poisoned, "APPROVED")).toBeInstanceOf(JobPoisonedError);
    expect(await records(poisoned)).toEqual(before);
    const { jobId } = (await awaitingValidation(engine)).job;
    for (const [workspaceId, id] of [
      [randomUUID(), jobId],
      [poisoned.job.workspaceId, randomUUID()],
    ] as const) {
      const made = { jobId: id, verdict: "APPROVED", comment: null } as const;
      expect(await resolveValidation(engine, workspaceId, SOMEBODY, made)).toBeInstanceOf(NotFoundError);
    }
  });
});
