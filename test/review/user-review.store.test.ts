import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { claimAiJobs } from "../../src/claims/claim.ts";
import type { ClaimAiJobs } from "../../src/claims/request.ts";
import { metricsOf } from "../../src/db/metrics.ts";
import type { EngineContext } from "../../src/engine.ts";
import { CapabilityDeniedError, IllegalTransitionError, JobPoisonedError, NotFoundError } from "../../src/errors.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { resolveUserReview } from "../../src/review/user-review.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { bringTo, claim, expireLease, FOUND } from "../support/jobs.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { aCompletion, aFailure, failWorkflow, reportOutcome, SORTS } from "../support/reports.ts";
import {
  askFor,
  awaitingUser,
  awaitingValidation,
  OUTPUTS,
  review,
  verdict,
  withoutCapabilities,
} from "../support/review.ts";

/** Outputs that await a person, and what each decision makes of them (section 6). */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = ({ job }: Pick<Claim, "job">) => recordsOf(db.prisma, job.jobId);
const DECISIONS = ["ACCEPT", "ACCEPT_WITH_ISSUES", "REVISE", "CANCEL"] as const;

describe("the decision", () => {
  test.each([
    ["ACCEPT", [], "COMPLETED", "completed", "COMPLETED"],
    ["ACCEPT", ["short"], "COMPLETED", "completed", "COMPLETED"],
    ["ACCEPT_WITH_ISSUES", [], "COMPLETED_WITH_ISSUES", "completed_with_issues", "COMPLETED_WITH_ISSUES"],
    ["ACCEPT_WITH_ISSUES", ["short"], "COMPLETED_WITH_ISSUES", "completed_with_issues", "COMPLETED_WITH_ISSUES"],
    ["REVISE", [], "QUEUED", "revise", "CANCELLED"],
    ["REVISE", ["short"], "QUEUED", "revise", "CANCELLED"],
    ["CANCEL", [], "CANCELLED", "cancelled", "CANCELLED"],
    ["CANCEL", ["short"], "CANCELLED", "cancelled", "CANCELLED"],
  ] as const)("%s, with issues %j, makes the job %s", async (decision, issues, state, reason, runState) => {
    const taken = await awaitingUser(engine, issues);
    const before = await records(taken);
    const job = ok(await review(engine, taken, decision, "Bearer 0123456789abcdef has seen it."));

    const after = await records(taken);
    expectSound(after);
    const accepted = decision.startsWith("ACCEPT");
    expect(job).toMatchObject({ state, version: before.job.version + 1 });
    expect(after.job).toMatchObject({
      state,
      statusReason: reason,
      version: before.job.version + 1,
      attempt: 1,
      ...metricsOf(before.job),
      jobOutputs: accepted ? OUTPUTS : null,
      issues: decision === "REVISE" ? [] : issues,
      runAfter: null,
    });
    expect(after.job.completedAt === null).toBe(decision === "REVISE");
    const errorMessage = accepted ? null : "[redacted] has seen it.";
    expect(after.runs).toMatchObject([{ state: runState, leaseExpiresAt: null, errorMessage }]);
    expect(after.runs[0]?.finishedAt).toEqual(expect.any(Date));
    expect(after.events.at(-1)).toMatchObject({
      type: "STATE_CHANGED",
      actor: "HUMAN",
      actorId: "anonymous",
      previousState: "AWAITING_USER",
      state,
      capabilityId: accepted ? "doc.summarize" : null,
      payload: { reason, decision: decision.toLowerCase(), comment: "[redacted] has seen it." },
    });
  });

  test.each(["ACCEPT", "ACCEPT_WITH_ISSUES"] as const)("%s is denied without the capability", async (decision) => {
    const taken = await awaitingUser(engine);
    const answer = await withoutCapabilities(engine, () => review(engine, taken, decision));
    expect(answer).toBeInstanceOf(CapabilityDeniedError);
    expect(answer).toMatchObject({ missingCapability: "doc.summarize", job: { state: "FAILED" } });
    const after = await records(taken);
    expectSound(after);
    expect(after.job).toMatchObject({ statusReason: "capability_denied: doc.summarize", jobOutputs: null });
    expect(after.runs).toMatchObject([{ state: "FAILED", leaseExpiresAt: null }]);
    expect(after.events.at(-1)).toMatchObject({ type: "CAPABILITY_ACTION", payload: { checked_at: "completion" } });
  });

  test.each([
    ["REVISE", "QUEUED"],
    ["CANCEL", "CANCELLED"],
  ] as const)("%s asks for no capability", async (decision, state) => {
    const taken = await awaitingUser(engine);
    expect(ok(await withoutCapabilities(engine, () => review(engine, taken, decision))).state).toBe(state);
  });
});

/** A job of a workspace of its own, taken by a claim. */
async function queue(): Promise<{ readonly workspaceId: string; readonly jobId: string }> {
  const workspaceId = randomUUID();
  const { job } = ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit({ maxAttempts: 1 })));
  return { workspaceId, jobId: job.jobId };
}

async function next(workspaceId: string, more: Partial<ClaimAiJobs> = {}, on = engine): Promise<Claim | undefined> {
  const wanted = { workerId: "worker-1", leaseSeconds: 30, workspaceId, jobKinds: null, limit: 1, ...more };
  return (await claimAiJobs(on, wanted)).claims[0];
}

function held(taken: Claim | undefined): Claim {
  if (!taken) throw new Error("Nothing was claimed.");
  return taken;
}

