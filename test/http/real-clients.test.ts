import { getIntrospectionQuery, getNamedType, isCompositeType, isObjectType, Lexer, Source, TokenKind } from "graphql";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";
import type { Database } from "../../src/db/database.ts";
import { schema } from "../../src/graphql/schema.ts";
import { openTestDatabase } from "../support/database.ts";
import { operation, post } from "../support/http.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** The largest operations that real clients send: they fit into the default of MAX_DOCUMENT_TOKENS several times. */

let database: Database;
let server: TestServer;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startTestServer(database);
});
afterAll(async () => {
  await server.close();
  await database.close();
});

function tokensOf(document: string): number {
  const lexer = new Lexer(new Source(document));
  let tokens = 0;
  while (lexer.advance().kind !== TokenKind.EOF) tokens += 1;
  return tokens;
}

const ALL = {
  descriptions: true,
  specifiedByUrl: true,
  directiveIsRepeatable: true,
  schemaDescription: true,
  inputValueDeprecation: true,
  oneOf: true,
};

/** Everything that a type has, without arguments: what a generator of operations makes, and nobody writes. */
function everythingOf(typeName: string, levels: number): string {
  const type = schema.getType(typeName);
  if (!isObjectType(type)) return "__typename";
  const fields = Object.values(type.getFields()).map(({ name, type: fieldType }) => {
    const named = getNamedType(fieldType);
    if (!isCompositeType(named)) return name;
    return levels > 1 ? `${name} { ${everythingOf(named.name, levels - 1)} }` : "";
  });
  return ["__typename", ...fields].join(" ");
}

test.each([
  // GraphiQL, GraphQL Code Generator, Altair, Insomnia and Postman send one of these two.
  ["the introspection query of graphql-js", getIntrospectionQuery(), 163, 5],
  ["the same with all of its options", getIntrospectionQuery(ALL), 184, 5],
  ["the same, with types nested twice as deep", getIntrospectionQuery({ ...ALL, typeDepth: 14 }), 209, 5],
  ["everything that is told of a job, two levels deep", `{ aiJobs { nodes { ${everythingOf("AiJob", 2)} } } }`, 177, 5],
  ["and three levels deep", `{ aiJobs(first: 1) { nodes { ${everythingOf("AiJob", 3)} } } }`, 520, 3],
])("%s", async (_what, document, atMost, timesInLimit) => {
  const { maxDocumentTokens } = readConfig({});
  const tokens = tokensOf(document);
  expect(tokens).toBeLessThanOrEqual(atMost);
  expect(tokens).toBeLessThan(maxDocumentTokens / timesInLimit);
  const answer = await post(server.url, operation(document));
  expect({ status: answer.status, errors: answer.errors }).toEqual({ status: 200, errors: undefined });
});
