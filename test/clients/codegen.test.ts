import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readText } from "../support/documents.ts";
import { openPlace, type Place } from "./harness.ts";

/** GraphQL Code Generator, in a project of its own, with the configuration that the README gives. */

let place: Place;
let project: string;
beforeAll(async () => {
  place = await openPlace();
  project = await mkdtemp(join(tmpdir(), "codegen-"));
});
afterAll(async () => {
  await place.close();
  await rm(project, { recursive: true });
});

const MODULES = fileURLToPath(new URL("../../node_modules", import.meta.url));

test("the README's configuration generates types in which every scalar has its type", async () => {
  const readme = readText("README.md");
  const [, written = ""] = /`codegen\.ts`:\n\n```ts\n(.*?)```/s.exec(readme) ?? [];
  const [theirs = ""] = /\{ UUID: .*?\}/.exec(written) ?? [];
  expect(readText("codegen.ts")).toContain(theirs);
  await mkdir(join(project, "src"));
  await symlink(MODULES, join(project, "node_modules"), "junction");
  await writeFile(join(project, "package.json"), '{ "type": "module" }');
  await writeFile(join(project, "codegen.ts"), written.replace("http://127.0.0.1:4000/graphql", place.url));
  await writeFile(
    join(project, "src", "jobs.ts"),
    'import { graphql } from "./gql";\n' +
      "export const JOBS = graphql(`query Jobs { aiJobs { feedCursor nodes { jobId jobInputs createdAt tokenBudget } } }`);\n",
  );
  const tool = join(MODULES, "@graphql-codegen", "cli", "cjs", "bin.js");
  await promisify(execFile)(process.execPath, [tool, "--config", "codegen.ts"], { cwd: project });
  const types = await readFile(join(project, "src", "gql", "graphql.ts"), "utf8");
  const [scalars = ""] = /export type Scalars = \{.*?^\}/ms.exec(types) ?? [];
  const ofOurs = [...scalars.matchAll(/(\w+): \{ input: (\w+); output: (\w+); \}/g)]
    .map(([, name, input, output]) => [name, input, output])
    .filter(([name]) => !["ID", "String", "Boolean", "Int", "Float"].includes(name ?? ""));
  expect(ofOurs).toEqual([
    ["Cursor", "string", "string"],
    ["DateTime", "string", "string"],
    ["JSON", "unknown", "unknown"],
    ["SafeInt", "number", "number"],
    ["UUID", "string", "string"],
  ]);
  const [jobs = ""] = /export type JobsQuery = .*/.exec(types) ?? [];
  expect(jobs).toContain("feedCursor: string");
  expect(jobs).toContain("jobInputs?: unknown");
  expect(jobs).toContain("tokenBudget?: number | null");
});
