import { complexityFromQuery } from "@pothos/plugin-complexity";
import { getNamedType, isInputObjectType, isListType, isNonNullType, parse, validate } from "graphql";
import { describe, expect, test } from "vitest";
import { priceOf } from "../../src/graphql/operation-price.ts";
import { schema } from "../../src/graphql/schema.ts";

/** What an operation costs (section 11), with its real arguments. */

function price(text: string, variableValues: Readonly<Record<string, unknown>> = {}, operationName?: string) {
  const document = parse(text);
  expect(validate(schema, document)).toEqual([]);
  return priceOf({ schema, document, variableValues, operationName: operationName ?? null });
}

const units = (text: string, variables?: Readonly<Record<string, unknown>>) => price(text, variables)?.units;

describe("a query costs its complexity", () => {
  const BY_VARIABLE = "query ($n: Int) { aiJobs(first: $n) { nodes { jobId state } } }";

  test.each<[string, Readonly<Record<string, unknown>>, number]>([
    ["{ __typename }", {}, 1],
    ['{ aiJob(jobId: "01990000-0000-7000-8000-000000000000") { jobId state } }', {}, 3],
    [
      '{ a: aiJob(jobId: "01990000-0000-7000-8000-000000000000") { jobId } b: aiJob(jobId: "01990000-0000-7000-8000-000000000000") { jobId } }',
      {},
      4,
    ],
    ["{ aiJobs { nodes { jobId state } } }", {}, 61],
    ["{ aiJobs(last: 3) { nodes { jobId state } } }", {}, 10],
    [BY_VARIABLE, { n: 100 }, 301],
    [BY_VARIABLE, { n: 2 }, 7],
    [BY_VARIABLE, { n: null }, 61],
    [BY_VARIABLE, {}, 61],
    ["query ($n: Int = 5) { aiJobs(first: $n) { nodes { jobId state } } }", {}, 16],
    ["query ($id: UUID!) { aiJob(jobId: $id) { ...F } } fragment F on AiJob { jobId state }", { id: "x" }, 3],
    ["{ aiJobs(first: 100) { nodes { events(first: 100) { nodes { actor } } } } }", {}, 20_201],
    ["{ aiJobs(first: 100) { nodes { events(first: 100) { nodes { actor actorId } } } } }", {}, 25_000],
    // What GraphQL refuses costs next to nothing.
    [BY_VARIABLE, { n: "many" }, 1],
    [BY_VARIABLE, { n: -5 }, 1],
  ])("%s %j: %i", (text, variables, expected) => {
    expect(units(text, variables)).toBe(expected);
    // Again, when the document is known: with other variables it has another price.
    const document = parse(text);
    priceOf({ schema, document, variableValues: { n: 50 } });
    expect(priceOf({ schema, document, variableValues: variables })?.units).toBe(expected);
  });

  test("as the limit of one operation counts it", () => {
    const text =
      "{ aiJobs(first: 7) { totalCount edges { cursor node { jobId children(first: 2) { nodes { state } } } } } }";
    expect(units(text)).toBe(complexityFromQuery(text, { schema }).complexity);
  });

  test("of the operation that is named", () => {
    const both = "query A { aiJobs(first: 1) { totalCount } } query B { aiJobs(first: 50) { nodes { jobId } } }";
    expect([price(both, {}, "A")?.units, price(both, {}, "B")?.units]).toEqual([2, 101]);
    expect(price(both, {}, "C")).toBeUndefined();
    expect(price(both)).toBeUndefined();
  });

  test("and a look at the schema as much as a long list", () => {
    expect(units("{ __schema { queryType { name } } }")).toBeGreaterThan(5_000);
    expect(units('{ ...F } fragment F on Query { __type(name: "AiJob") { name } }')).toBeGreaterThan(5_000);
  });

  test("and a subscription what it selects", () => {
    expect(price("subscription { aiJobsChanged { kind version } }")).toEqual({
      units: 3,
      commands: 0,
      isLongPoll: false,
    });
  });

  test("and fragments that spread each other many times are counted soon", () => {
    const levels = Array.from(
      { length: 100 },
      (_, level) => `fragment F${level} on Query { ...F${level + 1} ...F${level + 1} }`,
    );
    const text = `query ($n: Int) { ...F0 } ${levels.join(" ")} fragment F100 on Query { aiJobs(first: $n) { totalCount } }`;
    const start = performance.now();
    expect(units(text, { n: 3 })).toBe(25_000);
    expect(performance.now() - start).toBeLessThan(2_000);
  });
});

