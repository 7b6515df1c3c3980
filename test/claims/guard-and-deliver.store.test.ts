import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { claimAiJobs } from "../../src/claims/claim.ts";
import type { Claimed } from "../../src/claims/request.ts";
import type { EngineContext } from "../../src/engine.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import type { Guard, GuardContent } from "../../src/security/guards/guard.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { raising, withFault } from "../support/faults.ts";
import { dueNow, expireLease, FOUND, HOSTILE } from "../support/jobs.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { reportOutcome, SORTS } from "../support/reports.ts";

/** Between lease and token a claim's inputs are guarded, outside of any transaction: what may happen meanwhile. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = (jobId: string) => recordsOf(db.prisma, jobId);

/** Jobs of a workspace of their own, with these texts as their inputs. */
async function queue(...texts: readonly (string | null)[]) {
  const workspaceId = randomUUID();
  const jobIds: string[] = [];
  for (const jobInputs of texts) {
    jobIds.push(ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit({ jobInputs }))).job.jobId);
  }
  return { workspaceId, jobIds };
}

function claim(workspaceId: string, on = engine): Promise<Claimed> {
  return claimAiJobs(on, { workerId: "worker-1", leaseSeconds: 30, workspaceId, jobKinds: null, limit: 10 });
}

const idsOf = ({ claims }: Claimed) => claims.map(({ job }) => job.jobId);

/** A guard that does something of the test's while it looks at a text, and then finds what the product's would. */
function engineThat(meanwhile: (content: GuardContent) => Promise<unknown>): EngineContext {
  const [injection] = engine.guards;
  if (!injection) throw new Error("There is a guard.");
  const guard: Guard = {
    name: injection.name,
    check: async (content) => {
      await meanwhile(content);
      return injection.check(content);
    },
  };
  return engineOn(db, { guards: [guard] });
}

describe("of several jobs, one", () => {
  test("that cannot be poisoned now is given to nobody, and the others are handed out", async () => {
    const { workspaceId, jobIds } = await queue("calm", HOSTILE, null);
    const [calm = "", hostile = "", empty = ""] = jobIds;
    const point = { at: "before the job's row is written", on: "ai_jobs", when: "BEFORE ROW" } as const;
    const fault = `IF NEW.state = 'poisoned' THEN ${await raising(db, "40001")}; END IF`;
    const claimed = await withFault(db, point, fault, () => claim(workspaceId));
    expect(idsOf(claimed).toSorted()).toEqual([calm, empty].toSorted());
    expect(claimed.poisoned).toEqual([]);
    for (const one of claimed.claims) expect(reportOutcome(await SORTS[0]?.send(engine, one))).toBe("done");

    // Nobody has its token: its lease runs out, and the next claim tries again.
    const { job, runs } = await records(hostile);
    expect(job).toMatchObject({ state: "RUNNING", attempt: 1 });
    for (const run of runs) await expireLease(db, { run });
    await recoverStalledRuns(engine);
    await dueNow(engine, hostile);
    expect((await claim(workspaceId)).poisoned).toMatchObject([{ jobId: hostile, state: "POISONED" }]);
    expectSound(await records(hostile));
  });

  test("that a guard cannot decide on is queued again for later, and the others are handed out", async () => {
    const { workspaceId, jobIds } = await queue("calm", "puzzling", null);
    const [calm = "", puzzling = "", empty = ""] = jobIds;
    const puzzled = engineThat(async ({ sources }) => {
      if (sources.some(({ value }) => value === "puzzling")) throw new Error("no idea");
    });
    const claimed = await claim(workspaceId, puzzled);
    expect(idsOf(claimed).toSorted()).toEqual([calm, empty].toSorted());
    const after = await records(puzzling);
    expectSound(after);
    expect(after.job).toMatchObject({ state: "QUEUED", statusReason: "retry_scheduled", attempt: 1 });
    expect(after.job.runAfter).not.toBeNull();
    expect(after.runs).toMatchObject([{ state: "FAILED", leaseExpiresAt: null }]);
    expect(after.events.map(({ type }) => type)).toEqual([
      "JOB_SUBMITTED",
      "STATE_CHANGED",
      "DIAGNOSTIC",
      "STATE_CHANGED",
    ]);
  });
});

describe("a job that, while it is guarded,", () => {
  test("is cancelled is handed out all the same, and its worker hears so at its first call", async () => {
    const { workspaceId, jobIds } = await queue("calm");
    const [jobId = ""] = jobIds;
    const cancelling = engineThat(() => cancelAiJob(engine, workspaceId, SOMEBODY, { jobId, reason: "enough" }));
    const { claims } = await claim(workspaceId, cancelling);
    const [one] = claims;
    if (!one) throw new Error("It was not handed out.");
    expect(reportOutcome(await SORTS[0]?.send(engine, one))).toBe("ILLEGAL_TRANSITION STOP_CANCELLED");
  });

  test("is cancelled, and found hostile, keeps the violation on record, and is not handed out", async () => {
    const { workspaceId, jobIds } = await queue(HOSTILE);
    const [jobId = ""] = jobIds;
    const cancelling = engineThat(() => cancelAiJob(engine, workspaceId, SOMEBODY, { jobId, reason: "enough" }));
    expect(await claim(workspaceId, cancelling)).toEqual({ claims: [], poisoned: [] });
    const { job, events } = await records(jobId);
    expect(job.state).toBe("CANCELLED");
    expect(events.at(-1)).toMatchObject({ type: "SECURITY_VIOLATION", payload: { action_taken: "recorded" } });
  });

  test("is poisoned by somebody else, and found hostile, was not stopped by this claim", async () => {
    const { workspaceId, jobIds } = await queue(HOSTILE);
    const [jobId = ""] = jobIds;
    const poisoning = engineThat(() => poisonJob(engine, workspaceId, jobId, FOUND));
    expect(await claim(workspaceId, poisoning)).toEqual({ claims: [], poisoned: [] });
    const after = await records(jobId);
    expectSound(after);
    expect(after.events.filter(({ type }) => type === "SECURITY_VIOLATION")).toHaveLength(1);
  });

  test("was taken from this claim by a sweep, and found hostile, is poisoned whoever holds it now", async () => {
    const { workspaceId, jobIds } = await queue(HOSTILE);
    const [jobId = ""] = jobIds;
    const late = engineThat(async () => {
      for (const run of (await records(jobId)).runs) await expireLease(db, { run });
      await recoverStalledRuns(engine);
    });
    expect(await claim(workspaceId, late)).toMatchObject({ claims: [], poisoned: [{ jobId }] });
    expect((await records(jobId)).runs).toMatchObject([{ state: "POISONED", leaseExpiresAt: null }]);
  });
});
