import { randomUUID } from "node:crypto";
import {
  type GraphQLField,
  type GraphQLNamedType,
  getNamedType,
  isAbstractType,
  isLeafType,
  isNonNullType,
  isObjectType,
} from "graphql";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { permissionOf } from "../../src/graphql/required-permissions.ts";
import { schema } from "../../src/graphql/schema.ts";
import { createWorkspace } from "../../src/identity/workspaces.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok } from "../support/engine.ts";
import { type Caller, type GuardedServer, startGuardedServer } from "../support/guarded-server.ts";
import { type Answer, everything, post } from "../support/http.ts";
import { FOUND, HOSTILE } from "../support/jobs.ts";
import { withoutCapabilities } from "../support/review.ts";
import { ask } from "../support/unions.ts";

/**
 * What a worker without JOBS_READ reads (section 11): the jobs that it holds, and of others no more than their id, state and reason. The
 * places where an answer to a worker leads to a job, and all fields there, are found by walking the schema.
 */

let db: TestDatabase;
let engine: EngineContext;
let server: GuardedServer;
let worker: Caller;
let submitter: Caller;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  server = await startGuardedServer(db, { backoff: { firstMs: 1, maxMs: 1 } });
  worker = await server.keyOf({ roles: ["WORKER"] });
  submitter = await server.keyOf({ roles: ["SUBMITTER"] });
});
afterAll(async () => {
  await server.close();
  await db.close();
});

/** The permissions of the role WORKER. */
const OF_WORKERS: readonly unknown[] = ["JOBS_WORK", "VIOLATIONS_REPORT"];
/** Where everything else of a job is reached from. */
const ENTRIES = ["AiJob", "WorkflowRun", "FlightRecorderEvent", "NodeExecution", "SecurityViolation"];

function fieldsOf(type: GraphQLNamedType): readonly GraphQLField<unknown, unknown>[] {
  return isObjectType(type) ? Object.values(type.getFields()) : [];
}

/** All paths from a type to the first type of a job, such as `ClaimAiJobsPayload.claims.job: AiJob`. */
function entriesBelow(type: GraphQLNamedType, path: string, seen: readonly GraphQLNamedType[] = []): readonly string[] {
  if (ENTRIES.includes(type.name)) return [`${path}: ${type.name}`];
  if (seen.includes(type)) return [];
  if (isAbstractType(type))
    return schema
      .getPossibleTypes(type)
      .flatMap((member) => entriesBelow(member, `${path}.${member.name}`, [...seen, type]));
  return fieldsOf(type).flatMap((field) =>
    entriesBelow(getNamedType(field.type), `${path}.${field.name}`, [...seen, type]),
  );
}

const entries = fieldsOf(schema.getMutationType() ?? schema.getQueryType() ?? fail())
  .filter((field) => OF_WORKERS.includes(permissionOf(field)))
  .flatMap((field) => entriesBelow(getNamedType(field.type), field.name));

function fail(): never {
  throw new Error("The schema has a root type.");
}

