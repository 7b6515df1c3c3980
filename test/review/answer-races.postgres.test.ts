import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { JobState } from "../../src/db/generated/client/enums.ts";
import type { EngineContext } from "../../src/engine.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { failUnansweredJobs } from "../../src/review/user-input-timeout.ts";
import { resolveUserReview } from "../../src/review/user-review.ts";
import { requestUserInput } from "../../src/runs/ask.ts";
import { wakeParents } from "../../src/runs/children.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { anotherClient } from "../support/interrupt.ts";
import { FOUND } from "../support/jobs.ts";
import { expectSound, type Records, recordsOf } from "../support/records.ts";
import { aGiveBack, aQuestion, releaseWorkflow, reportOutcome } from "../support/reports.ts";

/** What people, workers and sweeps do to a job that waits, at two servers at once (section 13). */

const ROUNDS = 100;

let db: TestDatabase;
let other: PrismaClient;
let one: EngineContext;
let two: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  other = anotherClient(db.url, 5);
  one = engineOn(db);
  two = engineOn({ ...db, prisma: other });
});
afterAll(async () => {
  await other.$disconnect();
  await db.close();
});

const records = (jobId: string) => recordsOf(other, jobId);
type Act = (claim: Claim) => Promise<unknown>;

const answer: Act = ({ job: { jobId } }) =>
  resolveUserReview(one, WORKSPACE, SOMEBODY, { jobId, decision: "ANSWER", comment: null, answer: 1 });
const cancel: Act = ({ job: { jobId } }) => cancelAiJob(two, WORKSPACE, SOMEBODY, { jobId, reason: "enough" });
const poison: Act = ({ job: { jobId } }) => poisonJob(two, WORKSPACE, jobId, FOUND);

/** A job that waits for an answer. */
async function asking(): Promise<Claim> {
  const held = await started(one);
  ok(await requestUserInput(one, aQuestion(held)));
  return held;
}

interface Round {
  /** What came of each of the two. */
  readonly outcomes: readonly [string, string];
  readonly after: Records;
}

/** Does both to one job after another: either begins first in turns, and the other one a little later each time. */
async function race(make: (round: number) => Promise<Claim>, first: Act, second: Act): Promise<readonly Round[]> {
  const done: Round[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const held = await make(round);
    const laterMs = Math.floor(round / 2) % 10;
    const begin = async (act: Act, waitMs: number) => {
      await setTimeout(waitMs);
      return reportOutcome(await act(held));
    };
    const [ofFirst, ofSecond] = round % 2 === 0 ? [0, laterMs] : [laterMs, 0];
    const outcomes = await Promise.all([begin(first, ofFirst), begin(second, ofSecond)]);
    const after = await records(held.job.jobId);
    expectSound(after);
    done.push({ outcomes, after });
  }
  return done;
}

/** Sweeps again and again until a job is in another state: on a busy machine one sweep may take longer than what it waits for. */
async function whileIn(state: JobState, { job: { jobId } }: Claim, sweep: () => Promise<unknown>): Promise<void> {
  do await sweep();
  while ((await other.aiJob.findUniqueOrThrow({ where: { jobId } })).state === state);
}

/** Expects that the answer is there exactly where it was taken, and that it was taken at times, and at times not. */
function expectAnswersWhereTaken(rounds: readonly Round[]): void {
  const taken = rounds.map(({ outcomes: [ofAnswer] }) => ofAnswer === "done");
  expect(rounds.map(({ after }) => after.questions[0]?.answeredAt !== null)).toEqual(taken);
  expect(new Set(taken)).toEqual(new Set([true, false]));
}

describe("an answer", () => {
  test("and a cancellation: the job is cancelled in the end, and the answer is there exactly where it was taken", async () => {
    const rounds = await race(asking, answer, cancel);
    expect(new Set(rounds.map(({ after }) => after.job.state))).toEqual(new Set(["CANCELLED"]));
    expectAnswersWhereTaken(rounds);
  });

  test("and a poisoning: the job is poisoned in the end, and the answer is there exactly where it was taken", async () => {
    const rounds = await race(asking, answer, poison);
    expect(new Set(rounds.map(({ after }) => after.job.state))).toEqual(new Set(["POISONED"]));
    expectAnswersWhereTaken(rounds);
  });

  test("and the sweep of its time limit: it goes on with the answer, or fails without", async () => {
    const limitMs = 150;
    const limited = async (round: number): Promise<Claim> => {
      const held = await started(one);
      const expiresAt = new Date(Date.now() + limitMs);
      const asked = await requestUserInput(one, aQuestion(held, { expiresAt }));
      // On a slow machine the limit has passed before the question is there.
      if (!("request" in asked)) return limited(round);
      await setTimeout(Math.max(expiresAt.getTime() - Date.now() - (round % 10) * 12, 0));
      return held;
    };
    const sweep: Act = (held) => whileIn("AWAITING_USER", held, () => failUnansweredJobs(two));
    const rounds = await race(limited, answer, sweep);
    expectAnswersWhereTaken(rounds);
    for (const { outcomes, after } of rounds)
      expect(after.job.state).toBe(outcomes[0] === "done" ? "QUEUED" : "FAILED");
  });
});

