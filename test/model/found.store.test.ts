import { afterAll, afterEach, beforeAll, beforeEach, test } from "vitest";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { advance } from "./mutations/advance.ts";
import { claim } from "./mutations/claim.ts";
import { complete } from "./mutations/complete.ts";
import { fail } from "./mutations/fail.ts";
import { heartbeat } from "./mutations/heartbeat.ts";
import { deleteQuota, setQuota } from "./mutations/quota.ts";
import { start } from "./mutations/start.ts";
import { A_SUBMIT, submit } from "./mutations/submit.ts";
import { waitEnds } from "./mutations/time.ts";
import { foreignJob, Real } from "./real.ts";
import { Sequence } from "./sequence.ts";

/**
 * Regressions: the failures that the model test has found, each reduced to a short sequence and named after its fault.
 */

let db: TestDatabase;
let server: TestServer;
let sequence: Sequence;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});
beforeEach(async () => {
  sequence = new Sequence(new Real(db, await foreignJob(db)));
});
afterEach(() => sequence.cleanUp());

const whole = () =>
  sequence.expectWhole(server.url, { workspace: 0, states: null, kinds: null, labels: null, submittedBy: null });

test("the sums of aiJobStats stop at 2^53 - 1, instead of failing the query", async () => {
  for (const job of [0, 1]) {
    await sequence.take(submit(A_SUBMIT));
    await sequence.take(start({ job, worker: "worker-1" }));
    await sequence.take(
      heartbeat([{ run: job, token: job, reportId: null, progress: null, delta: { durationMs: 2 ** 53 - 1 } }]),
    );
  }
  await whole();
});

test("a claim that skips a workspace with a used-up quota serves the others in turns as if it did not exist", async () => {
  await sequence.take(setQuota({ workspace: 0, profile: "default", resource: "ACTIVE_JOBS", max: 0 }));
  for (const workspace of [0, 1, 1, 2]) await sequence.take(submit({ ...A_SUBMIT, workspace }));
  await sequence.take(claim({ workspace: null, worker: "worker-1", kinds: null, limit: 2 }));
  await whole();
});

test("a claim that finds only jobs with used-up quotas leaves the turns as they are", async () => {
  await sequence.take(setQuota({ workspace: 0, profile: "default", resource: "ACTIVE_JOBS", max: 0 }));
  await sequence.take(submit({ ...A_SUBMIT, workspace: 0 }));
  await sequence.take(claim({ workspace: null, worker: "worker-1", kinds: null, limit: 1 }));
  await sequence.take(deleteQuota({ workspace: 0, quota: 0 }));
  await sequence.take(submit({ ...A_SUBMIT, workspace: 1 }));
  await sequence.take(claim({ workspace: null, worker: "worker-1", kinds: null, limit: 1 }));
  await whole();
});

/** A job with a budget, in its second run, number 1. Its worker gave up the first, number 0. */
async function secondRun(): Promise<void> {
  await sequence.take(submit({ ...A_SUBMIT, budget: 100 }));
  await sequence.take(start({ job: 0, worker: "worker-1" }));
  await sequence.take(fail({ run: 0, token: 0, reportId: null, retryable: true, retryAfter: null, delta: {} }));
  await sequence.take(waitEnds({ job: 0 }));
  await sequence.take(start({ job: 0, worker: "worker-1" }));
}

const beats = [
  { run: 1, token: 1, reportId: null, progress: null, delta: { inputTokens: 101 } },
  { run: 0, token: 0, reportId: null, progress: null, delta: {} },
];
test.each([
  ["before it", beats],
  ["after it", beats.toReversed()],
])("a heartbeat of a run that was given up, in the call of one that ends the job, %s", async (_when, batch) => {
  await secondRun();
  await sequence.take(heartbeat(batch));
  await whole();
});

const done = {
  written: [],
  issues: [],
  needsValidation: false,
  outputs: null,
  delta: {},
  reportId: null,
  progress: null,
};
test.each([
  ["completes", {}],
  ["fails", { delta: { inputTokens: 101 } }],
])(
  "a completion of a run that was given up, in the call of one that %s the job, before it and after it",
  async (_what, more) => {
    await secondRun();
    const [first, second] = [0, 1].map((run) => ({ ...done, run, token: run }));
    if (!first || !second) throw new Error("There are two runs.");
    await sequence.take(complete([first, { ...second, ...more }]));
    await whole();
    await sequence.cleanUp();
    sequence = new Sequence(new Real(db, await foreignJob(db)));
    await secondRun();
    await sequence.take(complete([{ ...second, ...more }, first]));
    await whole();
  },
);

test("steps that are reported again after another report has ended their node are answered with the node as it is now", async () => {
  await sequence.take(submit(A_SUBMIT));
  await sequence.take(start({ job: 0, worker: "worker-1" }));
  const proof = { run: 0, token: 0 };
  const content = { snippet: "none", progress: null, delta: {} } as const;
  const read = { ...proof, ...content, node: "read", type: "tool", dependsOn: [] };
  const started = advance({ ...read, outcome: "STARTED", reportId: 3 });
  await sequence.take(started);
  await sequence.take(advance({ ...read, outcome: "SUCCEEDED", reportId: null }));
  await sequence.take(started);
  await whole();
});
