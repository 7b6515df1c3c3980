import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { buildSchema } from "graphql";
import { createYoga } from "graphql-yoga";
import { expect, test } from "vitest";
import { z } from "zod";
import { useDocuments } from "../../src/http/plugins/use-documents.ts";

/** What is kept of documents: a number of bytes, not a number of documents, and nothing of those that were refused. */

setFlagsFromString("--expose-gc");
const isFunction = z.custom<() => void>((value) => typeof value === "function");
const collect = isFunction.parse(runInNewContext("gc"));

function heapBytes(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

const MB = 1024 * 1024;
const KEPT_BYTES = 4 * MB;
const answer = z.object({
  data: z.record(z.string(), z.unknown()).optional(),
  errors: z.array(z.unknown()).optional(),
});

function server() {
  const yoga = createYoga({
    schema: buildSchema("type Query { a: Int }"),
    parserAndValidationCache: false,
    maskedErrors: false,
    logging: false,
    plugins: [useDocuments(2_000, KEPT_BYTES)],
  });
  return async (query: string) => {
    const response = await yoga.fetch("http://server/graphql", {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify({ query }),
    });
    return answer.parse(await response.json());
  };
}

/** 600 fields, each by another name, in a document that no other is equal to. */
const large = (number: number, field: string) =>
  `{ ${Array.from({ length: 600 }, (_, at) => `f${at}: ${field}`).join(" ")} } # ${number}`;

test.each([
  { kind: "valid", field: "a", isRefused: false },
  { kind: "refused", field: "nope", isRefused: true },
])(
  "of 200 distinct $kind documents, each of 300 kB in memory, no more is kept than may be",
  async ({ field, isRefused }) => {
    const ask = server();
    await ask(large(0, field));
    const before = heapBytes();
    for (let number = 1; number <= 200; number++) {
      const { errors } = await ask(large(number, field));
      expect(errors !== undefined).toBe(isRefused);
    }
    const grown = heapBytes() - before;
    expect(grown).toBeLessThan(isRefused ? 3 * MB : 3 * KEPT_BYTES);
  },
);

test("a document that is sent again is answered as at first, valid or not", async () => {
  const ask = server();
  for (const query of ["{ a }", "{ nope }", "{ a", "{ a }", "{ nope }", "{ a"]) {
    const first = await ask(query);
    expect(await ask(query)).toEqual(first);
    expect(first.errors === undefined).toBe(query === "{ a }");
  }
});
