import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { tenfoldInLong } from "../support/long.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { filters } from "./lists.ts";
import { advance } from "./mutations/advance.ts";
import { aggregate } from "./mutations/aggregate.ts";
import { ask, endWaits, limitPasses } from "./mutations/ask.ts";
import { bulk } from "./mutations/bulk.ts";
import { cancel } from "./mutations/cancel.ts";
import { claim } from "./mutations/claim.ts";
import { complete } from "./mutations/complete.ts";
import { fail } from "./mutations/fail.ts";
import { giveBack } from "./mutations/give-back.ts";
import { grant } from "./mutations/grant.ts";
import { heartbeat } from "./mutations/heartbeat.ts";
import { record, secondPasses } from "./mutations/progress.ts";
import { deleteQuota, setQuota } from "./mutations/quota.ts";
import { recover } from "./mutations/recover.ts";
import { review, verdict } from "./mutations/resolve.ts";
import { retry } from "./mutations/retry.ts";
import { start } from "./mutations/start.ts";
import { A_SUBMIT, submit } from "./mutations/submit.ts";
import { leaseEnds, preferenceEnds, waitEnds } from "./mutations/time.ts";
import { setUsageLabels } from "./mutations/usage-labels.ts";
import { useModels } from "./mutations/use.ts";
import { reportViolation } from "./mutations/violation.ts";
import { wake } from "./mutations/wake.ts";
import { foreignJob, Real } from "./real.ts";
import { Sequence, sequences } from "./sequence.ts";
import { questions } from "./usage-report.ts";

/**
 * Random sequences of all mutations by several workers and people, executed on the server and on the reference model.
 *
 * MODEL_SEED=n repeats the sequences of a seed, MODEL_RUNS=n sets their number. A sequence in which the server differs
 * from the model is reduced; its steps are in the cause of the failure, as code for found.store.test.ts.
 */

const RUNS = tenfoldInLong(process.env.TEST_STORE === "postgres" ? 200 : 50);
const { MODEL_SEED, MODEL_RUNS } = process.env;

let db: TestDatabase;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

test(
  "the server answers and stores what the model does, for random sequences of mutations",
  async () => {
    const elsewhere = await foreignJob(db);
    const property = fc.asyncProperty(sequences(50), filters, questions, async (commands, filter, asked) => {
      const sequence = new Sequence(new Real(db, elsewhere));
      try {
        await fc.asyncModelRun(() => ({ model: sequence, real: sequence.real }), commands);
        await sequence.expectWhole(server.url, filter, asked);
      } finally {
        await sequence.cleanUp();
      }
    });
    const details = await fc.check(property, {
      ...(MODEL_SEED === undefined ? {} : { seed: Number(MODEL_SEED) }),
      numRuns: MODEL_RUNS === undefined ? RUNS : Number(MODEL_RUNS),
      // Reducing a sequence can take long: at the limit, the shortest one so far is reported.
      plugins: [fc.unbiased(), fc.interruptAfterTimeLimit(tenfoldInLong(800_000), { failOnInterrupt: true })],
    });
    process.stdout.write(`Model test on ${db.location.kind}: ${details.numRuns} sequences, seed ${details.seed}\n`);
    if (details.failed) throw new Error(await fc.asyncDefaultReportMessage(details), { cause: details.errorInstance });
  },
  tenfoldInLong(900_000),
);

const CALL = {
  provider: "openai",
  model: "gpt-5",
  inputTokens: 5,
  cachedInputTokens: 4,
  outputTokens: 3,
  reasoningTokens: 2,
  costMicros: 7,
};