describe("a mutation costs commands", () => {
  const items = (count: number) => Array.from({ length: count }, () => ({ workflowRunId: "a", leaseToken: "b" }));
  const BULK = "mutation ($input: CancelAiJobsInput!) { cancelAiJobs(input: $input) { __typename } }";
  const HEARTBEATS = "mutation ($input: HeartbeatWorkflowsInput!) { heartbeatWorkflows(input: $input) { __typename } }";

  test.each<[string, Readonly<Record<string, unknown>>, number]>([
    ['mutation { retryAiJob(input: { jobId: "01990000-0000-7000-8000-000000000000" }) { __typename } }', {}, 1],
    [
      'mutation { a: retryAiJob(input: { jobId: "01990000-0000-7000-8000-000000000000" }) { __typename } b: retryAiJob(input: { jobId: "01990000-0000-7000-8000-000000000000" }) { __typename } }',
      {},
      2,
    ],
    ["mutation ($input: SubmitAiJobInput!) { submitAiJob(input: $input) { __typename } }", { input: {} }, 1],
    [HEARTBEATS, { input: { heartbeats: items(7) } }, 7],
    [HEARTBEATS, { input: { heartbeats: items(1)[0] } }, 1],
    [HEARTBEATS, { input: { heartbeats: [] } }, 1],
    [HEARTBEATS, { input: null }, 1],
    [HEARTBEATS, {}, 1],
    [
      "mutation ($heartbeats: [WorkflowHeartbeatInput!]!) { heartbeatWorkflows(input: { heartbeats: $heartbeats }) { __typename } }",
      { heartbeats: items(4) },
      4,
    ],
    [
      'mutation ($one: WorkflowHeartbeatInput!) { heartbeatWorkflows(input: { heartbeats: [$one, { workflowRunId: "01990000-0000-7000-8000-000000000000", leaseToken: "t" }] }) { __typename } }',
      {},
      2,
    ],
    [
      'mutation ($input: HeartbeatWorkflowsInput = { heartbeats: [{ workflowRunId: "01990000-0000-7000-8000-000000000000", leaseToken: "t" }, { workflowRunId: "01990000-0000-7000-8000-000000000000", leaseToken: "t" }] }) { heartbeatWorkflows(input: $input) { __typename } }',
      {},
      2,
    ],
    [BULK, { input: { limit: 30, reason: "r", filter: {} } }, 30],
    // What is done after the answer costs the server's own time.
    [BULK, { input: { limit: 100_000, reason: "r", filter: {} } }, 1000],
    [BULK, { input: { reason: "r", filter: {} } }, 100],
    [BULK, { input: { limit: "30" } }, 1],
    ['mutation { cancelAiJobs(input: { reason: "r", filter: {}, limit: 12 }) { __typename } }', {}, 12],
  ])("%s %j: %i", (text, variables, expected) => {
    const document = parse(text);
    expect(priceOf({ schema, document, variableValues: variables })?.commands).toBe(expected);
  });

  test("and one more for each thousand units of its answer", () => {
    const withEvents = (first: number) =>
      price(`mutation { retryAiJob(input: { jobId: "01990000-0000-7000-8000-000000000000" }) { ... on RetryAiJobPayload { job { events(first: ${first}) {
        nodes { actor actorId eventId version recordedAt hash prevHash state type traceId job { jobId state version } } } } } } }`)
        ?.commands;
    expect([withEvents(1), withEvents(100)]).toEqual([1, 2]);
  });

  test.each<[Readonly<Record<string, unknown>>, boolean]>([
    [{ workerId: "w", waitSeconds: 20 }, true],
    [{ workerId: "w", waitSeconds: 0 }, false],
    [{ workerId: "w" }, false],
  ])("and a claim of %j may wait: %s", (input, isLongPoll) => {
    const claim = "mutation ($input: ClaimAiJobsInput!) { claimAiJobs(input: $input) { __typename } }";
    expect(price(claim, { input })).toEqual({ units: 2, commands: 1, isLongPoll });
  });

  test("and each that takes a list of inputs, or a number of jobs, says so in the schema", () => {
    const fields = Object.values(schema.getMutationType()?.getFields() ?? {});
    const counted = fields.flatMap(({ name, args, extensions }) => {
      const input = getNamedType(args[0]?.type);
      const own = isInputObjectType(input) ? Object.values(input.getFields()) : [];
      const many = own.find(({ name: field, type }) => {
        const nullable = isNonNullType(type) ? type.ofType : type;
        return field === "limit" || (isListType(nullable) && isInputObjectType(getNamedType(nullable)));
      });
      return many ? [[name, `input.${many.name}`, extensions.commandsBy?.join(".")] as const] : [];
    });
    const exempt = [
      "claimAiJobs",
      "submitAiJob",
      "advanceWorkflow",
      "reportSecurityViolation",
      "reportUsage",
      "appendOutput",
    ];
    for (const [name, path, said] of counted)
      expect([name, said ?? "one"]).toEqual([name, exempt.includes(name) ? "one" : path]);
    expect(counted.length).toBeGreaterThan(5);
    for (const { args, extensions } of fields)
      for (const path of [extensions.commandsBy, extensions.waitsBy]) {
        if (!path) continue;
        const input = getNamedType(args.find(({ name }) => name === path[0])?.type);
        expect(isInputObjectType(input) && Object.keys(input.getFields())).toContain(path[1]);
      }
  });
});
