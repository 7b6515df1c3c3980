import { getNullableType, isInterfaceType, isListType } from "graphql";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import type { EngineContext } from "../../src/engine.ts";
import { createWorkspace } from "../../src/identity/workspaces.ts";
import { readSchema, SCHEMA_FILE } from "../contract/schema-text.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok } from "../support/engine.ts";
import { type GuardedServer, startGuardedServer } from "../support/guarded-server.ts";
import { neverExisted } from "./sweep/never-existed.ts";
import { type Probe, probesOf } from "./sweep/probes.ts";
import { documentOf, idPathsOf, type RootField, rootFieldsOf, type Values, variablesOf } from "./sweep/root-fields.ts";
import { idsIn, rowsOf } from "./sweep/rows.ts";
import { openStream } from "./sweep/stream.ts";
import { VALUES } from "./sweep/values.ts";
import { ask, type Caller, type FilledWorkspace, fillWorkspace, type Reply } from "./sweep/workspace.ts";

/**
 * Every field of the schema, asked from another workspace about everything that a workspace has (section 11): the answer is the one
 * that is given about what never existed, nothing of the workspace is in it, and nothing of it changes.
 */

const schema = readSchema(SCHEMA_FILE);
const fields = rootFieldsOf(schema);
const named = (operation: "query" | "mutation" | "subscription") =>
  fields.filter((each) => String(each.operation) === operation).map((each) => [each.field.name, each] as const);

let db: TestDatabase;
let engine: EngineContext;
let server: GuardedServer;
/** Has something to hide. */
let alpha: FilledWorkspace;
/** Is where the requests come from. It has as much, which is what it may see. */
let beta: FilledWorkspace;
/** One of the whole deployment, which has picked alpha, or a workspace in which nothing is. */
let inAlpha: Caller;
let inGamma: Caller;
/** Another one in which nothing is, and a position in the log from when the others were filled. */
let delta: Caller;
let feedCursor: string;
let rowsBefore: Awaited<ReturnType<typeof rowsOf>>;
let idsOfAlpha: ReadonlySet<string>;

/** @returns the credential of a new ADMIN key. */
async function adminOf(workspaceId: string | null): Promise<string> {
  return (await server.keyOf({ roles: ["ADMIN"], workspaceId })).headers.authorization;
}

async function aWorkspace(word: string): Promise<FilledWorkspace> {
  const { workspaceId } = ok(await createWorkspace(engine, { name: `workspace of ${word}`, workspaceId: null }));
  return fillWorkspace(server.url, { authorization: await adminOf(workspaceId) }, workspaceId, word);
}

async function anEmptyWorkspace(): Promise<string> {
  return ok(await createWorkspace(engine, { name: "empty", workspaceId: null })).workspaceId;
}

beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  server = await startGuardedServer(db);
  beta = await aWorkspace("beta");
  // Later, so that its cursors of the log lie behind all that the other one has.
  alpha = await aWorkspace("alpha");
  const authorization = await adminOf(null);
  inAlpha = { authorization, workspaceId: alpha.workspaceId };
  inGamma = { authorization, workspaceId: await anEmptyWorkspace() };
  delta = { authorization: await adminOf(await anEmptyWorkspace()) };
  const { body } = await ask(server.url, delta, "{ aiJobs { feedCursor } }");
  const position = z.object({ data: z.object({ aiJobs: z.object({ feedCursor: z.string() }) }) });
  feedCursor = position.parse(JSON.parse(body)).data.aiJobs.feedCursor;
  rowsBefore = await rowsOf(db.prisma, alpha.workspaceId);
  idsOfAlpha = idsIn(Object.values(rowsBefore).join());
}, 120_000);
afterAll(async () => {
  await server.close();
  await db.close();
});

const toNeverExisted = (value: string) => neverExisted(value, alpha.word);

/** A document that selects much; less of a list, which would be too much. */
function documentFor(rootField: RootField, variables: object): string {
  const isList = isListType(getNullableType(rootField.field.type));
  return documentOf(rootField, schema, Object.keys(variables), isList ? 1 : 2);
}

function send(caller: Caller, rootField: RootField, values: Values): Promise<Reply> {
  const variables = variablesOf(rootField, values);
  return ask(server.url, caller, documentFor(rootField, variables), variables);
}