/** Where the answers to a worker lead to a job that it holds, and where to one that it does not. */
const HELD = [
  "claimAiJobs.ClaimAiJobsPayload.claims.job: AiJob",
  "claimAiJobs.ClaimAiJobsPayload.claims.workflowRun: WorkflowRun",
  "claimAiJobs.ClaimAiJobsPayload.claims.children: AiJob",
  "startWorkflow.StartWorkflowPayload.claim.job: AiJob",
  "startWorkflow.StartWorkflowPayload.claim.children: AiJob",
  "startWorkflow.StartWorkflowPayload.claim.workflowRun: WorkflowRun",
  "advanceWorkflow.AdvanceWorkflowPayload.job: AiJob",
  "advanceWorkflow.AdvanceWorkflowPayload.workflowRun: WorkflowRun",
  "advanceWorkflow.AdvanceWorkflowPayload.node: NodeExecution",
  "advanceWorkflow.JobPoisoned.job: AiJob",
  "advanceWorkflow.JobPoisoned.violation: SecurityViolation",
  "appendOutput.JobPoisoned.job: AiJob",
  "appendOutput.JobPoisoned.violation: SecurityViolation",
  "completeWorkflows.CompleteWorkflowsPayload.results.CompletedWorkflow.job: AiJob",
  "completeWorkflows.CompleteWorkflowsPayload.results.CompletedWorkflow.workflowRun: WorkflowRun",
  "failWorkflows.FailWorkflowsPayload.results.FailedWorkflow.job: AiJob",
  "failWorkflows.FailWorkflowsPayload.results.FailedWorkflow.workflowRun: WorkflowRun",
  "releaseWorkflows.ReleaseWorkflowsPayload.results.ReleasedWorkflow.job: AiJob",
  "releaseWorkflows.ReleaseWorkflowsPayload.results.ReleasedWorkflow.workflowRun: WorkflowRun",
  "requestUserInput.RequestUserInputPayload.job: AiJob",
  "requestUserInput.JobPoisoned.job: AiJob",
  "requestUserInput.JobPoisoned.violation: SecurityViolation",
  "reportSecurityViolation.ReportSecurityViolationPayload.job: AiJob",
  "reportSecurityViolation.ReportSecurityViolationPayload.event: FlightRecorderEvent",
  "reportUsage.ReportUsagePayload.job: AiJob",
];
const NOT_HELD = [
  "claimAiJobs.ClaimAiJobsPayload.poisoned: AiJob",
  "startWorkflow.JobPoisoned.job: AiJob",
  "startWorkflow.JobPoisoned.violation: SecurityViolation",
  "startWorkflow.JobPoisonedError.job: AiJob",
  "startWorkflow.CapabilityDeniedError.job: AiJob",
  "advanceWorkflow.JobPoisonedError.job: AiJob",
  "appendOutput.JobPoisonedError.job: AiJob",
  "heartbeatWorkflows.HeartbeatWorkflowsPayload.results.error.JobPoisonedError.job: AiJob",
  "heartbeatWorkflows.HeartbeatWorkflowsPayload.results.error.CapabilityDeniedError.job: AiJob",
  "completeWorkflows.CompleteWorkflowsPayload.results.JobPoisonedError.job: AiJob",
  "completeWorkflows.CompleteWorkflowsPayload.results.CapabilityDeniedError.job: AiJob",
  "failWorkflows.FailWorkflowsPayload.results.JobPoisonedError.job: AiJob",
  "releaseWorkflows.ReleaseWorkflowsPayload.results.JobPoisonedError.job: AiJob",
  "requestUserInput.JobPoisonedError.job: AiJob",
];

test("the answers to a worker lead to jobs in these places, and in no other", () => {
  expect(entries.toSorted()).toEqual([...HELD, ...NOT_HELD].toSorted());
});

const job = schema.getType("AiJob");
const jobFields = job ? fieldsOf(job) : [];
const SHOWN_TO_ALL = ["id", "jobId", "state", "statusReason"];

/** A selection of everything that leads no further to a job, to a depth that reaches everything of one. */
function everythingOf(type: GraphQLNamedType, depth = 4): string {
  const fields = fieldsOf(type).filter((field) => permissionOf(field) === undefined && field.name !== "parentJob");
  const selections = fields.flatMap((field) => {
    const inner = getNamedType(field.type);
    if (isLeafType(inner)) return [field.name];
    if (depth === 0 || inner.name === "AiJobConnection") return [];
    const below = everythingOf(inner, inner.name === "AiJob" ? 0 : depth - 1);
    // A page of one row: the complexity of an operation counts the rows.
    const page = field.args.some(({ name }) => name === "first") ? "(first: 1)" : "";
    return below === "" ? [] : [`${field.name}${page} { ${below} }`];
  });
  return selections.join(" ");
}

/** Selects one field of AiJob, with something below it. */
function selectionOf({ name, type }: GraphQLField<unknown, unknown>): string {
  return isLeafType(getNamedType(type)) ? name : `${name} { __typename }`;
}

const leaves = jobFields.filter(({ type }) => isLeafType(getNamedType(type)));
const ALL_OF_JOB = job ? everythingOf(job) : "";

