import { afterAll, afterEach, beforeAll, beforeEach, test } from "vitest";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { heartbeat } from "./mutations/heartbeat.ts";
import { start } from "./mutations/start.ts";
import { A_SUBMIT, submit } from "./mutations/submit.ts";
import { jobElsewhere, Real } from "./real.ts";
import { Sequence } from "./sequence.ts";

/** What the model test found, reduced; each stays, under the name of what went wrong. */

let db: TestDatabase;
let server: TestServer;
let sequence: Sequence;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db.storage);
});
afterAll(async () => {
  await server.close();
  await db.close();
});
beforeEach(async () => {
  sequence = new Sequence(new Real(db.storage, await jobElsewhere(db.storage)));
});
afterEach(() => sequence.leave());

const whole = () => sequence.expectWhole(server.url, { workspace: 0, states: null, kinds: null });

test("the sums of aiJobStats stop at 2^53 - 1, instead of failing the query", async () => {
  for (const job of [0, 1]) {
    await sequence.take(submit(A_SUBMIT));
    await sequence.take(start({ job, worker: "worker-1" }));
    await sequence.take(heartbeat([{ run: job, token: job, reportId: null, delta: { durationMs: 2 ** 53 - 1 } }]));
  }
  await whole();
});
