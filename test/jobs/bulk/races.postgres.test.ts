import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../../src/claims/acquire-lease.ts";
import type { PrismaClient } from "../../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../../src/engine.ts";
import { AppError, IllegalTransitionError, JobPoisonedError } from "../../../src/errors.ts";
import { cancelAiJobs, retryAiJobs } from "../../../src/jobs/bulk/action.ts";
import { tryLock } from "../../../src/jobs/bulk/items.ts";
import { resumeBulkActions } from "../../../src/jobs/bulk/shares.ts";
import { cancelAiJob } from "../../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../../src/jobs/metrics.ts";
import { retryAiJob } from "../../../src/jobs/retry.ts";
import { completeWorkflows } from "../../../src/runs/complete.ts";
import { poisonJob } from "../../../src/security/poison.ts";
import { leftBehind, queuedJobs, settledItems, tally } from "../../support/bulk.ts";
import { openTestDatabase, type TestDatabase } from "../../support/database.ts";
import { engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../../support/engine.ts";
import { anotherClient } from "../../support/interrupt.ts";
import { bringTo, FOUND, stall } from "../../support/jobs.ts";
import { expectSound, recordsOf, recordsOfAll } from "../../support/records.ts";

/** Bulk actions and retries that race others, on two servers: who loses gets a named error and has changed nothing. */

let db: TestDatabase;
let other: PrismaClient;
let engines: readonly [EngineContext, EngineContext];
beforeAll(async () => {
  db = await openTestDatabase();
  other = anotherClient(db.url, 5);
  engines = [engineOn(db), engineOn({ ...db, prisma: other })];
});
afterAll(async () => {
  await other.$disconnect();
  await db.close();
});

const ROUNDS = 60;
const LONG = { timeout: 60_000 };

/** A few turns of the event loop, another number in each round: who starts first does not settle who is first. */
async function rotation(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Two commands at once, each late by another number of turns in each round, each on the other server in turn. */
function race<A, B>(
  round: number,
  one: (engine: EngineContext) => Promise<A>,
  two: (engine: EngineContext) => Promise<B>,
): Promise<[A, B]> {
  const [mine, theirs] = round % 4 < 2 ? engines : [engines[1], engines[0]];
  const late = (round >> 2) % 8;
  return Promise.all([
    rotation(round % 2 === 0 ? 0 : late).then(() => one(mine)),
    rotation(round % 2 === 0 ? late : 0).then(() => two(theirs)),
  ]);
}

/** What a command was answered: `done`, or the error in a few words. */
function told(result: unknown): string {
  if (result instanceof IllegalTransitionError) return `${result.from} -> ${result.to}`;
  return result instanceof AppError ? result.code : "done";
}

const cancelOne = (jobId: string) => (engine: EngineContext) =>
  cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId, reason: "enough" });
const retryOne = (jobId: string) => (engine: EngineContext) => retryAiJob(engine, WORKSPACE, SOMEBODY, jobId);
const poisonOne = (jobId: string) => (engine: EngineContext) => poisonJob(engine, WORKSPACE, jobId, FOUND);

async function failed(): Promise<string> {
  return (await bringTo(engines[0], (await started(engines[0])).job.jobId, "FAILED")).jobId;
}
async function stalled(): Promise<string> {
  return (await stall(engines[0], await started(engines[0]))).jobId;
}

describe("a retry", () => {
  /** What both were told, and how the job then is: whatever else would mean that both had won, or neither. */
  const races = [
    {
      name: "of a failed job races its cancellation",
      make: failed,
      rival: cancelOne,
      // Nobody cancels a failed job: a cancellation that is first is refused, and one that is second finds it queued.
      possible: ["done, FAILED -> CANCELLED: QUEUED 4", "done, done: CANCELLED 5"],
    },
    {
      name: "of a stalled job races its cancellation",
      make: stalled,
      rival: cancelOne,
      possible: ["CANCELLED -> QUEUED, done: CANCELLED 4", "done, done: CANCELLED 5"],
    },
    {
      name: "races a retry of the same failed job",
      make: failed,
      rival: retryOne,
      possible: ["QUEUED -> QUEUED, done: QUEUED 4", "done, QUEUED -> QUEUED: QUEUED 4"],
    },
    {
      name: "races a poisoning of the same failed job",
      make: failed,
      rival: poisonOne,
      possible: ["JOB_POISONED, done: POISONED 4", "done, done: POISONED 5"],
    },
  ] as const;

  test.each(races)(`$name, ${ROUNDS} times`, LONG, async ({ make, rival, possible }) => {
    const seen = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const jobId = await make();
      const [one, two] = await race<unknown, unknown>(round, retryOne(jobId), rival(jobId));
      const after = await recordsOf(other, jobId);
      expectSound(after);
      seen.add(`${told(one)}, ${told(two)}: ${after.job.state} ${after.job.version}`);
    }
    // Each of them really happened: a test in which one of the two is always first shows no race.
    expect([...seen].toSorted()).toEqual([...possible].toSorted());
  });
});

