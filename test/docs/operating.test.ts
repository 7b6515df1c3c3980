import { buildSchema, parse, validate } from "graphql";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import type { Database } from "../../src/db/database.ts";
import { openTestDatabase } from "../support/database.ts";
import { blocksOf, codesIn, DOCUMENTS, filesBelow, readText, rowsOf, sectionOf } from "../support/documents.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** What the documents tell people to send, to set, to look at and to run is there. */

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

const blocks = DOCUMENTS.flatMap((file) =>
  blocksOf(readText(file)).map(({ info, text }) => ({ file, info, text, start: text.split("\n")[0] })),
);
const operations = blocks.filter(({ info }) => info === "graphql");
const statements = blocks
  .filter(({ info }) => info === "sql")
  .flatMap(({ file, text }) => text.split(";\n").map((sql) => ({ file, sql })))
  .filter(({ sql }) => sql.trim() !== "");

test("there are operations and statements to check", () => {
  expect(operations.length).toBeGreaterThan(3);
  expect(statements.length).toBeGreaterThan(1);
});

test.each(operations)("$file: the operation that begins with $start is valid", ({ text }) => {
  expect(validate(buildSchema(readText("schema.graphql")), parse(text)).map(({ message }) => message)).toEqual([]);
});

test.each(statements)("$file: $sql can be run", async ({ sql }) => {
  await expect(database.prisma.$executeRawUnsafe(sql)).resolves.toBeTypeOf("number");
});

test("the answer of GET /health has the fields that docs/operating.md shows", async () => {
  const example = blocksOf(sectionOf(readText("docs/operating.md"), "## Health"))[0]?.text ?? "";
  const answer: unknown = await (await fetch(new URL("/health", server.url))).json();
  expect(fieldsOf(JSON.parse(example))).toEqual(fieldsOf(answer));
});

/** The names of a value's fields, and of theirs. */
function fieldsOf(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return null;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, fieldsOf(inner)]));
}

test("every message that docs/operating.md explains is one that the server logs", () => {
  const messages = rowsOf(sectionOf(readText("docs/operating.md"), "## Logs")).flatMap(([cell = ""]) => codesIn(cell));
  const sources = filesBelow("src", ".ts").map(readText).join("\n");
  expect(messages.length).toBeGreaterThan(5);
  expect(messages.filter((message) => !sources.includes(`"${message}"`))).toEqual([]);
});

/** Set by vitest.config.ts itself, for each of its projects. */
const OWN = "TEST_STORE";

const variablesIn = (heading: string) =>
  new Set(rowsOf(sectionOf(readText("docs/configuration.md"), heading)).flatMap(([cell = ""]) => codesIn(cell)));

test("docs/configuration.md has every variable that the settings read, and no other", () => {
  const read = ["src/config.ts", "src/auth-settings.ts", "src/rate-settings.ts", "src/tracing-settings.ts"].flatMap(
    (file) => [...readText(file).matchAll(/^ {2}([A-Z][A-Z_]+): \w/gm)].map(([, name]) => name),
  );
  expect(read.length).toBeGreaterThan(5);
  expect(variablesIn("## The server")).toEqual(new Set(read));
});

test("docs/configuration.md has every variable that tests read, and no other", () => {
  const files = [...filesBelow("test", ".ts"), "vitest.config.ts"];
  const read = files.flatMap((file) =>
    [...readText(file).matchAll(/process\.env\.(TEST_\w+)/g)].map(([, name]) => name),
  );
  expect(variablesIn("## Tests")).toEqual(new Set(read.filter((name) => name !== OWN)));
});

test("every npm script that a document names is there", () => {
  const { scripts } = z
    .object({ scripts: z.record(z.string(), z.string()) })
    .parse(JSON.parse(readText("package.json")));
  const named = DOCUMENTS.flatMap((file) =>
    [...readText(file).matchAll(/\bnpm run (?:-s )?([a-z][a-z:-]*)/g)].map(([, name = ""]) => name),
  );
  expect(named).toContain("research-agent");
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
});