async function submitted(more: object = {}): Promise<string> {
  const protocolId = randomUUID();
  const headers = { ...submitter.headers };
  await ask(
    server.url,
    "submitAiJob",
    { jobKind: "DOC_SUMMARIZE", protocolId, jobInputs: { secret: "Ortelius" }, ...more },
    headers,
  );
  return (await db.prisma.aiJob.findFirstOrThrow({ where: { protocolId } })).jobId;
}

const TYPES: Readonly<Record<string, string>> = {
  claimAiJobs: "ClaimAiJobsInput",
  startWorkflow: "StartWorkflowInput",
  advanceWorkflow: "AdvanceWorkflowInput",
  appendOutput: "AppendOutputInput",
  heartbeatWorkflows: "HeartbeatWorkflowsInput",
  completeWorkflows: "CompleteWorkflowsInput",
  failWorkflows: "FailWorkflowsInput",
  releaseWorkflows: "ReleaseWorkflowsInput",
  requestUserInput: "RequestUserInputInput",
  reportSecurityViolation: "ReportSecurityViolationInput",
  reportUsage: "ReportUsageInput",
};

/** Sends a mutation as the worker, with a selection of its answer. */
function send(mutation: string, input: object, selection: string, { headers }: Caller = worker): Promise<Answer> {
  const query = `mutation ($input: ${TYPES[mutation]}!) { ${mutation}(input: $input) { __typename ${selection} } }`;
  return post(server.url, JSON.stringify({ query, variables: { input } }), headers);
}

/** What a test of one entry sends, with a selection of what is there. */
function selectAt(entry: string, selection: string): string {
  const [path = ""] = entry.split(": ");
  const [, ...steps] = path.split(".");
  return steps.reduceRight((inner, step) => {
    return /^[A-Z]/.test(step) ? `... on ${step} { ${inner} }` : `${step} { __typename ${inner} }`;
  }, selection);
}

/** A run that the worker holds. */
async function held(more: object = {}, jobId?: string) {
  const id = jobId ?? (await submitted(more));
  const selection = "... on StartWorkflowPayload { claim { leaseToken workflowRun { workflowRunId } } }";
  const { data } = await send("startWorkflow", { jobId: id, workerId: "w", leaseSeconds: 900 }, selection);
  const text = JSON.stringify(data);
  const proof = {
    workflowRunId: /"workflowRunId":"([^"]+)"/.exec(text)?.[1] ?? "",
    leaseToken: /"leaseToken":"([^"]+)"/.exec(text)?.[1] ?? "",
  };
  return { jobId: id, proof };
}

const step = (nodeId: string, more: object = {}) => ({ nodeId, nodeType: "tool", outcome: "STARTED", ...more });
const FINDING = { violationType: "EXPORT", guardName: "g", trigger: "t", description: "d" };
const STOLEN = { retrievedSnippets: [{ sourceId: "s", content: HOSTILE }] };

async function poisoned() {
  const { jobId, proof } = await held();
  await poisonJob(engine, server.workspaceId, jobId, FOUND);
  return proof;
}