describe("a bulk action", () => {
  test("that another server is at is left to it, without a wait", LONG, async () => {
    // What other tests have left.
    await resumeBulkActions(engines[0], 0);
    const filter = { protocolId: "taken" };
    await queuedJobs(engines[0], 2, filter);
    const id = await leftBehind(other, { filter });
    await other.$transaction(async (tx) => {
      expect(await tryLock(tx, id)).toBe(true);
      expect(await resumeBulkActions(engines[0], 0)).toBe(0);
    });
    expect(await tally(other, { id })).toEqual({ pending: 2 });
    expect(await resumeBulkActions(engines[0], 0)).toBe(1);
    expect(await tally(other, { id })).toEqual({ changed: 2 });
  });

  test("that two servers do at once does each item once, and neither waits for the other for good", LONG, async () => {
    for (let round = 0; round < 6; round++) {
      const filter = { protocolId: `both-${round}` };
      const jobIds = await queuedJobs(engines[0], 150, filter);
      const id = await leftBehind(other, { filter });
      db.statements();
      await race(
        round,
        (engine) => resumeBulkActions(engine, 0),
        (engine) => resumeBulkActions(engine, 0),
      );
      expect(db.statements().filter((sql) => sql.startsWith("ROLLBACK"))).toEqual([]);
      expect(await tally(other, { id })).toEqual({ changed: 150 });
      expect(await other.bulkAction.findUniqueOrThrow({ where: { id } })).toMatchObject({
        finishedAt: expect.any(Date),
      });
      for (const records of (await recordsOfAll(other, jobIds)).values()) {
        expectSound(records);
        expect(records.job).toMatchObject({ state: "CANCELLED", version: 2 });
      }
    }
  });

  test(
    "races another one over the same jobs: each job is cancelled by one of them, and the other is told",
    LONG,
    async () => {
      for (let round = 0; round < 10; round++) {
        const filter = { protocolId: `same-${round}`, states: ["QUEUED"] } as const;
        const jobIds = await queuedJobs(engines[0], 40, { protocolId: filter.protocolId });
        const input = { filter, reason: "enough", limit: 1000 };
        db.statements();
        const [mine, theirs] = await race(
          round,
          (engine) => cancelAiJobs(engine, WORKSPACE, SOMEBODY, input),
          (engine) => cancelAiJobs(engine, WORKSPACE, SOMEBODY, input),
        );
        expect(db.statements().filter((sql) => sql.startsWith("ROLLBACK"))).toEqual([]);
        const items = [...(await settledItems(other, ok(mine))), ...(await settledItems(other, ok(theirs)))];
        for (const [jobId, records] of await recordsOfAll(other, jobIds)) {
          expectSound(records);
          expect(records.job).toMatchObject({ state: "CANCELLED", version: 2 });
          const outcomes = items.filter((item) => item.jobId === jobId).map(({ outcome }) => outcome);
          expect(outcomes.filter((outcome) => outcome === "changed")).toHaveLength(1);
          const late = outcomes.filter((outcome) => outcome !== "changed");
          expect(late).toEqual(late.map(() => new IllegalTransitionError("CANCELLED", "CANCELLED")));
        }
      }
    },
  );

  test("races workers that complete: each job ends once, and the loser of each is told", LONG, async () => {
    for (let round = 0; round < 10; round++) {
      const protocolId = `workers-${round}`;
      const claims: Claim[] = [];
      for (let index = 0; index < 20; index++) claims.push(await started(engines[0], { protocolId }));
      const input = { filter: { protocolId, states: ["RUNNING"] as const }, reason: "enough", limit: 1000 };
      const complete = (engine: EngineContext) =>
        Promise.all(
          claims.toReversed().map(async ({ job, run, leaseToken }) => {
            const report = { workflowRunId: run.id, leaseToken, jobOutputs: { a: 1 }, writtenEntities: [], issues: [] };
            return [job.jobId, (await completeWorkflows(engine, [{ ...report, metrics: NO_METRICS }]))[0]] as const;
          }),
        );
      const [answer, results] = await race(
        round,
        (engine) => cancelAiJobs(engine, WORKSPACE, SOMEBODY, input),
        complete,
      );
      const items = new Map((await settledItems(other, ok(answer))).map(({ jobId, outcome }) => [jobId, outcome]));
      for (const [jobId, result] of results) {
        const records = await recordsOf(other, jobId);
        expectSound(records);
        expect(records.job.version).toBe(3);
        // Completed before the jobs were selected, it is none of them.
        const item = told(items.get(jobId) ?? new IllegalTransitionError("COMPLETED", "CANCELLED"));
        expect({ state: records.job.state, worker: told(result), item }).toEqual(
          records.job.state === "COMPLETED"
            ? { state: "COMPLETED", worker: "done", item: "COMPLETED -> CANCELLED" }
            : { state: "CANCELLED", worker: "CANCELLED -> COMPLETED", item: "done" },
        );
      }
    }
  });

  test("races poison: a job that was poisoned first is left, and its item says so", LONG, async () => {
    for (let round = 0; round < 20; round++) {
      const protocolId = `poison-${round}`;
      const { jobId } = await submitted(engines[0], { protocolId });
      await bringTo(engines[0], jobId, "FAILED");
      const input = { filter: { protocolId, states: ["FAILED", "POISONED"] as const }, limit: 10 };
      const [answer, poison] = await race(
        round,
        (engine) => retryAiJobs(engine, WORKSPACE, SOMEBODY, input),
        poisonOne(jobId),
      );
      expect(poison.action).toBe("POISONED");
      const [item] = await settledItems(other, ok(answer));
      const after = await recordsOf(other, jobId);
      expectSound(after);
      const refused = item?.outcome instanceof JobPoisonedError;
      expect(after.job).toMatchObject({ state: "POISONED", version: refused ? 3 : 4 });
    }
  });
});
