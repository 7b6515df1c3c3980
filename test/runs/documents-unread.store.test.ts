import { afterAll, beforeAll, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { EngineContext } from "../../src/engine.ts";
import { cancelAiJobs } from "../../src/jobs/bulk/action.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, SOMEBODY, started, WORKSPACE } from "../support/engine.ts";
import { expireLease } from "../support/jobs.ts";
import { aCompletion, aHeartbeat } from "../support/reports.ts";

/** A hundred jobs may have megabytes of inputs each: what works on batches of them and needs none reads none. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const commands: readonly { of: string; run: (claim: Claim) => Promise<unknown> }[] = [
  { of: "a heartbeat", run: (claim) => heartbeatWorkflows(engine, [aHeartbeat(claim)]) },
  { of: "a completion", run: (claim) => completeWorkflows(engine, [aCompletion(claim)]) },
  {
    of: "a sweep",
    run: async (claim) => {
      await expireLease(db, claim);
      expect(await recoverStalledRuns(engine)).toBe(1);
    },
  },
  {
    of: "a bulk action",
    run: () =>
      cancelAiJobs(engine, WORKSPACE, SOMEBODY, { filter: { states: ["RUNNING"] }, reason: "enough", limit: 10 }),
  },
];

test.each(commands)("$of reads no inputs of its jobs", async ({ run }) => {
  const claim = await started(engine, { jobInputs: { text: "long" } });
  db.statements();
  await run(claim);
  const statements = db.statements();
  expect(statements.length).toBeGreaterThan(1);
  expect(statements.filter((sql) => sql.includes("job_inputs"))).toEqual([]);
});
