import { afterAll, beforeAll, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { startWorkflow } from "../../src/claims/start.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { metricsOf } from "../../src/db/metrics.ts";
import type { EngineContext } from "../../src/engine.ts";
import { AppError } from "../../src/errors.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { anotherClient } from "../support/interrupt.ts";
import { expireLease, FOUND } from "../support/jobs.ts";
import {
  expectPoisoned,
  expectSound,
  type Records,
  recordsOf,
  recordsOfAll,
  violationsIn,
} from "../support/records.ts";
import { failWorkflow } from "../support/reports.ts";

/** Poison beats every other report on the same job that has not committed before it (section 5). */

const ROUNDS = 200;
const METRICS = { ...NO_METRICS, inputTokens: 7, outputTokens: 5, durationMs: 90 };
const GROWN = { inputTokens: 7n, outputTokens: 5n, totalTokens: 12n, durationMs: 90n };

let database: TestDatabase;
let other: PrismaClient;
/** Two servers, as the database sees them: connections of their own. */
let engines: readonly [EngineContext, EngineContext];

beforeAll(async () => {
  database = await openTestDatabase();
  other = anotherClient(database.url, 5);
  engines = [engineOn(database), engineOn({ ...database, prisma: other })];
});
afterAll(async () => {
  await other.$disconnect();
  await database.close();
});

interface Rival {
  readonly name: string;
  /** Whether every node must have ended for it. */
  readonly needsNodesEnded?: boolean;
  readonly report: (engine: EngineContext, claim: Claim) => Promise<unknown>;
  /** What must be so just before, beside a worker that is busy with the job. */
  readonly prepare?: (claim: Claim) => Promise<void>;
  /** Whether a worker makes the call, and so is told what to do; left out: it does. */
  readonly isWorker?: boolean;
  /** What poison does where this report committed first. */
  readonly poisonIs: "POISONED" | "RECORDED";
  /** What the database holds where this report committed first, and poison after it. */
  readonly expectFirst: (after: Records, before: Records) => void;
}

const rivals: readonly Rival[] = [
  {
    name: "a failure that may be tried again",
    report: (engine, claim) => failWorkflow(engine, { ...proofOf(claim), ...failure, retryable: true }),
    poisonIs: "POISONED",
    expectFirst: (after, before) => expectFailedFirst(after, before, "QUEUED"),
  },
  {
    name: "a failure for good",
    report: (engine, claim) => failWorkflow(engine, { ...proofOf(claim), ...failure, retryable: false }),
    poisonIs: "POISONED",
    expectFirst: (after, before) => expectFailedFirst(after, before, "FAILED"),
  },
  {
    name: "a heartbeat",
    report: (engine, claim) => beat(engine, claim, NO_METRICS),
    poisonIs: "POISONED",
    expectFirst: (after, before) => {
      const lastHeartbeat = after.runs[0]?.lastHeartbeat ?? new Date(0);
      expectPoisoned(after, { ...before, runs: before.runs.map((run) => ({ ...run, lastHeartbeat })) });
    },
  },
  {
    name: "a heartbeat with metrics",
    report: (engine, claim) => beat(engine, claim, METRICS),
    poisonIs: "POISONED",
    expectFirst: (after, before) => {
      expectEvents(after, before, [
        { type: "METRICS_RECORDED", state: "RUNNING" },
        { type: "SECURITY_VIOLATION", state: "POISONED" },
      ]);
      expectStates(after, { job: "POISONED", run: "POISONED", openNode: "POISONED" });
      expect(after.job).toMatchObject(GROWN);
    },
  },
  {
    name: "a step",
    report: (engine, claim) => advanceWorkflow(engine, { ...aStep(claim, "rival"), metrics: METRICS }),
    poisonIs: "POISONED",
    expectFirst: (after, before) => {
      expectEvents(after, before, [
        { type: "NODE_CHANGED", state: "RUNNING" },
        { type: "SECURITY_VIOLATION", state: "POISONED" },
      ]);
      expectStates(after, { job: "POISONED", run: "POISONED", openNode: "POISONED" });
      expect(after.nodes).toHaveLength(before.nodes.length + 1);
      expect(after.nodes.at(-1)).toMatchObject({ nodeId: "rival", state: "POISONED" });
      expect(after.job).toMatchObject(GROWN);
    },
  },
  {
    name: "a completion",
    needsNodesEnded: true,
    report: async (engine, claim) => {
      const completion = { ...proofOf(claim), jobOutputs: { a: 1 }, writtenEntities: [], issues: [], metrics: METRICS };
      const [result] = await completeWorkflows(engine, [completion]);
      return result;
    },
    poisonIs: "RECORDED",
    expectFirst: (after, before) => {
      expectEvents(after, before, [
        { type: "STATE_CHANGED", state: "COMPLETED" },
        { type: "SECURITY_VIOLATION", state: "COMPLETED", previousState: "COMPLETED" },
      ]);
      expectStates(after, { job: "COMPLETED", run: "COMPLETED" });
      expect(after.job).toMatchObject({ ...GROWN, jobOutputs: { a: 1 }, statusReason: "completed" });
      expect(after.nodes).toEqual(before.nodes);
    },
  },
  {
    name: "a cancellation",
    report: (engine, { job }) => cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId: job.jobId, reason: "enough" }),
    isWorker: false,
    poisonIs: "RECORDED",
    expectFirst: (after, before) => {
      expectEvents(after, before, [
        { type: "STATE_CHANGED", state: "CANCELLED" },
        { type: "SECURITY_VIOLATION", state: "CANCELLED", previousState: "CANCELLED" },
      ]);
      expectStates(after, { job: "CANCELLED", run: "CANCELLED", openNode: "CANCELLED" });
      expect(after.job).toMatchObject({ ...metricsOf(before.job), jobOutputs: null, statusReason: "cancelled" });
    },
  },
  {
    name: "a sweep that takes the run from a dead worker",
    prepare: (claim) => expireLease(database, claim),
    // A sweep has nobody to tell: it finds nothing to recover.
    report: async (engine) => ((await recoverStalledRuns(engine)) === 1 ? "done" : "JOB_POISONED STOP_POISONED"),
    poisonIs: "POISONED",
    expectFirst: (after, before) => {
      expectEvents(after, before, [
        { type: "WORKFLOW_RECOVERY", state: "STALLED" },
        { type: "STATE_CHANGED", state: "QUEUED" },
        { type: "SECURITY_VIOLATION", state: "POISONED", previousState: "QUEUED" },
      ]);
      expectStates(after, { job: "POISONED", run: "POISONED", openNode: "STALLED" });
    },
  },
];

