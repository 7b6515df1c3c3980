import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { EngineContext } from "../../src/engine.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, SOMEBODY, started, WORKSPACE } from "../support/engine.ts";
import { claim, dueNow, expireLease, FOUND } from "../support/jobs.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { aCompletion, aFailure, aHeartbeat, reportOutcome, SORTS, type Sort } from "../support/reports.ts";

/** `reportId` makes a report count once, however often it is sent (section 6). */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const METRICS = { ...NO_METRICS, inputTokens: 7, outputTokens: 5, durationMs: 90 };
const records = ({ job }: Claim) => recordsOf(db.prisma, job.jobId);

async function held({ prepare }: Sort): Promise<Claim> {
  const taken = await started(engine, { maxAttempts: 5 });
  await prepare?.(engine, taken);
  return taken;
}

/** All but the moments to which a heartbeat extends a lease, however often it is sent. */
async function kept(taken: Claim) {
  const { job, runs, nodes, events } = await records(taken);
  return { job, nodes, events, runs: runs.map((run) => ({ ...run, leaseExpiresAt: null, lastHeartbeat: null })) };
}

describe.each(SORTS)("$report with a reportId", (sort) => {
  const { send, to } = sort;

  test("sent again counts once, and is answered as it was", async () => {
    const taken = await held(sort);
    const report = { reportId: randomUUID(), metrics: METRICS };
    const first = await send(engine, taken, report);
    const after = await kept(taken);
    expect(reportOutcome(first)).toBe("done");
    expect(after.job.totalTokens).toBe(12n);
    for (let times = 0; times < 3; times++) {
      const again = await send(engine, taken, report);
      expect(shown(again)).toEqual(shown(first));
      expect(await kept(taken)).toEqual(after);
    }
    expectSound(await records(taken));
  });

  test("sent ten times at once counts once, and is answered ten times", async () => {
    const taken = await held(sort);
    const before = await records(taken);
    const report = { reportId: randomUUID(), metrics: METRICS };
    const answers = await Promise.all(Array.from({ length: 10 }, () => send(engine, taken, report)));
    expect(answers.map(reportOutcome)).toEqual(Array.from({ length: 10 }, () => "done"));
    expect(new Set(answers.map((answer) => JSON.stringify(shown(answer)))).size).toBe(1);
    const after = await records(taken);
    expectSound(after);
    expect(after.job).toMatchObject({ totalTokens: 12n, version: before.job.version + 1 });
  });

  test("of another run is another report", async () => {
    const report = { reportId: randomUUID(), metrics: METRICS };
    for (const taken of [await held(sort), await held(sort)]) {
      expect(reportOutcome(await send(engine, taken, report))).toBe("done");
      expect((await records(taken)).job.totalTokens).toBe(12n);
    }
  });

  test("with another content is refused by its id, and changes nothing", async () => {
    const taken = await held(sort);
    const reportId = randomUUID();
    await heartbeatWorkflows(engine, [aHeartbeat(taken, { reportId, metrics: METRICS })]);
    const before = await kept(taken);
    const answer = await send(engine, taken, { reportId, metrics: { ...METRICS, inputTokens: 8 } });
    expect(answer).toMatchObject({ code: "INVALID_INPUT", inputPath: expect.arrayContaining(["reportId"]) });
    expect(await kept(taken)).toEqual(before);
  });

  test("with another token is a lease that is not held: it tells nobody that it was made", async () => {
    const taken = await held(sort);
    const report = { reportId: randomUUID(), metrics: METRICS };
    await send(engine, taken, report);
    const before = await records(taken);
    const leaseToken = randomBytes(32).toString("base64url");
    expect(await send(engine, taken, { ...report, leaseToken })).toMatchObject({ code: "LEASE_LOST" });
    expect(await records(taken)).toEqual(before);
  });

  test("sent again for a job that was poisoned since hears so", async () => {
    const taken = await held(sort);
    const report = { reportId: randomUUID(), metrics: METRICS };
    await send(engine, taken, report);
    // One that has completed stands, and the violation is recorded only: what it reported is told once more.
    const { action } = await poisonJob(engine, WORKSPACE, taken.job.jobId, FOUND);
    const before = await records(taken);
    const answer = reportOutcome(await send(engine, taken, report));
    expect(answer).toBe(action === "RECORDED" ? "done" : "JOB_POISONED STOP_POISONED");
    expect(await records(taken)).toEqual(before);
  });

  test("that another report has, for a job that was cancelled, hears to stop first", async () => {
    const taken = await held(sort);
    const reportId = randomUUID();
    await heartbeatWorkflows(engine, [aHeartbeat(taken, { reportId, leaseSeconds: 61 })]);
    ok(await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId: taken.job.jobId, reason: "enough" }));
    const before = await records(taken);
    const answer = await send(engine, taken, { reportId, metrics: METRICS });
    expect(answer).toMatchObject({ code: "ILLEGAL_TRANSITION", from: "CANCELLED", directive: "STOP_CANCELLED", to });
    expect(await records(taken)).toEqual(before);
  });
});

