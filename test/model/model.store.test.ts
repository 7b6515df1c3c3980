import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";
import { tenfoldInLong } from "../support/long.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { filters } from "./lists.ts";
import { advance } from "./mutations/advance.ts";
import { cancel } from "./mutations/cancel.ts";
import { complete } from "./mutations/complete.ts";
import { fail } from "./mutations/fail.ts";
import { grant } from "./mutations/grant.ts";
import { heartbeat } from "./mutations/heartbeat.ts";
import { recover } from "./mutations/recover.ts";
import { start } from "./mutations/start.ts";
import { A_SUBMIT, submit } from "./mutations/submit.ts";
import { leaseEnds, waitEnds } from "./mutations/time.ts";
import { reportViolation } from "./mutations/violation.ts";
import { Real } from "./real.ts";
import { Sequence, sequences } from "./sequence.ts";

/**
 * Random interleavings of all mutations by several workers and people, against the reference model.
 *
 * MODEL_SEED=n draws the same sequences again, MODEL_RUNS=n another number of them. A sequence that differs is reduced;
 * its steps are in the failure's cause, as code for found.store.test.ts.
 */

const RUNS = tenfoldInLong(process.env.TEST_STORE === "postgres" ? 50 : 200);
const { MODEL_SEED, MODEL_RUNS } = process.env;

let db: TestDatabase;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db.storage);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

test(
  "whatever workers and people do in whatever order, the server answers and stores what the model does",
  async () => {
    const engine = engineOn(db.storage);
    const elsewhere = await submitted(engine);
    const property = fc.asyncProperty(sequences(40), filters, async (commands, filter) => {
      const sequence = new Sequence(new Real(engine, elsewhere.jobId));
      try {
        await fc.asyncModelRun(() => ({ model: sequence, real: sequence.real }), commands);
        await sequence.expectWhole(server.url, filter);
      } finally {
        await sequence.leave();
      }
    });
    const details = await fc.check(property, {
      ...(MODEL_SEED === undefined ? {} : { seed: Number(MODEL_SEED) }),
      numRuns: MODEL_RUNS === undefined ? RUNS : Number(MODEL_RUNS),
      // Reducing a sequence can take long: what it has come to by then is reported.
      plugins: [fc.unbiased(), fc.interruptAfterTimeLimit(tenfoldInLong(500_000), { failOnInterrupt: true })],
    });
    process.stdout.write(`Model test on ${db.location.kind}: ${details.numRuns} sequences, seed ${details.seed}\n`);
    if (details.failed) throw new Error(await fc.asyncDefaultReportMessage(details), { cause: details.errorInstance });
  },
  tenfoldInLong(600_000),
);

test("a story in which every mutation comes to something, so that none is in the model for nothing", async () => {
  const engine = engineOn(db.storage);
  const sequence = new Sequence(new Real(engine, (await submitted(engine)).jobId));
  const holder = (run: number) => ({ run, token: run, delta: { inputTokens: 3 } });
  const step = { node: "read", type: "llm_call", outcome: "STARTED", snippet: "clean" } as const;
  const story = [
    submit(A_SUBMIT),
    start({ job: 0, worker: "worker-1" }),
    advance({ ...holder(0), ...step }),
    fail({ ...holder(0), retryable: true }),
    waitEnds({ job: 0 }),
    start({ job: 0, worker: "worker-2" }),
    heartbeat([holder(0), holder(1)]),
    leaseEnds({ claim: 1 }),
    recover(null),
    waitEnds({ job: 0 }),
    start({ job: 0, worker: "worker-3" }),
    complete([{ ...holder(2), outputs: { words: 7 }, written: [], issues: [] }]),
    submit(A_SUBMIT),
    grant({ profile: "default", all: false }),
    start({ job: 1, worker: "worker-1" }),
    grant({ profile: "default", all: true }),
    reportViolation({ job: 1, type: "EXPORT" }),
    submit(A_SUBMIT),
    cancel({ job: 2 }),
  ];
  for (const each of story) await sequence.take(each);
  await sequence.expectWhole(server.url, { states: null, kinds: null });
  expect(sequence.world.jobs.map(({ state }) => state)).toEqual(["COMPLETED", "POISONED", "CANCELLED"]);
});
