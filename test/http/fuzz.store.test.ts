import fc from "fast-check";
import {
  type GraphQLArgument,
  type GraphQLInputType,
  type GraphQLOutputType,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isRequiredArgument,
  isUnionType,
} from "graphql";
import { afterAll, beforeAll, expect, test } from "vitest";
import { schema } from "../../src/graphql/schema.ts";
import { type Authenticator, createAuthenticator } from "../../src/identity/authenticator.ts";
import { hashEvent } from "../../src/log/hash.ts";
import { AT_ANY_TIME } from "../chaos/checks.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn } from "../support/engine.ts";
import { type LoggedServer, startLoggedServer } from "../support/http.ts";
import { orInLong } from "../support/long.ts";
import { expectSound, recordsOfAll } from "../support/records.ts";
import { expectExact } from "../support/totals.ts";
import { type Caller, Callers } from "./fuzz-callers.ts";

/**
 * Requests that are drawn from the schema, right ones and wrong ones, some with their bytes changed, by callers of all roles in two
 * workspaces, and by nobody. Whatever comes, the server answers it, no answer is a failure of its own, none tells of another
 * workspace, and what it has stored then is sound.
 */

/** On each store. */
const REQUESTS = orInLong(1_000, 20_000);
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

const OPERATOR_KEY = "the-operator's-key-of-more-than-32-characters";

let db: TestDatabase;
let server: LoggedServer;
let authenticator: Authenticator;
let callers: Callers;
beforeAll(async () => {
  db = await openTestDatabase();
  const onError = (error: unknown) => expect.unreachable(String(error));
  authenticator = createAuthenticator({ prisma: db.prisma, operatorKey: OPERATOR_KEY, onError });
  server = await startLoggedServer(db, authenticator);
  callers = new Callers(engineOn(db), OPERATOR_KEY);
  await callers.make();
});
afterAll(async () => {
  await server.close();
  authenticator.close();
  await db.close();
});

/** What answers have told, so that later requests are about something that there is. */
const known = { ids: ["00000000-0000-7000-8000-000000000000"], tokens: ["A".repeat(43)], cursors: ["eyJ9"] };

function remember(text: string): void {
  const keep = (list: string[], pattern: RegExp) => {
    for (const [, value] of text.matchAll(pattern)) if (value !== undefined && !list.includes(value)) list.push(value);
    list.splice(1, list.length - 40);
  };
  keep(known.ids, /"(?:jobId|workflowRunId|quotaId|apiKeyId|id)":"([^"]+)"/g);
  keep(known.tokens, /"leaseToken":"([^"]+)"/g);
  keep(known.cursors, /"(?:cursor|endCursor|startCursor|feedCursor)":"([^"]+)"/g);
}

type Draw = <Value>(arbitrary: fc.Arbitrary<Value>) => Value;
const pick =
  (draw: Draw) =>
  <Value>(values: readonly Value[]): Value =>
    draw(fc.constantFrom(...values));
const isOneIn = (draw: Draw, count: number) => draw(fc.nat(count - 1)) === 0;

const TEXTS = [
  "",
  "a",
  "default",
  "terminal",
  "worker-1",
  "then",
  "__proto__",
  "\0",
  "\ud800",
  "💥",
  "ignore previous",
  "x".repeat(201),
  "x".repeat(20_000),
  "' OR 1=1 --",
  "$(id)",
  "\u202Eabc",
  "2026-11-29T00:00:00Z",
  "0001-01-01T00:00:00Z",
  "+275760-01-01T00:00:00Z",
];
const NUMBERS = [
  0,
  1,
  -1,
  2,
  5,
  30,
  100,
  101,
  900,
  901,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 53 - 1,
  2 ** 53,
  -(2 ** 53),
  0.5,
  1e300,
];

/** What a well-meant request has in a text of this name. */
function tameText(draw: Draw, name: string): string {
  if (name === "leaseToken") return pick(draw)(known.tokens);
  return name === "capabilityProfileId" ? "default" : pick(draw)(["one", "two"]);
}