const failure = { errorMessage: "out of memory", metrics: METRICS };

function proofOf({ run, leaseToken }: Claim) {
  return { workflowRunId: run.id, leaseToken };
}

async function beat(engine: EngineContext, claim: Claim, metrics: typeof METRICS): Promise<unknown> {
  const [answer] = await heartbeatWorkflows(engine, [{ ...proofOf(claim), leaseSeconds: 60, metrics }]);
  return answer?.directive === "CONTINUE" ? answer : answer?.error;
}

function expectEvents(after: Records, before: Records, expected: readonly object[]): void {
  expect(after.events.slice(0, before.events.length)).toEqual(before.events);
  expect(after.events.slice(before.events.length)).toMatchObject(expected);
}

function expectStates(after: Records, states: { job: string; run: string; openNode?: string }): void {
  expect(after.job.state).toBe(states.job);
  expect(after.runs).toMatchObject([{ state: states.run, leaseExpiresAt: null }]);
  expect(after.nodes.map(({ state }) => state).filter((state) => state === "RUNNING")).toEqual([]);
  expect(after.nodes[0]?.state).toBe("COMPLETED");
  expect(after.nodes[1]?.state).toBe(states.openNode ?? "COMPLETED");
}

function expectFailedFirst(after: Records, before: Records, next: "QUEUED" | "FAILED"): void {
  expectEvents(after, before, [
    { type: "STATE_CHANGED", state: next },
    { type: "SECURITY_VIOLATION", state: "POISONED", previousState: next },
  ]);
  // The run had ended by then: poison reaches what is active or stalled, and the job.
  expectStates(after, { job: "POISONED", run: "FAILED", openNode: "FAILED" });
  expect(after.job).toMatchObject(GROWN);
}

/** Jobs that a worker is busy with: one node that has ended, and one that has not unless it must. */
async function busyJobs(count: number, nodesEnded: boolean): Promise<readonly Claim[]> {
  const claims: Claim[] = [];
  let left = count;
  const lane = async (engine: EngineContext) => {
    while (left-- > 0) claims.push(await started(engine));
  };
  await Promise.all(engines.flatMap((engine) => [lane(engine), lane(engine)]));
  const runIds = claims.map(({ run }) => run.id);
  await database.prisma.$executeRaw`
    INSERT INTO node_executions (id, workspace_id, workflow_run_id, node_id, node_type, sequence, state, finished_at)
    SELECT gen_random_uuid(), workspace_id, id, 'node-' || sequence, 'tool', sequence,
      CASE WHEN sequence = 1 OR ${nodesEnded} THEN 'completed' ELSE 'running' END::"JobState",
      CASE WHEN sequence = 1 OR ${nodesEnded} THEN now() END
    FROM workflow_runs, generate_series(1, 2) AS sequence WHERE id = ANY(${runIds}::uuid[])`;
  return claims;
}