/** Makes each entry be answered: by its mutation, member and field. */
const SITUATIONS: Readonly<Record<string, (selection: string) => Promise<Answer>>> = {
  "claimAiJobs.ClaimAiJobsPayload.claims.children": async (selection) => {
    await submitted({ priority: 2, parentJobId: await submitted({ jobKind: "SHEET_TRANSFORM" }) });
    return send("claimAiJobs", { workerId: "w", limit: 1, jobKinds: ["SHEET_TRANSFORM"] }, selection);
  },
  "startWorkflow.StartWorkflowPayload.claim.children": async (selection) => {
    const jobId = await submitted();
    await submitted({ parentJobId: jobId });
    return send("startWorkflow", { jobId, workerId: "w" }, selection);
  },
  "claimAiJobs.ClaimAiJobsPayload.claims": async (selection) => {
    await submitted({ priority: 1 });
    return send("claimAiJobs", { workerId: "w", limit: 1, jobKinds: ["DOC_SUMMARIZE"] }, selection);
  },
  "claimAiJobs.ClaimAiJobsPayload.poisoned": async (selection) => {
    await submitted({ jobKind: "DOC_EDIT", jobInputs: { text: HOSTILE } });
    return send("claimAiJobs", { workerId: "w", limit: 100, jobKinds: ["DOC_EDIT"] }, selection);
  },
  "startWorkflow.StartWorkflowPayload": async (selection) =>
    send("startWorkflow", { jobId: await submitted(), workerId: "w" }, selection),
  "startWorkflow.JobPoisoned": async (selection) =>
    send("startWorkflow", { jobId: await submitted({ jobInputs: { text: HOSTILE } }), workerId: "w" }, selection),
  "startWorkflow.JobPoisonedError": async (selection) => {
    const jobId = await submitted();
    await poisonJob(engine, server.workspaceId, jobId, FOUND);
    return send("startWorkflow", { jobId, workerId: "w" }, selection);
  },
  "startWorkflow.CapabilityDeniedError": async (selection) => {
    const jobId = await submitted();
    return withoutCapabilities(engine, () => send("startWorkflow", { jobId, workerId: "w" }, selection));
  },
  "advanceWorkflow.AdvanceWorkflowPayload": async (selection) =>
    send("advanceWorkflow", { ...(await held()).proof, step: step("a", { inputPayload: { a: 1 } }) }, selection),
  "advanceWorkflow.JobPoisoned": async (selection) =>
    send("advanceWorkflow", { ...(await held()).proof, step: step("a"), ...STOLEN }, selection),
  "advanceWorkflow.JobPoisonedError": async (selection) =>
    send("advanceWorkflow", { ...(await poisoned()), step: step("a") }, selection),
  "appendOutput.JobPoisoned": async (selection) =>
    send("appendOutput", { ...(await held()).proof, chunks: [{ sequence: 1, text: HOSTILE }] }, selection),
  "appendOutput.JobPoisonedError": async (selection) =>
    send("appendOutput", { ...(await poisoned()), chunks: [{ sequence: 1, text: "late" }] }, selection),
  "heartbeatWorkflows.HeartbeatWorkflowsPayload.results.error.JobPoisonedError": async (selection) =>
    send("heartbeatWorkflows", { heartbeats: [await poisoned()] }, selection),
  "completeWorkflows.CompleteWorkflowsPayload.results.CompletedWorkflow": async (selection) =>
    send("completeWorkflows", { completions: [{ ...(await held()).proof, jobOutputs: { b: 2 } }] }, selection),
  "completeWorkflows.CompleteWorkflowsPayload.results.JobPoisonedError": async (selection) =>
    send("completeWorkflows", { completions: [await poisoned()] }, selection),
  "completeWorkflows.CompleteWorkflowsPayload.results.CapabilityDeniedError": async (selection) => {
    const { proof } = await held();
    return withoutCapabilities(engine, () => send("completeWorkflows", { completions: [proof] }, selection));
  },
  "failWorkflows.FailWorkflowsPayload.results.FailedWorkflow": async (selection) =>
    send("failWorkflows", { failures: [{ ...(await held()).proof, errorMessage: "no" }] }, selection),
  "failWorkflows.FailWorkflowsPayload.results.JobPoisonedError": async (selection) =>
    send("failWorkflows", { failures: [{ ...(await poisoned()), errorMessage: "no" }] }, selection),
  "releaseWorkflows.ReleaseWorkflowsPayload.results.ReleasedWorkflow": async (selection) =>
    send("releaseWorkflows", { releases: [{ ...(await held()).proof, reason: "deploy" }] }, selection),
  "releaseWorkflows.ReleaseWorkflowsPayload.results.JobPoisonedError": async (selection) =>
    send("releaseWorkflows", { releases: [{ ...(await poisoned()), reason: "deploy" }] }, selection),
  "requestUserInput.RequestUserInputPayload": async (selection) =>
    send("requestUserInput", { ...(await held()).proof, question: "Send it?" }, selection),
  "requestUserInput.JobPoisoned": async (selection) =>
    send("requestUserInput", { ...(await held()).proof, question: HOSTILE }, selection),
  "requestUserInput.JobPoisonedError": async (selection) =>
    send("requestUserInput", { ...(await poisoned()), question: "Send it?" }, selection),
  "reportSecurityViolation.ReportSecurityViolationPayload": async (selection) => {
    const { jobId, proof } = await held();
    return send("reportSecurityViolation", { jobId, ...FINDING, ...proof }, selection);
  },
  "reportUsage.ReportUsagePayload": async (selection) => use((await held()).proof, selection),
};

