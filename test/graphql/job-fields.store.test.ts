import { type GraphQLOutputType, getNamedType, isLeafType, isObjectType } from "graphql";
import { afterAll, beforeAll, expect, test } from "vitest";
import { JOB_FIELDS, type JobField, METRIC_NAMES } from "../../src/db/job-columns.ts";
import { schema } from "../../src/graphql/schema.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, started } from "../support/engine.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

let db: TestDatabase;
let server: TestServer;
let jobId: string;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
  const engine = engineOn(db);
  const target = { entityKind: "document", entityId: "1", selector: null };
  const claim = await started(engine, {
    entityRefs: [target],
    plannedOperations: [{ opType: "READ", target, description: "reads it" }],
    jobInputs: { text: "to work on" },
    idempotencyKey: "once",
    priority: 7,
    labels: [{ key: "team", value: "search" }],
  });
  ok(await advanceWorkflow(engine, aStep(claim, "step")));
  ({ jobId } = claim.job);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const type = schema.getType("AiJob");
const fields = isObjectType(type) ? Object.values(type.getFields()) : [];

/** How long a job has waited or run by now, which grows from one read to the next. */
const GROWING = ["queuedMs", "runMs"];

/** What to ask of a field of this type: its scalars, down to a depth. */
function selectionOf(output: GraphQLOutputType, depth: number): string {
  const named = getNamedType(output);
  if (!isObjectType(named)) return "";
  const below = Object.values(named.getFields()).filter(
    (field) => !GROWING.includes(field.name) && (depth > 1 || isLeafType(getNamedType(field.type))),
  );
  return `{ __typename ${below.map((field) => `${field.name} ${selectionOf(field.type, depth - 1)}`).join(" ")} }`;
}

/** Columns of a job that the API does not show under a name of their own, each with the reason. */
const NOT_SHOWN: readonly JobField[] = [
  // Fields of AiJob by another name: metrics, parentJob.
  ...METRIC_NAMES,
  "parentJobId",
  // How the server keeps it: its tree, reservation, attempts that are not charged, and its place in the log.
  "rootJobId",
  "preferredWorkerId",
  "preferredUntil",
  "unchargedAttempts",
  "releases",
  // In progress.
  "progressFraction",
  "progressMessage",
  "progressAt",
  // In userInputRequest, as expiresAt.
  "waitsUntil",
  "submitHash",
  "labelCount",
  "orderXid",
  "chainHash",
];

test("every column of a job is a field of AiJob, but for those that are named here", () => {
  const shown = [...fields.map(({ name }) => name), ...NOT_SHOWN];
  expect(shown).toEqual(expect.arrayContaining([...JOB_FIELDS]));
  expect(NOT_SHOWN.filter((field) => fields.some(({ name }) => name === field))).toEqual([]);
});

interface Answer {
  readonly data: { readonly aiJob: unknown; readonly aiJobs: { readonly nodes: unknown } };
  readonly errors?: unknown;
}

/** A list reads the columns that are asked for; a job by itself is read with all of them. */
const compared = fields.filter(({ name }) => !GROWING.includes(name));
test.each(compared.map(({ name, type: output }) => [name, `${name} ${selectionOf(output, 2)}`] as const))(
  "%s of a job is the same in a list as by itself",
  async (_name, selection) => {
    const query = `{ aiJob(jobId: "${jobId}") { ${selection} } aiJobs(first: 1) { nodes { ${selection} } } }`;
    const response = await fetch(server.url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query }),
    });
    const { data, errors }: Answer = JSON.parse(await response.text());
    expect(errors).toBeUndefined();
    expect(data.aiJobs.nodes).toEqual([data.aiJob]);
  },
);

test("there are fields to compare", () => {
  expect(fields.length).toBeGreaterThan(30);
});
