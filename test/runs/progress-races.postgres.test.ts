import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../src/engine.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { recordProgress } from "../../src/runs/record-progress.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, started } from "../support/engine.ts";
import { anotherClient } from "../support/interrupt.ts";
import { paceHere } from "../support/pace.ts";
import { expectSound, progressIn, recordsOf } from "../support/records.ts";
import { aCompletion, aHeartbeat } from "../support/reports.ts";

/** A worker that says how far it is, the sweep of another server, and the end of the job, all at once (section 13). */

const ROUNDS = 100;
/** Instead of a second, so that a round sees several of them, and several heartbeats come within one. */
const INTERVAL_MS = Math.ceil(40 * paceHere());
/** How many heartbeats a worker sends one after another before its last, which meets its completion. */
const HEARTBEATS = 12;

let db: TestDatabase;
let other: PrismaClient;
let one: EngineContext;
let two: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  other = anotherClient(db.url, 5);
  one = engineOn(db, { progressIntervalMs: INTERVAL_MS });
  two = engineOn({ ...db, prisma: other });
});
afterAll(async () => {
  await other.$disconnect();
  await db.close();
});

/** @returns whether the job has it now, or will. */
async function say(held: Claim, step: number): Promise<boolean> {
  const progress = { fraction: step / 100, message: null };
  const [answer] = await heartbeatWorkflows(one, [aHeartbeat(held, { progress })]);
  if (answer?.directive !== "CONTINUE") expect(answer?.error).toMatchObject({ code: "ILLEGAL_TRANSITION" });
  return answer?.directive === "CONTINUE";
}

/** Sends the heartbeats, then the last one and the completion at once, in either order. @returns the last progress that was taken. */
async function work(held: Claim, round: number): Promise<number> {
  for (let step = 1; step <= HEARTBEATS; step++) {
    expect(await say(held, step)).toBe(true);
    await setTimeout(round % 8);
  }
  const last = () => say(held, HEARTBEATS + 1);
  const complete = async () => ok((await completeWorkflows(one, [aCompletion(held)]))[0]);
  const both = round % 2 === 0 ? [last(), complete()] : [complete(), last()];
  const results = await Promise.all(both);
  return results.includes(true) ? HEARTBEATS + 1 : HEARTBEATS;
}

test("never two versions in a second for progress, the job ends with what was said last, and nothing comes after its end", async () => {
  let bySweeps = 0;
  let byEnds = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const held = await started(one);
    const done = new AbortController();
    const sweeping = (async () => {
      while (!done.signal.aborted) bySweeps += await recordProgress(two);
    })();
    const last = await work(held, round);
    // A sweep that begins after the end finds nothing to do.
    await recordProgress(two);
    done.abort();
    await sweeping;
    const after = await recordsOf(other, held.job.jobId);
    expectSound(after);
    expect(after.job).toMatchObject({ state: "COMPLETED", progressFraction: last / 100 });
    expect(after.runs).toMatchObject([{ nextProgressAt: null }]);
    expect(after.events.at(-1)).toMatchObject({ state: "COMPLETED", previousState: "RUNNING" });
    const told = progressIn(after.events).map(({ fraction }) => fraction ?? 0);
    expect(told).toEqual([...new Set(told)].toSorted((a, b) => a - b));
    const times = after.events.filter(({ type }) => type === "METRICS_RECORDED").map(({ recordedAt }) => +recordedAt);
    for (const [index, time] of times.slice(1).entries())
      expect(time - (times[index] ?? 0)).toBeGreaterThanOrEqual(INTERVAL_MS);
    byEnds += progressIn(after.events.slice(-1)).length;
  }
  // Else nothing of this was tried.
  expect(bySweeps).toBeGreaterThan(0);
  expect(byEnds).toBeGreaterThan(0);
}, 300_000);