test("a release and the recovery of its lease: the job is queued once, by the one or the other", async () => {
  const passing = async (round: number) => {
    const held = await started(one);
    const leftMs = (round % 10) * 5;
    await other.$executeRaw`
      UPDATE workflow_runs SET lease_expires_at = clock_timestamp() + make_interval(secs => ${leftMs / 1000})
      WHERE id = ${held.run.id}::uuid`;
    return held;
  };
  const release: Act = (held) => releaseWorkflow(one, aGiveBack(held));
  const recover: Act = (held) => whileIn("RUNNING", held, () => recoverStalledRuns(two));
  const rounds = await race(passing, release, recover);
  const reasons = rounds.map(({ outcomes: [ofRelease], after: { job, events } }) => {
    expect(job.state).toBe("QUEUED");
    expect(events.filter(({ state, version }) => state === "QUEUED" && version > 1)).toHaveLength(1);
    expect(job.statusReason).toBe(ofRelease === "done" ? "released" : "retry_scheduled");
    return job.statusReason;
  });
  expect(new Set(reasons).size).toBe(2);
});

describe("a parent that waits", () => {
  /** A parent that is running, with two children that have not ended. */
  async function family(): Promise<{ readonly held: Claim; readonly children: readonly string[] }> {
    const held = await started(one);
    const children = [];
    for (let child = 0; child < 2; child++)
      children.push((await submitted(one, { parentJobId: held.job.jobId })).jobId);
    return { held, children };
  }

  /** Each server looks at the parent that it was hinted at, when its transaction has committed. */
  function hinting(engine: EngineContext): {
    readonly engine: EngineContext;
    readonly idle: () => Promise<readonly number[]>;
  } {
    const looks: Promise<number>[] = [];
    const childrenEnded = (ids: readonly string[]) => {
      looks.push(wakeParents(engine, ids));
    };
    return { engine: { ...engine, childrenEnded }, idle: () => Promise.all(looks) };
  }

  const end = (engine: EngineContext, jobId: string) =>
    cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId, reason: "enough" });

  test("is woken once whatever the order of its release and its children's ends, and most often by a hint", async () => {
    let byHints = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const { held, children } = await family();
      const [first, second] = [hinting(one), hinting(two)];
      const [left = "", right = ""] = children;
      const work = [
        () => releaseWorkflow(first.engine, aGiveBack(held, { untilChildrenEnd: true })),
        () => end(first.engine, left),
        () => end(second.engine, right),
      ];
      const turned = [...work.slice(round % 3), ...work.slice(0, round % 3)];
      for (const result of await Promise.all(turned.map((begin) => begin()))) ok(result);
      const woken = await Promise.all([first.idle(), second.idle()]);
      byHints += woken.flat().reduce((sum, count) => sum + count, 0);
      // A look that met the parent locked passed it over: the sweep of 500 ms is for these.
      await wakeParents(two);
      const after = await records(held.job.jobId);
      expectSound(after);
      expect(after.job).toMatchObject({ state: "QUEUED", statusReason: "children_ended", waitsFor: null });
      expect(after.events.filter(({ payload }) => JSON.stringify(payload).includes("children_ended"))).toHaveLength(1);
    }
    expect(byHints).toBeGreaterThan(ROUNDS / 2);
  });

  test("and the poisoning of it or of a child: nothing is left waiting, and nobody waits in a circle", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { held, children } = await family();
      const [left = "", right = ""] = children;
      const poisoned = round % 2 === 0 ? held.job.jobId : left;
      ok(await releaseWorkflow(one, aGiveBack(held, { untilChildrenEnd: true })));
      const work = [
        () => end(one, left),
        () => end(two, right),
        () => poisonJob(one, WORKSPACE, poisoned, FOUND),
        () => wakeParents(two),
      ];
      await Promise.all((round % 4 < 2 ? work : work.toReversed()).map((begin) => begin()));
      await wakeParents(one);
      const after = await records(held.job.jobId);
      expectSound(after);
      expect(after.job.waitsFor).toBeNull();
      expect(after.job.state).toBe(round % 2 === 0 ? "POISONED" : "QUEUED");
    }
  });
});