/** An answer without what a request sent itself, and without what differs each time: new ids, times, hashes, cursors, durations. */
function comparable({ status, body }: Reply, sent: Values): Reply {
  const own = Object.values(sent).reduce<string>((text, value) => text.replaceAll(String(value), "(sent)"), body);
  const text = own
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "(id)")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "(time)")
    .replaceAll(/"[\w-]{40,}[\w.=-]*"/g, '"(hash or cursor)"')
    .replace(/^retry: \d+/, "retry: (ms)")
    .replaceAll(/^id: .*$/gm, "id: (cursor)")
    .replaceAll(/((?:queued|run)Ms":)\d+/g, "$1(ms)");
  return { status, body: text };
}

/** Expects that nothing of alpha is in an answer, but for what the request sent itself. */
function expectNothingOfAlpha({ body }: Reply, sent: Values): void {
  const text = Object.values(sent).reduce<string>((rest, value) => rest.replaceAll(String(value), ""), body);
  expect(text).not.toContain(alpha.word);
  expect([...idsIn(text)].filter((id) => idsOfAlpha.has(id))).toEqual([]);
}

function expectAlike(about: Reply, aboutNothing: Reply, { paths, values, neverExisted }: Probe): void {
  expect({ paths, ...comparable(about, values) }).toEqual({ paths, ...comparable(aboutNothing, neverExisted) });
  expectNothingOfAlpha(about, values);
}

test("the sweep knows all ids of the schema, and no others", () => {
  expect(Object.keys(VALUES).toSorted()).toEqual(
    fields.flatMap((field) => idPathsOf(field).map(({ path }) => path)).toSorted(),
  );
  const node = schema.getType("Node");
  const types = isInterfaceType(node) ? schema.getPossibleTypes(node).map(({ name }) => name) : [];
  // Capability profiles are of the whole deployment.
  expect([...Object.keys(alpha.globalIds), "CapabilityProfile"].toSorted()).toEqual(types.toSorted());
  for (const ids of Object.values(alpha.globalIds)) expect(ids).not.toEqual([]);
});

test.each(named("query"))(
  "what two workspaces ask in one tick is answered to each as if it were alone: %s",
  async (_, rootField) => {
    const probes = probesOf(rootField, alpha, toNeverExisted);
    for (const probe of probes.filter(isOfOneWorkspace)) {
      // All are there before the first is answered, so that their reads share statements.
      const [about, , aboutNothing] = await Promise.all([
        send(beta.admin, rootField, probe.values),
        send(alpha.admin, rootField, probe.values),
        send(beta.admin, rootField, probe.neverExisted),
      ]);
      expectAlike(about, aboutNothing, probe);
    }
  },
);

test("two workspaces do share a statement", async () => {
  const query = (jobId: string | undefined) => `{ aiJob(jobId: "${jobId}") { jobId } }`;
  await vi.waitFor(
    async () => {
      db.statements();
      const callers = [beta, alpha].map(({ admin, jobs: [job] }) => ask(server.url, admin, query(job?.jobId)));
      for (const { status } of await Promise.all(callers)) expect(status).toBe(200);
      expect(db.statements().filter((sql) => sql.includes("ai_jobs"))).toHaveLength(1);
    },
    { timeout: 20_000, interval: 1 },
  );
});

describe.each(["query", "mutation"] as const)("a %s of what another workspace has is one of nothing", (operation) => {
  test.each(named(operation))("%s", async (_, rootField) => {
    for (const probe of probesOf(rootField, alpha, toNeverExisted)) {
      const about = await send(beta.admin, rootField, probe.values);
      expectAlike(about, await send(beta.admin, rootField, probe.neverExisted), probe);
    }
  });

  test.each(named(operation))("%s, by who picked another workspace", async (_, rootField) => {
    const probes = probesOf(rootField, alpha, toNeverExisted).filter(isOfOneWorkspace);
    // The first about each id: who asks makes no difference after that.
    const firsts = new Map(probes.toReversed().map((probe) => [probe.paths.join(), probe]));
    for (const probe of firsts.values()) {
      const about = await send(inGamma, rootField, probe.values);
      expectAlike(about, await send(inGamma, rootField, probe.neverExisted), probe);
    }
  });

  test.each(named(operation))("%s, where it names nothing", async (_, rootField) => {
    const [, ...ids] = idPathsOf(rootField).filter(({ isRequired }) => isRequired);
    if (ids.length === 0) expectNothingOfAlpha(await send(beta.admin, rootField, {}), {});
  });
});

/** Keys and workspaces are shown to principals of the whole deployment, whatever they picked. */
function isOfOneWorkspace({ paths, values }: Probe): boolean {
  const isShown = paths.some((path) => /^(?:\w+Workspaces?|\w+ApiKey|workspaces|apiKeys)\./.test(path));
  const global = Object.values(values).map((value) => Buffer.from(String(value), "base64").toString());
  return !isShown && !global.some((id) => /^(?:ApiKey|Workspace):/.test(id));
}

test("nothing of it was changed", async () => {
  expect(await rowsOf(db.prisma, alpha.workspaceId)).toEqual(rowsBefore);
});

test("a subscription of what another workspace has is one of nothing", async () => {
  const open = (rootField: RootField, values: Values) => {
    const variables = variablesOf(rootField, values);
    return openStream(server.url, delta, documentFor(rootField, variables), variables);
  };
  // A cursor is a position in the log and no permission: one of its own stands where those of alpha do.
  const toNothing = (value: string, path: string) => (path.endsWith(".after") ? feedCursor : toNeverExisted(value));
  const pairs = named("subscription").flatMap(([, rootField]) =>
    probesOf(rootField, alpha, toNothing).map((probe) => ({
      probe,
      about: open(rootField, probe.values),
      aboutNothing: open(rootField, probe.neverExisted),
    })),
  );
  const ofAll = named("subscription").flatMap(([name, rootField]) =>
    name === "aiJobsChanged" ? open(rootField, {}) : [],
  );
  const streams = [...pairs.flatMap(({ about, aboutNothing }) => [about, aboutNothing]), ...ofAll];
  const hasTold = (text: string) => ofAll.some((stream) => stream.reply().body.includes(text));
  try {
    await vi.waitUntil(
      () => server.feed.subscribers + streams.filter((each) => each.hasEnded()).length === streams.length,
      {
        timeout: 20_000,
      },
    );
    for (const { jobId } of alpha.jobs.slice(0, 3)) await ask(server.url, alpha.admin, cancelOf(jobId));
    // What is told of one job comes after what was told before of others.
    for (const protocolId of ["told first", "told second"]) {
      await ask(server.url, delta, submitOf(protocolId));
      await vi.waitUntil(() => hasTold(protocolId), { timeout: 20_000 });
    }
    for (const { probe, about, aboutNothing } of pairs) expectAlike(about.reply(), aboutNothing.reply(), probe);
  } finally {
    for (const { close } of streams) close();
  }
});

const cancelOf = (jobId: string) =>
  `mutation { cancelAiJob(input: { jobId: "${jobId}", reason: "enough" }) { ... on CancelAiJobPayload { job { state } } } }`;
const submitOf = (protocolId: string) =>
  `mutation { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "${protocolId}" }) { ... on SubmitAiJobPayload { job { jobId } } } }`;

/** What finds no one thing: a position in a list or in the log, and what people and programs call their own things. */
const FINDS_NOTHING = /\.(?:after|before|nodeId|entityId|sourceId|profileId)$|^claimAiJobs\.input\.workerId$/;
/** What leaves nothing for the next filter to find: one of them is enough. */
const BULK = /^(?:cancel|retry)AiJobs\./;

test("who may see it is answered otherwise, about all of it", async () => {
  const found = new Set<string>();
  // From the end of the alphabet, so that many jobs are retried and cancelled before that is done with each.
  for (const [, rootField] of [...named("query"), ...named("mutation").toReversed()]) {
    for (const probe of probesOf(rootField, alpha, toNeverExisted)) {
      if (probe.paths.every((path) => found.has(path))) continue;
      const caller = probe.paths.some((path) => path.includes("Workspace.")) ? inAlpha : alpha.admin;
      const about = comparable(await send(caller, rootField, probe.values), probe.values);
      const aboutNothing = await send(caller, rootField, probe.neverExisted);
      if (about.body === comparable(aboutNothing, probe.neverExisted).body) continue;
      for (const path of probe.paths) found.add(path);
    }
  }
  const mustBeFound = Object.keys(VALUES).filter((path) => VALUES[path] && !FINDS_NOTHING.test(path));
  const missed = mustBeFound.filter(
    (path) => !found.has(path) && !/^(?:aiJobs?Changed|aiJobOutput|workerDirectives)\./.test(path),
  );
  expect(missed.filter((path) => !BULK.test(path))).toEqual([]);
  for (const bulk of ["cancelAiJobs", "retryAiJobs"])
    expect([...found].filter((path) => path.startsWith(`${bulk}.`))).not.toEqual([]);
}, 120_000);
