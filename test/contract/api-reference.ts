import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { SCHEMA_FILE } from "./schema-text.ts";

/** docs/api-reference.md: every type, field and argument with its description, made of schema.graphql by the package graphql-markdown. */

export const API_REFERENCE_FILE = fileURLToPath(new URL("../../docs/api-reference.md", import.meta.url));
const PROGRAM = fileURLToPath(new URL("../../node_modules/graphql-markdown/src/index.js", import.meta.url));
const HEAD = [
  "--no-toc",
  "--title",
  "API reference",
  "--prologue",
  "Generated from schema.graphql by `npm run schema:print`.",
];

/** @returns the reference of the schema that schema.graphql has now. */
export function apiReference(): string {
  return execFileSync(process.execPath, [PROGRAM, ...HEAD, SCHEMA_FILE], { encoding: "utf8", maxBuffer: 10_000_000 });
}
