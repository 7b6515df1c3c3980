import {
  commitMutation,
  createOperationDescriptor,
  Environment,
  fetchQuery,
  type GraphQLSingularResponse,
  getFragment,
  getRequest,
  getSingularSelector,
  Network,
  RecordSource,
  Store,
} from "relay-runtime";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { submitted } from "../support/engine.ts";
import { openPlace, type Place } from "./harness.ts";
import { compileForRelay, type RelayProject } from "./relay-compiler.ts";

/** Relay: its compiler on our schema, its connections and directives in its store, and what it makes of our errors. */

const DOCUMENTS = [
  `fragment Relay_jobs on Query
    @argumentDefinitions(count: { type: "Int", defaultValue: 2 }, cursor: { type: "String" })
    @refetchable(queryName: "RelayJobsQuery") {
    aiJobs(first: $count, after: $cursor, filter: { states: [QUEUED] }) @connection(key: "Relay_aiJobs") {
      __id
      edges { node { id jobId } }
    }
  }`,
  `fragment Relay_children on AiJob
    @argumentDefinitions(count: { type: "Int", defaultValue: 1 }, cursor: { type: "String" })
    @refetchable(queryName: "RelayChildrenQuery") {
    children(first: $count, after: $cursor) @connection(key: "Relay_children") { edges { node { jobId } } }
  }`,
  `query RelayParentQuery($jobId: UUID!) { aiJob(jobId: $jobId) { id ...Relay_children } }`,
  `mutation RelayAppendMutation($input: SubmitAiJobInput!, $connections: [ID!]!) {
    submitAiJob(input: $input) {
      __typename
      ... on SubmitAiJobPayload { job @appendNode(connections: $connections, edgeTypeName: "AiJobEdge") { id jobId } }
    }
  }`,
  `mutation RelayPrependMutation($input: SubmitAiJobInput!, $connections: [ID!]!) {
    submitAiJob(input: $input) {
      __typename
      ... on SubmitAiJobPayload { job @prependNode(connections: $connections, edgeTypeName: "AiJobEdge") { id jobId } }
    }
  }`,
  `mutation RelayCancelMutation($jobId: UUID!, $connections: [ID!]!) {
    cancelAiJob(input: { jobId: $jobId, reason: "done" }) {
      __typename
      ... on CancelAiJobPayload { job { id @deleteEdge(connections: $connections) state } }
    }
  }`,
  `query RelayQuotasQuery { quotas { quotaId max } }`,
  `mutation RelaySetQuotaMutation($input: SetQuotaInput!) {
    setQuota(input: $input) { ... on SetQuotaPayload { quota { id quotaId } } }
  }`,
  `mutation RelayDeleteQuotaMutation($quotaId: UUID!) {
    deleteQuota(input: { quotaId: $quotaId }) { __typename ... on DeleteQuotaPayload { quotaId deletedQuotaId @deleteRecord } }
  }`,
  `query RelayCaughtQuery($jobId: UUID!) {
    quotas { max }
    node(id: "no such id") @catch { id }
    aiJob(jobId: $jobId) @catch { jobId children(first: 1000) { nodes { jobId } } }
  }`,
  `query RelayThrowingQuery @throwOnFieldError { quotas { max } node(id: "no such id") { id } }`,
];

let place: Place;
let project: RelayProject;
beforeAll(async () => {
  place = await openPlace();
  const sdl = await fetch(new URL("/schema.graphql", place.url));
  project = await compileForRelay(await sdl.text(), DOCUMENTS);
});
afterAll(async () => {
  await project[Symbol.asyncDispose]();
  await place.close();
});

/** A client with an empty store, which warns of nothing. */
function aClient() {
  const warned = vi.spyOn(console, "error");
  const answers: GraphQLSingularResponse[] = [];
  const network = Network.create(async ({ text }, variables) => {
    const body = JSON.stringify({ query: text, variables });
    const response = await fetch(place.url, { method: "POST", headers: { "content-type": "application/json" }, body });
    const answer: unknown = await response.json();
    if (!isAnswer(answer)) throw new Error("This is no answer.");
    answers.push(answer);
    return answer;
  });
  const fieldErrors: unknown[] = [];
  const environment = new Environment({
    network,
    relayFieldLogger: (event) => fieldErrors.push(event),
    store: new Store(new RecordSource()),
  });
  const described = (query: string, variables: object) =>
    createOperationDescriptor(getRequest(project.artifact(query)), variables);
  return {
    answers,
    fieldErrors,
    /** What a component that uses the query sees. */
    query: async (query: string, variables: object = {}): Promise<unknown> => {
      environment.retain(described(query, variables));
      return fetchQuery(environment, project.artifact(query), variables).toPromise();
    },
    /** What a component that uses the fragment sees; it was handed this by its parent. */
    read: (fragment: string, parent: unknown): unknown =>
      environment.lookup(getSingularSelector(getFragment(project.artifact(fragment)), parent)).data,
    /** The same without a request. */
    look: (query: string): unknown => environment.lookup(described(query, {}).fragment).data,
    mutate: (mutation: string, variables: Record<string, unknown>) =>
      new Promise<Record<string, unknown>>((resolve, reject) => {
        commitMutation(environment, {
          mutation: project.artifact(mutation),
          variables,
          onCompleted: (data, errors) => (errors ? reject(new Error(JSON.stringify(errors))) : resolve(data)),
          onError: reject,
        });
      }),
    [Symbol.dispose]() {
      const warnings = warned.mock.calls;
      warned.mockRestore();
      expect(warnings).toEqual([]);
    },
  };
}