/** Brings what a worker holds before a person, who sends it back. */
async function sendBack(on: EngineContext, taken: Claim): Promise<void> {
  ok(await verdict(on, await askFor(on, taken), "NEEDS_USER"));
  ok(await review(on, taken, "REVISE"));
}

describe("a job that was sent back", () => {
  test("is kept for the worker that had it, and given to it at its next claim", async () => {
    const { workspaceId, jobId } = await queue();
    const first = held(await next(workspaceId, { workerId: "worker-7" }));
    await sendBack(engine, first);
    expect((await records(first)).job).toMatchObject({ preferredWorkerId: "worker-7", unchargedAttempts: 1 });
    expect(await next(workspaceId, { workerId: "worker-8" })).toBeUndefined();
    const second = held(await next(workspaceId, { workerId: "worker-7" }));
    expect(second).toMatchObject({ job: { jobId, attempt: 2 }, run: { attempt: 2, state: "RUNNING" } });
    expect((await records(second)).job).toMatchObject({ preferredWorkerId: null, preferredUntil: null, issues: [] });
    // It goes on from the start, and its first run stays ended.
    expect(reportOutcome(await SORTS[0]?.send(engine, first))).toBe("LEASE_LOST STOP_LEASE_LOST");
    const [done] = await completeWorkflows(engine, [aCompletion(second)]);
    expect(done).toMatchObject({ job: { state: "COMPLETED" } });
  });

  test("is given to anybody when it was kept for long enough", async () => {
    const soon = engineOn(db, { revisePreferenceMs: 0 });
    const { workspaceId, jobId } = await queue();
    await sendBack(soon, held(await next(workspaceId, { workerId: "worker-7" }, soon)));
    expect(held(await next(workspaceId, { workerId: "worker-8" }, soon)).job.jobId).toBe(jobId);
  });

  test("may be taken by its name at once, by anybody", async () => {
    const taken = await awaitingUser(engine);
    ok(await review(engine, taken, "REVISE"));
    expect(await claim(engine, taken.job.jobId, "worker-9")).toMatchObject({ run: { attempt: 2 } });
  });

  test.each([
    ["fails", 1, "FAILED"],
    ["is tried again", 2, "QUEUED"],
  ] as const)("twice %s where its next attempt fails, of %i that are charged", async (_, maxAttempts, state) => {
    let taken = await started(engine, { maxAttempts });
    for (let times = 1; times <= 2; times++) {
      await sendBack(engine, taken);
      taken = await claim(engine, taken.job.jobId);
    }
    expect(taken.job).toMatchObject({ attempt: 3, unchargedAttempts: 2 });
    ok(await failWorkflow(engine, aFailure(taken)));
    const { job } = await records(taken);
    expect(job.state).toBe(state);
    // The first failure waits as the first failure does, however often it was sent back.
    const wait = job.runAfter === null ? 0 : job.runAfter.getTime() - job.updatedAt.getTime();
    expect(wait).toBeLessThanOrEqual(engine.backoff.firstMs);
  });

  test("whose next worker dies is recovered as often as its attempts are charged", async () => {
    const taken = await started(engine, { maxAttempts: 1 });
    await sendBack(engine, taken);
    await expireLease(db, await claim(engine, taken.job.jobId));
    await recoverStalledRuns(engine);
    expect((await records(taken)).job).toMatchObject({ state: "FAILED", statusReason: "lease_expired", attempt: 2 });
  });
});

describe("a decision is refused, and changes nothing,", () => {
  const elsewhere = [
    ["queued", async () => ({ job: await submitted(engine) })],
    ["running", () => started(engine)],
    ["awaiting_validation", () => awaitingValidation(engine)],
    ["completed", async () => ({ job: await bringTo(engine, (await started(engine)).job.jobId, "COMPLETED") })],
    ["failed", async () => ({ job: await bringTo(engine, (await submitted(engine)).jobId, "FAILED") })],
    ["cancelled", async () => ({ job: await bringTo(engine, (await submitted(engine)).jobId, "CANCELLED") })],
  ] as const;

  test.each(elsewhere)("where the job is %s, by a name that tells from where to where", async (state, make) => {
    const { job } = await make();
    const before = await records({ job });
    const to = {
      ACCEPT: "COMPLETED",
      ACCEPT_WITH_ISSUES: "COMPLETED_WITH_ISSUES",
      REVISE: "QUEUED",
      CANCEL: "CANCELLED",
    };
    for (const decision of DECISIONS) {
      const made = { jobId: job.jobId, decision, comment: null };
      const answer = await resolveUserReview(engine, job.workspaceId, SOMEBODY, made);
      expect(answer).toBeInstanceOf(IllegalTransitionError);
      expect(answer).toMatchObject({ from: state.toUpperCase(), to: to[decision], directive: null });
    }
    expect(await records({ job })).toEqual(before);
  });

  test("where the job is poisoned, is of another workspace, or is not there", async () => {
    const poisoned = await awaitingUser(engine);
    await poisonJob(engine, WORKSPACE, poisoned.job.jobId, FOUND);
    const before = await records(poisoned);
    for (const decision of DECISIONS) {
      expect(await review(engine, poisoned, decision)).toBeInstanceOf(JobPoisonedError);
    }
    expect(await records(poisoned)).toEqual(before);
    const { jobId } = (await awaitingUser(engine)).job;
    for (const [workspaceId, id] of [
      [randomUUID(), jobId],
      [poisoned.job.workspaceId, randomUUID()],
    ] as const) {
      const made = { jobId: id, decision: "ACCEPT", comment: null } as const;
      expect(await resolveUserReview(engine, workspaceId, SOMEBODY, made)).toBeInstanceOf(NotFoundError);
    }
  });
});