/** @param isTame whether the request is meant well: most of those that are not are refused, and change nothing. */
function valueOf(draw: Draw, type: GraphQLInputType, name: string, isTame: boolean): unknown {
  const isWrong = (count: number) => !isTame && isOneIn(draw, count);
  if (isNonNullType(type)) return isWrong(40) ? null : valueOf(draw, type.ofType, name, isTame);
  if (isWrong(60)) return draw(fc.jsonValue({ maxDepth: 2 }));
  if (isListType(type)) {
    const length = isWrong(80) ? 101 : draw(fc.nat(2));
    return Array.from({ length }, () => valueOf(draw, type.ofType, name, isTame));
  }
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields()).filter(
      (field) => (isNonNullType(field.type) && field.defaultValue === undefined) || isOneIn(draw, isTame ? 6 : 3),
    );
    const entries = fields.map((field) => [field.name, valueOf(draw, field.type, field.name, isTame)] as const);
    return Object.fromEntries(isWrong(60) ? [...entries, ["nope", 1]] : entries);
  }
  if (isEnumType(type)) return isWrong(40) ? "NOPE" : pick(draw)(type.getValues()).name;
  switch (type.name) {
    case "UUID":
    case "ID":
      return isWrong(6) ? draw(fc.oneof(fc.uuid(), fc.constantFrom(...TEXTS))) : pick(draw)(known.ids);
    case "String":
      return isTame ? tameText(draw, name) : pick(draw)([...known.tokens, ...TEXTS]);
    case "Cursor":
      return pick(draw)([...known.cursors, ...TEXTS]);
    case "DateTime":
      return pick(draw)(["2026-11-29T00:00:00Z", "2020-01-01T00:00:00.000Z", ...(isTame ? [] : TEXTS)]);
    case "Boolean":
      return draw(fc.boolean());
    case "JSON":
      return draw(fc.jsonValue({ maxDepth: 4 }));
    default:
      if (isTame) return name === "leaseSeconds" ? 60 : draw(fc.integer({ min: 1, max: 5 }));
      return isOneIn(draw, 2) ? draw(fc.nat(5)) : pick(draw)(NUMBERS);
  }
}

/** A selection of some of a type's fields; those of which an argument is required are left out. */
function selectionOf(draw: Draw, output: GraphQLOutputType, depth: number): string {
  const type = getNamedType(output);
  if (isLeafType(type)) return "";
  if (isUnionType(type)) {
    const members = type.getTypes().map((member) => `... on ${member.name} ${selectionOf(draw, member, depth - 1)}`);
    return `{ __typename ${members.join(" ")} }`;
  }
  const selected = Object.values(type.getFields())
    .filter((field) => !field.args.some(isRequiredArgument) && (depth > 0 || isLeafType(getNamedType(field.type))))
    .filter((field) => /Id$|Token$|ursor$/.test(field.name) || isOneIn(draw, 3))
    .map((field) => `${type.name}_${field.name}: ${field.name} ${selectionOf(draw, field.type, depth - 1)}`);
  return `{ __typename ${selected.join(" ")} }`;
}

interface Request {
  readonly caller: Caller;
  readonly body: string;
  readonly headers: Record<string, string>;
}

const FIRST: readonly string[] = ["submitAiJob", "claimAiJobs"];

function requestOf(draw: Draw): Request {
  const isTame = !isOneIn(draw, 3);
  const isMutation = !isOneIn(draw, 3);
  const root = isMutation ? schema.getMutationType() : schema.getQueryType();
  // What nothing comes before is drawn more often: without jobs and claims, all else would be refused.
  const isFirst = isMutation && isOneIn(draw, 4);
  const fields = Object.values(root?.getFields() ?? {});
  const field = pick(draw)(isFirst ? fields.filter(({ name }) => FIRST.includes(name)) : fields);
  const given = field.args.filter((argument) => isNonNullType(argument.type) || isOneIn(draw, 2));
  const declared = given.map(({ name, type }) => `$${name}: ${String(type)}`).join(", ");
  const passed = given.map(({ name }) => `${name}: $${name}`).join(", ");
  const variables = Object.fromEntries(
    given.map(({ name, type }: GraphQLArgument) => [name, valueOf(draw, type, name, isTame)]),
  );
  const query = `${isMutation ? "mutation" : "query"} ${declared && `(${declared})`} {
    ${field.name}${passed && `(${passed})`} ${selectionOf(draw, field.type, 3)} }`;
  const body = JSON.stringify({ query, variables });
  const caller = callers.draw(draw);
  return { caller, body: !isTame && isOneIn(draw, 3) ? changed(draw, body) : body, headers: headersOf(draw, caller) };
}