function isAnswer(answer: unknown): answer is GraphQLSingularResponse {
  return typeof answer === "object" && answer !== null && ("data" in answer || "errors" in answer);
}

const list = (...jobIds: readonly string[]) => ({ edges: jobIds.map((jobId) => ({ node: { jobId } })) });
const INPUT = { jobKind: "DOC_EDIT", protocolId: "p" };

const pageSchema = z.object({ aiJobs: z.object({ __id: z.string(), pageInfo: z.object({ endCursor: z.string() }) }) });
const submitSchema = z.object({ submitAiJob: z.object({ job: z.object({ jobId: z.string() }) }) });
const parentSchema = z.object({ aiJob: z.looseObject({ id: z.string() }) });
const childrenSchema = z.object({ children: z.object({ pageInfo: z.object({ endCursor: z.string() }) }) });
const quotaSchema = z.object({ setQuota: z.object({ quota: z.object({ quotaId: z.string() }) }) });

test("a list is read on by pages, a submitted job is put to either end of it, and one that is cancelled leaves it", async () => {
  using client = aClient();
  const jobs: string[] = [];
  for (let at = 0; at < 3; at += 1) jobs.unshift((await submitted(place.engine)).jobId);
  const [third = "", second = "", first = ""] = jobs;
  const page = await client.query("RelayJobsQuery");
  const seen = () => client.read("Relay_jobs", page);
  expect(seen()).toMatchObject({ aiJobs: { ...list(third, second), pageInfo: { hasNextPage: true } } });
  const { __id, pageInfo } = pageSchema.parse(seen()).aiJobs;
  await client.query("RelayJobsQuery", { cursor: pageInfo.endCursor });
  expect(seen()).toMatchObject({ aiJobs: { ...list(third, second, first), pageInfo: { hasNextPage: false } } });

  const connections = [__id];
  const submit = async (mutation: string) =>
    submitSchema.parse(await client.mutate(mutation, { input: INPUT, connections })).submitAiJob.job.jobId;
  const newest = await submit("RelayPrependMutation");
  const last = await submit("RelayAppendMutation");
  expect(seen()).toMatchObject({ aiJobs: list(newest, third, second, first, last) });
  await client.mutate("RelayCancelMutation", { jobId: second, connections });
  expect(seen()).toMatchObject({ aiJobs: list(newest, third, first, last) });
  expect(client.answers).toHaveLength(5);
});

test("a list of a node is read on by the node's id", async () => {
  using client = aClient();
  const { jobId: parentJobId } = await submitted(place.engine);
  const older = await submitted(place.engine, { parentJobId });
  const newer = await submitted(place.engine, { parentJobId });
  const { aiJob } = parentSchema.parse(await client.query("RelayParentQuery", { jobId: parentJobId }));
  const seen = () => client.read("Relay_children", aiJob);
  expect(seen()).toMatchObject({ children: list(newer.jobId) });
  const { endCursor } = childrenSchema.parse(seen()).children.pageInfo;
  await client.query("RelayChildrenQuery", { id: aiJob.id, cursor: endCursor });
  expect(seen()).toMatchObject({ children: list(newer.jobId, older.jobId) });
});

test("a quota that is deleted goes from the store by its id, and the mutation's result can be read", async () => {
  using client = aClient();
  const set = await client.mutate("RelaySetQuotaMutation", { input: { resource: "ACTIVE_JOBS", max: 9 } });
  const { quotaId } = quotaSchema.parse(set).setQuota.quota;
  expect(await client.query("RelayQuotasQuery")).toEqual({ quotas: [{ quotaId, max: 9 }] });
  expect(await client.mutate("RelayDeleteQuotaMutation", { quotaId })).toMatchObject({
    deleteQuota: { __typename: "DeleteQuotaPayload", quotaId },
  });
  // Relay leaves a deleted record's place in a list that is no connection.
  expect(client.look("RelayQuotasQuery")).toEqual({ quotas: [null] });
});

describe("a field that fails", () => {
  /** What Relay gives of an error: its extensions, and its place below the field that caught it. */
  const caught = (argument: string) => ({
    ok: false,
    errors: [{ extensions: expect.objectContaining({ code: "INVALID_INPUT", path: [argument] }) }],
  });

  test("is caught where it stands, or where it made null, and what stands beside it is there", async () => {
    using client = aClient();
    const { jobId } = await submitted(place.engine);
    expect(await client.query("RelayCaughtQuery", { jobId })).toEqual({
      quotas: [],
      node: caught("id"),
      aiJob: { ...caught("first"), errors: [{ ...caught("first").errors[0], path: ["children"] }] },
    });
    const locations = [{ line: expect.any(Number), column: expect.any(Number) }];
    const errors = [
      { path: ["node"], locations },
      { path: ["aiJob", "children"], locations },
    ];
    expect(client.answers).toMatchObject([{ errors }]);
  });

  test("throws where the query asks for that, and what it says is logged", async () => {
    using client = aClient();
    await expect(client.query("RelayThrowingQuery")).rejects.toThrow("Unexpected response payload");
    const error = expect.objectContaining({ message: expect.stringContaining("not a global id") });
    expect(client.fieldErrors).toEqual([expect.objectContaining({ error, shouldThrow: true })]);
  });
});