function use(proof: object, selection: string): Promise<Answer> {
  const usage = [{ provider: "openai", model: "gpt-5", inputTokens: 1 }];
  return send("reportUsage", { ...proof, reportId: randomUUID(), usage }, selection);
}

test("a worker that reports usage late does not hold the job any more, and reads its state alone", async () => {
  const late = (selection: string) => async () =>
    use(await poisoned(), `... on ReportUsagePayload { isLate job { ${selection} } }`);
  const { data, errors } = await late("jobId state statusReason errorMessage")();
  expect(errors).toBeUndefined();
  expect(data).toMatchObject({ reportUsage: { isLate: true, job: { state: "POISONED", errorMessage: null } } });
  const refused = await late("costMicros")();
  expect(refused.errors).toMatchObject([{ extensions: { code: "FORBIDDEN" } }]);
});

/** Brings an entry about, and selects there. */
function at(entry: string, selection: string): Promise<Answer> {
  const situation = Object.entries(SITUATIONS).find(
    ([begin]) => entry.startsWith(`${begin}.`) || entry.startsWith(`${begin}:`),
  );
  if (!situation) throw new Error(`No situation leads to ${entry}.`);
  return situation[1](selectAt(entry, selection));
}

/** A heartbeat is answered by no capability: its union of errors is the interface that all errors share. */
const NEVER_ANSWERED = ["heartbeatWorkflows.HeartbeatWorkflowsPayload.results.error.CapabilityDeniedError.job: AiJob"];

describe("of a job that it holds", () => {
  test.each(HELD)("a worker reads everything of the job, its runs, steps and events: %s", async (entry) => {
    const type = schema.getType(entry.split(": ")[1] ?? "");
    // Below a list in a list less is selected, because the complexity of an operation counts the rows.
    const depth = entry.includes(".children") ? 0 : 4;
    const { data, errors } = await at(entry, type ? everythingOf(type, depth) : "");
    expect(errors).toBeUndefined();
    expect(JSON.stringify(data)).toMatch(/"(jobId|nodeId|trigger|workflowRunId)":/);
  });

  test("it reads what earlier attempts made", async () => {
    const { jobId, proof } = await held();
    await send("advanceWorkflow", { ...proof, step: step("a") }, "");
    const outputPayload = { so: "far" };
    await send(
      "advanceWorkflow",
      { ...proof, step: { nodeId: "a", nodeType: "tool", outcome: "SUCCEEDED", outputPayload } },
      "",
    );
    await send("failWorkflows", { failures: [{ ...proof, errorMessage: "no" }] }, "");
    const selection = `... on StartWorkflowPayload { claim { job { attempt workflowRuns(last: 5) { nodes {
      attempt errorMessage steps { nodeId outputPayload } } } } } }`;
    const again = () => send("startWorkflow", { jobId, workerId: "another" }, selection);
    await expect.poll(again).toMatchObject({
      data: {
        startWorkflow: {
          claim: {
            job: {
              attempt: 2,
              workflowRuns: {
                nodes: [
                  { attempt: 1, errorMessage: "no", steps: [{ nodeId: "a", outputPayload }] },
                  { attempt: 2, errorMessage: null, steps: [] },
                ],
              },
            },
          },
        },
      },
    });
  });
});