/** The text with a few of its characters removed, repeated or replaced. */
function changed(draw: Draw, text: string): string {
  const at = draw(fc.nat(text.length));
  const length = draw(fc.nat(20));
  const inserted = pick(draw)([
    "",
    '"',
    "{",
    "[[[[",
    "\\",
    "\0",
    "}",
    ",",
    "\\u0000",
    "1e999",
    text.slice(at, at + length),
  ]);
  return text.slice(0, at) + inserted + text.slice(at + length);
}

function headersOf(draw: Draw, { authorization, workspaceId }: Caller): Record<string, string> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (authorization !== undefined) headers.authorization = authorization;
  // Of the whole deployment: most things can be done only in a workspace.
  if (workspaceId === null && !isOneIn(draw, 6)) headers["x-workspace-id"] = pick(draw)(callers.workspaceIds);
  if (isOneIn(draw, 20)) headers["x-workspace-id"] = pick(draw)([...known.ids, ...callers.workspaceIds, "nope"]);
  if (isOneIn(draw, 20))
    headers.accept = pick(draw)(["application/json", "application/graphql-response+json", "*/*", "text/html"]);
  if (isOneIn(draw, 100))
    headers["content-type"] = pick(draw)(["text/plain", "application/json; charset=utf-16", "multipart/form-data"]);
  return headers;
}

interface Answered {
  readonly status: number;
  readonly text: string;
  readonly caller: Caller;
  /** All that the request sent. */
  readonly sent: string;
}

/** @returns what is wrong with an answer, if anything. */
function complaintAbout({ status, text, caller: { workspaceId }, sent }: Answered): string | undefined {
  // On a machine that is busy with other tests, the database may be: whoever is told to try again has lost nothing.
  const isToTryAgain = status === 503 && text.includes('"code":"TRY_AGAIN"');
  if ((status >= 500 && !isToTryAgain) || text.includes("INTERNAL_SERVER_ERROR")) return "The server failed";
  if (/node_modules|prisma|\bpg_|    at |SELECT .* FROM /i.test(text)) return "The inside of the server was shown";
  if (workspaceId === undefined && status !== 401) return "Nobody was answered";
  const others = callers.workspaceIds.filter((id) => id !== workspaceId && !sent.includes(id));
  return workspaceId !== null && others.some((id) => text.includes(id)) ? "Another workspace was shown" : undefined;
}

test(
  `${REQUESTS} requests are answered, and leave everything sound (FUZZ_SEED=${SEED})`,
  async () => {
    let answered = 0;
    const property = fc.asyncProperty(fc.gen(), async (generate) => {
      const { caller, body, headers } = requestOf((arbitrary) => generate(() => arbitrary));
      const response = await fetch(server.url, { method: "POST", headers, body });
      const text = await response.text();
      const { status } = response;
      const complaint = complaintAbout({ status, text, caller, sent: body + JSON.stringify(headers) });
      if (complaint)
        throw new Error(`${complaint}: ${status} ${text.slice(0, 500)} was answered to ${body.slice(0, 1000)}`);
      if (status === 401) await callers.renew(caller);
      if (text.includes('"data":{')) answered += 1;
      remember(text.replaceAll(/"\w+_(\w+)":/g, '"$1":'));
    });
    await fc.assert(property, { numRuns: REQUESTS, seed: SEED, endOnFailure: true });
    expect(server.logged()).toEqual([]);
    // Most requests are right, and much has happened; otherwise nothing would have been tried.
    expect(answered).toBeGreaterThan(REQUESTS / 5);
    const { prisma } = db;
    const events = await prisma.flightRecorderEvent.findMany();
    expect(events.length).toBeGreaterThan(REQUESTS / 50);
    expect(events.filter(({ hash, ...event }) => hashEvent(event) !== hash)).toEqual([]);
    const records = await recordsOfAll(prisma, [...new Set(events.map(({ jobId }) => jobId))]);
    for (const each of records.values()) expectSound(each);
    for (const { name, refutation } of AT_ANY_TIME)
      expect([name, await prisma.$queryRawUnsafe(refutation)]).toEqual([name, []]);
    await expectExact(prisma);
  },
  orInLong(120_000, 7_200_000),
);
