import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY, started } from "../support/engine.ts";
import { operation, post } from "../support/http.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** What one answer can hold of documents has a bound, which is looked at before any is read. */

let db: TestDatabase;
let engine: EngineContext;
let server: TestServer;
const workspaceId = randomUUID();
const DOCUMENT_BYTES = 3_900_000;
const jobIds: string[] = [];
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  server = await startTestServer(db);
  // Compressed it would be a hundredth of that.
  const jobInputs = { text: "harmless ".repeat(DOCUMENT_BYTES / 9) };
  for (let count = 0; count < 18; count++)
    jobIds.push(ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit({ jobInputs }))).job.jobId);
}, 120_000);
afterAll(async () => {
  await server.close();
  await db.close();
});

const ask = (query: string) => post(server.url, operation(query, {}), { "x-workspace-id": workspaceId });
const REFUSAL = {
  message: expect.stringMatching(/ \d+ MB together; at most 64 MB /),
  extensions: { code: "INVALID_INPUT" },
};

describe("a list whose documents are too large together", () => {
  test("is refused with what to do, and no document is read", async () => {
    const before = process.memoryUsage().arrayBuffers;
    const { errors } = await ask("{ aiJobs(first: 18) { nodes { jobId jobInputs } } }");
    expect(errors).toMatchObject([REFUSAL]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(30_000_000);
  });

  test("is answered where fewer rows are asked for, and without the documents", async () => {
    const few = await ask("{ aiJobs(first: 15) { nodes { jobInputs } } }");
    expect(few.errors).toBeUndefined();
    const all = await ask("{ aiJobs(first: 18) { nodes { jobId statusReason } } }");
    expect(all.data).toMatchObject({ aiJobs: { nodes: { length: 18 } } });
  });
});

test("jobs that are named are answered one by one, though they are too large together", async () => {
  const query = `{ ${jobIds
    .slice(0, 2)
    .map((jobId, at) => `j${at}: aiJob(jobId: "${jobId}") { jobInputs }`)
    .join(" ")} }`;
  expect((await ask(query)).errors).toBeUndefined();
});

test("the payloads of a run's steps are refused together, and read without them", async () => {
  const held = await started(engine);
  await db.prisma.$executeRaw`
    INSERT INTO node_executions (id, workspace_id, workflow_run_id, node_id, node_type, sequence, input_payload)
    SELECT gen_random_uuid(), ${held.run.workspaceId}::uuid, ${held.run.id}::uuid, 's' || number, 'tool', number,
      to_jsonb(repeat('p', 255000))
    FROM generate_series(1, 260) AS number`;
  const run = (fields: string) =>
    post(server.url, operation(`{ workflowRun(workflowRunId: "${held.run.id}") { steps { ${fields} } } }`, {}));
  expect((await run("nodeId inputPayload")).errors).toMatchObject([REFUSAL]);
  expect((await run("nodeId state")).errors).toBeUndefined();
}, 120_000);