describe("of its parent", () => {
  /** A child that the worker holds, whose reports may be repeated. */
  async function childReport() {
    const parentJobId = await submitted({ entityRefs: [{ entityKind: "e", entityId: "1" }] });
    const { proof } = await held({ parentJobId });
    let nodes = 0;
    return (below: string) =>
      send(
        "advanceWorkflow",
        { ...proof, step: step(`n${nodes++}`) },
        `... on AdvanceWorkflowPayload { job { parentJob { ${below} } } }`,
      );
  }

  test("it reads what is no object", async () => {
    const report = await childReport();
    const { data, errors } = await report(leaves.map(({ name }) => name).join(" "));
    expect(errors).toBeUndefined();
    expect(JSON.stringify(data)).toContain("Ortelius");
  });

  const objects = jobFields.filter((field) => !leaves.includes(field) && permissionOf(field) === undefined);

  test.each(objects.map((field) => [field.name, field] as const))("and nothing else: %s", async (name, field) => {
    const { data, errors = [] } = await (await childReport())(selectionOf(field));
    const isRequired = isNonNullType(field.type);
    expect(JSON.stringify(data)).toContain(`"parentJob":${isRequired ? "null" : `{"${name}":null}`}`);
    expect(errors.map(({ extensions }) => extensions.code)).toEqual(isRequired ? ["FORBIDDEN"] : []);
  });
});

describe("of a job that it does not hold", () => {
  const notShown = jobFields.filter(({ name }) => !SHOWN_TO_ALL.includes(name));
  const nullable = notShown.filter(({ type }) => !isNonNullType(type));
  const required = notShown.filter(({ type }) => isNonNullType(type));
  const ofJobs = NOT_HELD.filter((entry) => entry.endsWith(": AiJob") && !NEVER_ANSWERED.includes(entry));

  test.each(ofJobs)("it reads id, state and reason, and what may be null is null: %s", async (entry) => {
    const { data, errors } = await at(entry, [...SHOWN_TO_ALL, ...nullable.map(selectionOf)].join(" "));
    expect(errors).toBeUndefined();
    const shown = /\{"__typename":"AiJob"[^{}]*\}/.exec(JSON.stringify(data))?.[0] ?? "null";
    const nothing = Object.fromEntries(nullable.map(({ name }) => [name, null]));
    expect(JSON.parse(shown)).toEqual({
      __typename: "AiJob",
      ...nothing,
      id: expect.any(String),
      jobId: expect.any(String),
      state: expect.any(String),
      statusReason: expect.any(String),
    });
  });

  test.each(required.map((field) => [field.name, field] as const))(
    "what must not be null is refused: %s",
    async (_, field) => {
      const entry = "advanceWorkflow.JobPoisonedError.job: AiJob";
      const { data, errors } = await at(entry, selectionOf(field));
      expect(data ?? null).toBeNull();
      expect(errors).toMatchObject([{ extensions: { code: "FORBIDDEN" } }]);
    },
  );

  test.each(ofJobs)("nothing else, of the others too: %s", async (entry) => {
    for (const below of ["workspaceId", "events { nodes { payload } }", "workflowRuns { nodes { workerId } }"]) {
      const { errors } = await at(entry, below);
      expect(errors).toMatchObject([{ extensions: { code: "FORBIDDEN" } }]);
    }
  });

  test("nor the violation by which a start poisoned it", async () => {
    for (const below of ["trigger", "description", "event { payload }"]) {
      const { errors } = await at("startWorkflow.JobPoisoned.violation: SecurityViolation", below);
      expect(errors).toMatchObject([{ extensions: { code: "FORBIDDEN" } }]);
    }
  });

  test("to ask for other jobs below one that it holds is refused before anything runs", async () => {
    const jobId = await submitted();
    const before = await everything(db.prisma);
    const below = "... on StartWorkflowPayload { claim { job { children { totalCount } } } }";
    const answer = await send("startWorkflow", { jobId, workerId: "w" }, below);
    expect(answer).toMatchObject({ status: 403, errors: [{ extensions: { code: "FORBIDDEN" } }] });
    expect(await everything(db.prisma)).toEqual(before);
  });

  test("with JOBS_READ it reads all of them", async () => {
    const both = await server.keyOf({ roles: ["WORKER", "VIEWER"] });
    const jobId = await submitted({ jobInputs: { text: HOSTILE } });
    const selection = `... on JobPoisoned { violation { trigger } job { ${ALL_OF_JOB} children { totalCount } } }`;
    const { data, errors } = await send("startWorkflow", { jobId, workerId: "w" }, selection, both);
    expect(errors).toBeUndefined();
    expect(data).toMatchObject({ startWorkflow: { job: { children: { totalCount: 0 } } } });
  });
});