test("one fixed sequence in which every mutation has an effect, so that the model covers all of them", async () => {
  const sequence = new Sequence(new Real(db, await foreignJob(db)));
  const by = (run: number, more: object = {}) => ({
    run,
    token: run,
    reportId: null,
    delta: { inputTokens: 3 },
    progress: null,
    ...more,
  });
  const step = { node: "read", type: "llm_call", outcome: "STARTED", dependsOn: [], snippet: "clean" } as const;
  const completion = { outputs: { words: 7 }, written: [], issues: [], needsValidation: true };
  const released = { isHostile: false, later: false, untilChildrenEnd: false };
  const asked = { isHostile: false, options: ["yes", "no"], limited: false };
  const named = heartbeat([by(1, { reportId: 1 }), by(0)]);
  const says = (fraction: number) => ({ delta: {}, progress: { fraction, message: null } });
  const steps = [
    submit(A_SUBMIT),
    start({ job: 0, worker: "worker-1" }),
    advance({ ...by(0), ...step }),
    fail({ ...by(0), retryable: true, retryAfter: null }),
    waitEnds({ job: 0 }),
    claim({ workspace: 0, worker: "worker-2", kinds: null, limit: 3 }),
    named,
    named,
    leaseEnds({ claim: 1 }),
    recover(null),
    waitEnds({ job: 0 }),
    start({ job: 0, worker: "worker-3" }),
    complete([{ ...by(2), ...completion }]),
    verdict({ job: 0, verdict: "NEEDS_USER", comment: null }),
    review({ job: 0, decision: "REVISE", comment: "the dates are wrong", answer: null }),
    claim({ workspace: 0, worker: "worker-1", kinds: null, limit: 3 }),
    preferenceEnds({ job: 0 }),
    claim({ workspace: 0, worker: "worker-1", kinds: null, limit: 3 }),
    complete([{ ...by(3), ...completion }]),
    verdict({ job: 0, verdict: "APPROVED", comment: null }),
    submit(A_SUBMIT),
    submit({ ...A_SUBMIT, parent: 1, budget: 2 }),
    grant({ profile: "default", all: false }),
    start({ job: 1, worker: "worker-1" }),
    grant({ profile: "default", all: true }),
    retry({ job: 1 }),
    start({ job: 2, worker: "worker-1" }),
    heartbeat([by(4)]),
    bulk({ workspace: 0, kind: "retry", states: ["FAILED", "COMPLETED"], kinds: null, team: null, limit: 4 }),
    setUsageLabels({ workspace: 0, keys: ["team", "env"] }),
    reportViolation({ job: 1, type: "EXPORT" }),
    submit(A_SUBMIT),
    cancel({ job: 3, includeChildren: true }),
    aggregate(null),
    setQuota({ workspace: 0, profile: "default", resource: "ACTIVE_JOBS", max: 1 }),
    setQuota({ workspace: 0, profile: null, resource: "TOKENS", max: 31 }),
    setQuota({ workspace: 0, profile: null, resource: "JOBS", max: 6 }),
    submit(A_SUBMIT),
    submit(A_SUBMIT),
    submit(A_SUBMIT),
    claim({ workspace: 0, worker: "worker-1", kinds: null, limit: 2 }),
    claim({ workspace: 0, worker: "worker-1", kinds: null, limit: 2 }),
    start({ job: 5, worker: "worker-2" }),
    setQuota({ workspace: 0, profile: "default", resource: "ACTIVE_JOBS", max: 2 }),
    deleteQuota({ workspace: 0, quota: 1 }),
    start({ job: 5, worker: "worker-2" }),
    submit({ ...A_SUBMIT, workspace: 1 }),
    submit({ ...A_SUBMIT, workspace: 2 }),
    claim({ workspace: null, worker: "worker-1", kinds: null, limit: 1 }),
    submit({ ...A_SUBMIT, workspace: 1, priority: 1 }),
    claim({ workspace: null, worker: "worker-1", kinds: null, limit: 1 }),
    claim({ workspace: null, worker: "worker-1", kinds: null, limit: 1 }),
    // Random sequences rarely get as far as the last charged attempt of a job that was sent back.
    submit({ ...A_SUBMIT, workspace: 1, maxAttempts: 2 }),
    start({ job: 9, worker: "worker-1" }),
    complete([{ ...by(10), ...completion }]),
    verdict({ job: 9, verdict: "NEEDS_USER", comment: null }),
    review({ job: 9, decision: "REVISE", comment: null, answer: null }),
    start({ job: 9, worker: "worker-1" }),
    fail({ ...by(11), retryable: true, retryAfter: 2 }),
    // What was used counts, whatever has become of the run: completed, poisoned, cancelled, and of a job that goes on.
    ...[3, 6, 7, 11].map((run) => useModels({ run, token: run, reportId: 1, usage: [CALL, CALL] })),
    // A job that waits for a child, a time, and people.
    submit({ ...A_SUBMIT, workspace: 1 }),
    start({ job: 10, worker: "worker-1" }),
    submit({ ...A_SUBMIT, workspace: 1, parent: 10 }),
    giveBack({ ...by(12), ...released, untilChildrenEnd: true }),
    start({ job: 10, worker: "worker-1" }),
    wake(null),
    cancel({ job: 11, includeChildren: false }),
    wake(null),
    start({ job: 10, worker: "worker-1" }),
    advance({ ...by(13), ...step }),
    advance({ ...by(13), ...step, outcome: "SUCCEEDED" }),
    giveBack({ ...by(13), ...released, later: true }),
    waitEnds({ job: 10 }),
    start({ job: 10, worker: "worker-2" }),
    advance({ ...by(14), ...step, node: "write", dependsOn: ["read"] }),
    ask({ ...by(14), ...asked }),
    review({ job: 10, decision: "ACCEPT", comment: null, answer: null }),
    review({ job: 10, decision: "ANSWER", comment: null, answer: "maybe" }),
    review({ job: 10, decision: "ANSWER", comment: null, answer: "yes" }),
    start({ job: 10, worker: "worker-2" }),
    ask({ ...by(15), ...asked, limited: true }),
    limitPasses({ job: 10 }),
    endWaits(null),
    // A job that says how far it is: at once, a second later by the sweep, with a step, and with its end.
    submit({ ...A_SUBMIT, workspace: 1, maxAttempts: 2 }),
    start({ job: 12, worker: "worker-1" }),
    ...[0.1, 0.2, 0.3].map((fraction) => heartbeat([by(16, says(fraction))])),
    record(null),
    secondPasses({ job: 12 }),
    record(null),
    heartbeat([by(16, says(0.4))]),
    advance({ ...by(16), ...step, node: "write" }),
    heartbeat([by(16, says(0.5))]),
    heartbeat([by(16)]),
    heartbeat([by(16, says(0.6))]),
    fail({ ...by(16), retryable: true, retryAfter: null }),
    waitEnds({ job: 12 }),
    start({ job: 12, worker: "worker-1" }),
    heartbeat([by(17, says(0.1))]),
    secondPasses({ job: 12 }),
    heartbeat([by(17, says(0.2))]),
    heartbeat([by(17, says(0.3))]),
    complete([{ ...by(17), ...completion, needsValidation: false }]),
  ];
  for (const each of steps) await sequence.take(each);
  await sequence.expectWhole(server.url, {
    workspace: 0,
    states: null,
    kinds: null,
    labels: null,
    submittedBy: null,
  });
  const ended = ["COMPLETED", "POISONED", "POISONED", "CANCELLED"];
  expect(sequence.world.jobs.map(({ state }) => state)).toEqual([
    ...ended,
    ...Array(5).fill("RUNNING"),
    "QUEUED",
    "FAILED",
    "CANCELLED",
    "COMPLETED",
  ]);
  expect(sequence.world.jobs[12]?.progress).toEqual({ fraction: 0.3, message: null });
  await sequence.cleanUp();
});