/** What a worker sees of an answer, but for the end of a lease that each heartbeat renews. */
function shown(answer: unknown): unknown {
  if (typeof answer !== "object" || answer === null) return answer;
  if ("directive" in answer) return { ...answer, leaseExpiresAt: null };
  const { job, run, node } = { job: null, run: null, node: null, ...answer };
  return { job: stateOf(job), run: stateOf(run), node: stateOf(node) };
}

function stateOf(record: object | null) {
  const { id, jobId, state, version, sequence } = {
    id: null,
    jobId: null,
    state: null,
    version: null,
    sequence: null,
    ...record,
  };
  return { id, jobId, state, version, sequence };
}

describe("a report without a reportId", () => {
  test("counts as often as it is sent", async () => {
    const taken = await started(engine);
    for (let times = 0; times < 3; times++) await heartbeatWorkflows(engine, [aHeartbeat(taken, { metrics: METRICS })]);
    expect((await records(taken)).job.totalTokens).toBe(36n);
    expect(await db.prisma.workerReport.count({ where: { workflowRunId: taken.run.id } })).toBe(0);
  });
});

describe("a report of an attempt that is over", () => {
  test("that failed by it is answered as it was, also when another worker has the job", async () => {
    const taken = await started(engine, { maxAttempts: 5 });
    const failure = aFailure(taken, { reportId: randomUUID() });
    const [sort] = SORTS.filter(({ report }) => report === "a failure that is tried again");
    await sort?.send(engine, taken, failure);
    await dueNow(engine, taken.job.jobId);
    await claim(engine, taken.job.jobId, "worker-2");
    const before = await records(taken);
    expect(await sort?.send(engine, taken, failure)).toMatchObject({ run: { id: taken.run.id, state: "FAILED" } });
    expect(await records(taken)).toEqual(before);
  });

  test("that was lost, and not kept before it was, is not kept after it, either", async () => {
    const taken = await started(engine);
    const reportId = randomUUID();
    await expireLease(db, taken);
    for (const { send } of SORTS) {
      expect(await send(engine, taken, { reportId, metrics: METRICS })).toMatchObject({ code: "LEASE_LOST" });
    }
    expect(await db.prisma.workerReport.count({ where: { reportId } })).toBe(0);
    expect((await records(taken)).job.totalTokens).toBe(0n);
  });
});

describe("a batch", () => {
  test("of which some were made before counts the others, each in its place", async () => {
    const [one, two, three] = [await started(engine), await started(engine), await started(engine)];
    const [first, second, third] = [one, two, three].map((taken) =>
      aCompletion(taken, { reportId: randomUUID(), metrics: METRICS }),
    );
    if (!first || !second || !third) throw new Error("There are three.");
    await completeWorkflows(engine, [second]);
    const changed = { ...third, reportId: randomUUID() };
    await heartbeatWorkflows(engine, [aHeartbeat(three, { reportId: changed.reportId })]);
    expect(await completeWorkflows(engine, [first, second, changed])).toMatchObject([
      { job: { jobId: one.job.jobId, state: "COMPLETED" } },
      { job: { jobId: two.job.jobId, state: "COMPLETED" } },
      { code: "INVALID_INPUT", inputPath: ["input", "completions", "2", "reportId"] },
    ]);
    for (const taken of [one, two]) {
      expect((await records(taken)).job).toMatchObject({ totalTokens: 12n, version: 3 });
    }
    expect((await records(three)).job).toMatchObject({ state: "RUNNING", totalTokens: 0n });
  });

  const batches = [
    {
      of: "heartbeats",
      send: (claims: readonly Claim[], reportId: string) =>
        heartbeatWorkflows(
          engine,
          claims.map((taken) => aHeartbeat(taken, { reportId, metrics: METRICS })),
        ),
    },
    {
      of: "completions",
      send: (claims: readonly Claim[], reportId: string) =>
        completeWorkflows(
          engine,
          claims.map((taken) => aCompletion(taken, { reportId, metrics: METRICS })),
        ),
    },
  ];

  test.each(batches)("of $of takes as many statements for 40 reports as for one, new or repeated", async ({ send }) => {
    const reportId = randomUUID();
    const statementsOf = async (claims: readonly Claim[]) => {
      db.statements();
      for (const answer of await send(claims, reportId)) expect(reportOutcome(answer)).toBe("done");
      return db.statements().length;
    };
    const one = await started(engine);
    const forOne = await statementsOf([one]);
    const forOneAgain = await statementsOf([one]);
    expect(forOneAgain).toBeLessThanOrEqual(forOne);
    const claims: Claim[] = [];
    for (let count = 0; count < 40; count++) claims.push(await started(engine));
    expect(await statementsOf(claims)).toBe(forOne);
    expect(await statementsOf(claims)).toBe(forOneAgain);
  });
});