describe("a proof", () => {
  test("is for the operation in which it is given, and for its own job", async () => {
    const { proof } = await held();
    const other = await poisoned();
    const query = `mutation ($a: AdvanceWorkflowInput!, $b: AdvanceWorkflowInput!) {
      a: advanceWorkflow(input: $a) { ... on AdvanceWorkflowPayload { job { priority } } }
      b: advanceWorkflow(input: $b) { ... on JobPoisonedError { job { jobId errorMessage } } } }`;
    const variables = { a: { ...proof, step: step("a") }, b: { ...other, step: step("a") } };
    const { data } = await post(server.url, JSON.stringify({ query, variables }), worker.headers);
    expect(data).toMatchObject({ a: { job: { priority: 0 } }, b: { job: { errorMessage: null } } });
  });
});

/** Starts a step of a run. @returns its global id. */
async function stepOf(proof: object): Promise<string> {
  const { data } = await send(
    "advanceWorkflow",
    { ...proof, step: step("n") },
    "... on AdvanceWorkflowPayload { node { id } }",
  );
  return /"id":"([^"]+)"/.exec(JSON.stringify(data))?.[1] ?? "";
}

/** The types that a global id may be of. */
function nodeTypes() {
  const type = schema.getType("Node");
  return type && isAbstractType(type) ? schema.getPossibleTypes(type) : [];
}

describe("by a global id", () => {
  const node = (id: string, { headers }: Pick<Caller, "headers">) =>
    post(
      server.url,
      JSON.stringify({ query: `{ node(id: "${id}") { __typename id } nodes(ids: ["${id}"]) { id } }` }),
      headers,
    );
  const idOf = (type: string, id: string) => Buffer.from(`${type}:${id}`).toString("base64");

  test("every type says who may read it", () => {
    const nodes = nodeTypes();
    expect(nodes.length).toBeGreaterThan(7);
    expect(nodes.filter(({ extensions }) => typeof extensions.permission !== "string")).toEqual([]);
  });

  test("a step is loaded by the worker that holds its job's lease, and by no other", async () => {
    const { proof } = await held();
    const stepId = await stepOf(proof);
    const other = await server.keyOf({ roles: ["WORKER"] });
    expect((await node(stepId, worker)).data).toMatchObject({ node: { __typename: "NodeExecution", id: stepId } });
    expect((await node(stepId, other)).data).toEqual({ node: null, nodes: [null] });
    await db.prisma
      .$executeRaw`UPDATE workflow_runs SET lease_expires_at = now() WHERE id = ${proof.workflowRunId}::uuid`;
    expect((await node(stepId, worker)).data).toEqual({ node: null, nodes: [null] });
  });

  test("what takes a permission is null without", async () => {
    const { jobId, proof } = await held();
    const ids = [
      idOf("AiJob", jobId),
      idOf("WorkflowRun", proof.workflowRunId),
      idOf("FlightRecorderEvent", `${jobId}:1`),
      idOf("ApiKey", worker.apiKeyId),
    ];
    for (const id of ids) expect((await node(id, worker)).data).toEqual({ node: null, nodes: [null] });
    for (const id of ids.slice(0, 3))
      expect((await node(id, submitter)).data).toMatchObject({ node: { id }, nodes: [{ id }] });
    expect((await node(idOf("ApiKey", worker.apiKeyId), submitter)).data).toEqual({ node: null, nodes: [null] });
    const admin = await server.keyOf({ roles: ["ADMIN"] });
    expect((await node(idOf("ApiKey", worker.apiKeyId), admin)).data).toMatchObject({ node: { __typename: "ApiKey" } });
    expect((await node(idOf("CapabilityProfile", "default"), worker)).data).toMatchObject({
      node: { __typename: "CapabilityProfile" },
    });
    expect((await node(idOf("Workspace", server.workspaceId), worker)).data).toMatchObject({
      node: { __typename: "Workspace" },
    });
  });
});