/** A few turns of the event loop, another number in each round: who starts first does not settle who is first. */
async function rotation(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function told(result: unknown): string {
  if (typeof result === "string") return result;
  if (!(result instanceof AppError)) return "done";
  return result.directive === null ? result.code : `${result.code} ${result.directive}`;
}

interface Round {
  readonly jobId: string;
  /** What the poisoning was answered, and what the other report was told. */
  readonly action: string;
  readonly told: string;
}

/** Who committed first, and that everything agrees with it: both answers, and all that the database holds. */
function judge(round: Round, rival: Rival, after: Records, before: Records): "poison" | "rival" {
  const rivalWon = round.told === "done";
  const action = rivalWon ? rival.poisonIs : "POISONED";
  const refused = rival.isWorker === false ? "JOB_POISONED" : "JOB_POISONED STOP_POISONED";
  expect(round).toMatchObject({ action, told: rivalWon ? "done" : refused });
  expectSound(after);
  expect(violationsIn(after).map(({ payload }) => payload)).toMatchObject([{ action_taken: action.toLowerCase() }]);
  // Where poison won, to the last column: nothing of the losing report was kept.
  const expectKept = rivalWon ? rival.expectFirst : expectPoisoned;
  expectKept(after, before);
  return rivalWon ? "rival" : "poison";
}

test.each(rivals)("poison races $name, 200 times", { timeout: 60_000 }, async (rival) => {
  const claims = await busyJobs(ROUNDS, rival.needsNodesEnded === true);
  const jobIds = claims.map(({ job }) => job.jobId);
  const befores = await recordsOfAll(database.prisma, jobIds);

  const rounds: Round[] = [];
  for (const [round, claim] of claims.entries()) {
    const { jobId } = claim.job;
    await rival.prepare?.(claim);
    const [mine, theirs] = round % 4 < 2 ? engines : [engines[1], engines[0]];
    const poisonStarts = round % 2 === 0;
    const late = rotation((round >> 2) % 8);
    const [outcome, result] = await Promise.all([
      (poisonStarts ? Promise.resolve() : late).then(() => poisonJob(mine, WORKSPACE, jobId, FOUND)),
      (poisonStarts ? late : Promise.resolve()).then(() => rival.report(theirs, claim)),
    ]);
    rounds.push({ jobId, action: outcome.action, told: told(result) });
  }

  const afters = await recordsOfAll(other, jobIds);
  const winners = { poison: 0, rival: 0 };
  for (const round of rounds) {
    const before = befores.get(round.jobId);
    const after = afters.get(round.jobId);
    if (!before || !after) throw new Error("A job was lost.");
    winners[judge(round, rival, after, before)] += 1;
  }
  // Both really happened; a test in which one of them always wins shows no race.
  expect(winners.poison).toBeGreaterThan(0);
  expect(winners.rival).toBeGreaterThan(0);
});

test("of 20 reports at once one poisons, and the others are told that it is poisoned already", async () => {
  for (let round = 0; round < 5; round++) {
    const { jobId } = (await started(engines[0])).job;
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, index) => poisonJob(engines[index % 2 === 0 ? 0 : 1], WORKSPACE, jobId, FOUND)),
    );
    const actions = outcomes.map(({ action }) => action).toSorted();
    expect(actions).toEqual([...Array.from({ length: 19 }, () => "ALREADY_POISONED"), "POISONED"]);
    const after = await recordsOf(database.prisma, jobId);
    expectSound(after);
    expect(violationsIn(after)).toHaveLength(1);
    // Everybody is given the one event that there is.
    const events = outcomes.map((outcome) => ("event" in outcome ? outcome.event.eventId : "none"));
    expect(new Set(events)).toEqual(new Set([after.events.at(-1)?.eventId]));
  }
});

test("poison and a start of the same job: a run that was made is poisoned, or none was made", async () => {
  const outcomes = { started: 0, refused: 0 };
  for (let round = 0; round < 40; round++) {
    const { jobId } = await submitted(engines[0]);
    const start = () => startWorkflow(engines[1], WORKSPACE, { jobId, workerId: "worker-1", leaseSeconds: 30 });
    const [poison, result] = await Promise.all(
      round % 2 === 0
        ? [poisonJob(engines[0], WORKSPACE, jobId, FOUND), start()]
        : [rotation(round % 6).then(() => poisonJob(engines[0], WORKSPACE, jobId, FOUND)), start()],
    );
    expect(poison.action).toBe("POISONED");
    const after = await recordsOf(database.prisma, jobId);
    expectSound(after);
    expect(after.job.state).toBe("POISONED");
    const word = told(result);
    outcomes[word === "done" ? "started" : "refused"] += 1;
    expect(after.runs.map(({ state }) => state)).toEqual(word === "done" ? ["POISONED"] : []);
  }
  expect(outcomes.started).toBeGreaterThan(0);
  expect(outcomes.refused).toBeGreaterThan(0);
});
