import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { UUID_PATTERN } from "../../src/uuid.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started } from "../support/engine.ts";
import { everything, type LoggedServer, operation, post, startLoggedServer } from "../support/http.ts";

/** What this server did not foresee is masked: the client gets an id, and the log has the cause under it. */

const CONTENT = "Q3 figures, not for anybody's eyes";
const SECRET = "sk-live-0123456789abcdefghijklmnop";

let db: TestDatabase;
let server: LoggedServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startLoggedServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const SUBMIT = graphql(`
  mutation UnexpectedSubmit($input: SubmitAiJobInput!) {
    submitAiJob(input: $input) {
      __typename
    }
  }
`);

const ADVANCE = graphql(`
  mutation UnexpectedAdvance($input: AdvanceWorkflowInput!) {
    advanceWorkflow(input: $input) {
      __typename
    }
  }
`);

const UUID = new RegExp(`^${UUID_PATTERN}$`);
const logLine = z.object({
  level: z.number(),
  id: z.string(),
  msg: z.string(),
  err: z.object({ message: z.string() }),
});

/** Sends what the database is about to refuse, and looks at what client and log are told. */
async function expectMasked(field: string, body: string, cause: RegExp): Promise<void> {
  const before = await everything(db.prisma);
  server.logged();
  const { status, data, errors } = await post(server.url, body);
  expect(await everything(db.prisma)).toEqual(before);

  expect({ status, data }).toEqual({ status: 200, data: null });
  expect(errors).toMatchObject([
    { path: [field], extensions: { code: "INTERNAL_SERVER_ERROR", id: expect.stringMatching(UUID) } },
  ]);
  const [error] = errors ?? [];
  const lines = server.logged();
  expect(lines.length).toBe(1);
  const { id, level, err } = logLine.parse(JSON.parse(lines.join("")));
  expect({ id, level }).toEqual({ id: error?.extensions.id, level: 50 });
  expect(error?.message).toBe(`Something went wrong in the server. Its log has the details under the id ${id}.`);
  expect(err.message).toMatch(cause);
  expect(JSON.stringify(error)).not.toMatch(cause);
  for (const told of [JSON.stringify(error), ...lines]) {
    expect(told).not.toContain(CONTENT);
    expect(told).not.toContain(SECRET);
  }
}

describe("a failure that nobody foresaw", () => {
  test("of a trigger that raises while a job is submitted", async () => {
    const { prisma } = db;
    await prisma.$executeRaw`CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''the roof is on fire''; END'`;
    await prisma.$executeRaw`CREATE TRIGGER fails BEFORE INSERT ON ai_jobs FOR EACH ROW EXECUTE FUNCTION fails()`;
    await expectMasked("submitAiJob", submit(), /the roof is on fire/);
    await prisma.$executeRaw`DROP TRIGGER fails ON ai_jobs`;
    expect(await post(server.url, submit())).toMatchObject({
      data: { submitAiJob: { __typename: "SubmitAiJobPayload" } },
    });
  });

  test("of a constraint, whose detail is the row with everything in it", async () => {
    const { prisma } = db;
    await prisma.$executeRaw`ALTER TABLE ai_jobs ADD CONSTRAINT odd CHECK (protocol_id <> 'odd')`;
    await expectMasked("submitAiJob", submit("odd"), /violates check constraint/);
    await prisma.$executeRaw`ALTER TABLE ai_jobs DROP CONSTRAINT odd`;
  });

  test("of a step that is being kept", async () => {
    const { prisma } = db;
    const { run, leaseToken } = await started(engineOn(db));
    await prisma.$executeRaw`ALTER TABLE node_executions ADD CONSTRAINT odd CHECK (node_id <> 'odd')`;
    const step = { nodeId: "odd", nodeType: "tool", outcome: "STARTED", inputPayload: { CONTENT, SECRET } };
    const body = operation(ADVANCE, { input: { workflowRunId: run.id, leaseToken, step } });
    await expectMasked("advanceWorkflow", body, /violates check constraint/);
    await prisma.$executeRaw`ALTER TABLE node_executions DROP CONSTRAINT odd`;
  });

  test("of a table that is gone, while a list is read", async () => {
    const { prisma } = db;
    await prisma.$executeRaw`ALTER TABLE capability_profiles RENAME TO elsewhere`;
    await expectMasked("capabilityProfiles", operation("{ capabilityProfiles { id } }"), /does not exist/);
    await prisma.$executeRaw`ALTER TABLE elsewhere RENAME TO capability_profiles`;
  });
});

function submit(protocolId = "p"): string {
  return operation(SUBMIT, {
    input: { jobKind: "DOC_EDIT", protocolId, jobInputs: { text: CONTENT }, idempotencyKey: SECRET + Math.random() },
  });
}