describe("a violation", () => {
  const report = (input: object, { headers }: Caller = worker) =>
    ask(server.url, "reportSecurityViolation", { ...FINDING, ...input }, headers);
  const LOST = { __typename: "LeaseLostError", directive: "STOP_LEASE_LOST" };

  test("is reported by a worker of the job that it holds, and of no other", async () => {
    const { workspaceId } = ok(await createWorkspace(engine, { name: "another", workspaceId: null }));
    const { jobId, proof } = await held();
    const another = await submitted();
    const before = await everything(db.prisma);
    expect(await report({ jobId })).toMatchObject({
      __typename: "ForbiddenError",
      message: expect.stringContaining("leaseToken"),
    });
    for (const wrong of [
      { jobId: another, ...proof },
      { jobId, ...proof, leaseToken: "A".repeat(43) },
      { jobId, ...proof, workflowRunId: randomUUID() },
      { jobId: randomUUID(), ...proof },
    ])
      expect(await report(wrong)).toMatchObject(LOST);
    for (const roles of [["WORKER"], ["ADMIN"]] as const)
      for (const thief of [await server.keyOf({ roles }), await server.keyOf({ roles, workspaceId })])
        expect(await report({ jobId, ...proof }, thief)).toMatchObject(LOST);
    expect(await everything(db.prisma)).toEqual(before);
    expect(await report({ jobId, ...proof })).toMatchObject({ actionTaken: "POISONED" });
    expect(await report({ jobId, ...proof })).toMatchObject({ actionTaken: "ALREADY_POISONED" });
    const event = await db.prisma.flightRecorderEvent.findFirst({ where: { jobId, type: "SECURITY_VIOLATION" } });
    expect(event).toMatchObject({ actor: "SYSTEM", actorId: "w", principalId: worker.principal });
  });

  test("takes both halves of the proof", async () => {
    const { jobId, proof } = await held();
    for (const half of ["workflowRunId", "leaseToken"] as const)
      expect(await report({ jobId, [half]: proof[half] })).toMatchObject({ __typename: "InvalidInputError" });
  });

  test("cannot be reported by a worker that lost its lease, but is recorded of a job that has completed", async () => {
    const lost = await held();
    await db.prisma.$executeRaw`
      UPDATE workflow_runs SET lease_expires_at = now() - interval '1 s' WHERE id = ${lost.proof.workflowRunId}::uuid`;
    expect(await report({ jobId: lost.jobId, ...lost.proof })).toMatchObject(LOST);
    const done = await held();
    await send("completeWorkflows", { completions: [done.proof] }, "");
    expect(await report({ jobId: done.jobId, ...done.proof })).toMatchObject({ actionTaken: "RECORDED" });
  });

  test("is reported without a proof by whoever may do so in another role", async () => {
    const both = await server.keyOf({ roles: ["WORKER", "SECURITY"] });
    expect(await report({ jobId: await submitted() }, both)).toMatchObject({ actionTaken: "POISONED" });
  });

  test("needs no workspace where a token names the run", async () => {
    const everywhere = await server.keyOf({ roles: ["WORKER"], workspaceId: null });
    const { workspaceId } = ok(await createWorkspace(engine, { name: "far", workspaceId: null }));
    const far = { ...server.operator, "x-workspace-id": workspaceId };
    await ask(server.url, "submitAiJob", { jobKind: "CANVAS_CLUSTER", protocolId: "far" }, far);
    const selection = "... on ClaimAiJobsPayload { claims { leaseToken job { jobId } workflowRun { workflowRunId } } }";
    const { data } = await send("claimAiJobs", { workerId: "w", jobKinds: ["CANVAS_CLUSTER"] }, selection, everywhere);
    const text = JSON.stringify(data);
    const [, jobId] = /"jobId":"([^"]+)"/.exec(text) ?? [];
    const [, leaseToken] = /"leaseToken":"([^"]+)"/.exec(text) ?? [];
    const [, workflowRunId] = /"workflowRunId":"([^"]+)"/.exec(text) ?? [];
    const proof = { jobId, leaseToken, workflowRunId };
    const elsewhere = { ...everywhere, headers: { ...everywhere.headers, "x-workspace-id": server.workspaceId } };
    expect(await report(proof, elsewhere)).toMatchObject(LOST);
    expect(await report(proof, everywhere)).toMatchObject({ actionTaken: "POISONED" });
  });
});
