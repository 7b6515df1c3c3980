import { execFile } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { outputIntrospectionFile } from "gql.tada/internal";
import { introspectionFromSchema } from "graphql";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readSchema, SCHEMA_FILE } from "../contract/schema-text.ts";

/**
 * gql.tada, which reads documents in TypeScript's types. TypeScript's compiler checks a file whose lines are right, or wrong
 * in one way each. Its command line needs a compiler in JavaScript, so its types are written by the function behind it.
 */

const HEAD = `
import { initGraphQLTada, type ResultOf, type VariablesOf } from "gql.tada";
import type { introspection } from "./graphql-env.js";
const graphql = initGraphQLTada<{
  introspection: introspection;
  scalars: { UUID: string; DateTime: string; JSON: unknown; SafeInt: number; Cursor: string };
}>();
const jobs = graphql("query ($filter: AiJobFilter) { aiJobs(filter: $filter) { feedCursor nodes { jobId state createdAt jobInputs tokenBudget } } }");
const submit = graphql("mutation ($input: SubmitAiJobInput!) { submitAiJob(input: $input) { __typename ... on SubmitAiJobPayload { job { jobId } } ... on Error { code directive } ... on InvalidInputError { issues { path } } } }");
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
declare function holds<_ extends true>(): void;
type Job = ResultOf<typeof jobs>["aiJobs"]["nodes"][number];
declare const page: ResultOf<typeof jobs>["aiJobs"];
declare const answer: ResultOf<typeof submit>["submitAiJob"];
`;

const RIGHT: readonly (readonly [string, string])[] = [
  [
    "an enum is the union of its values",
    'holds<Same<Job["state"], "QUEUED" | "RUNNING" | "STALLED" | "AWAITING_VALIDATION" | "AWAITING_USER" | "COMPLETED" | "COMPLETED_WITH_ISSUES" | "FAILED" | "CANCELLED" | "POISONED">>();',
  ],
  ["UUID and DateTime are texts", 'holds<Same<[Job["jobId"], Job["createdAt"]], [string, string]>>();'],
  ["a cursor of the log is a text", "holds<Same<typeof page.feedCursor, string>>();"],
  ["a SafeInt that may be null is a number or null", 'holds<Same<Job["tokenBudget"], number | null>>();'],
  ["JSON is unknown", 'holds<Same<Job["jobInputs"], unknown>>();'],
  [
    "the payload of a union has its fields, once __typename tells it",
    'if (answer.__typename === "SubmitAiJobPayload") holds<Same<typeof answer.job.jobId, string>>();',
  ],
  [
    "an error of a union has its own fields, and those of all errors",
    'if (answer.__typename === "InvalidInputError") holds<Same<[typeof answer.issues[number]["path"], typeof answer.code extends string ? true : false], [string[], true]>>();',
  ],
  [
    "the directive of an error may be null",
    'if (answer.__typename === "TryAgainError") holds<Same<typeof answer.directive, "CONTINUE" | "STOP_CANCELLED" | "STOP_FAILED" | "STOP_LEASE_LOST" | "STOP_POISONED" | null>>();',
  ],
  [
    "what has a default may be left out of an input",
    'holds<{ input: { jobKind: "DOC_EDIT"; protocolId: "p" } } extends VariablesOf<typeof submit> ? true : false>();',
  ],
];
const WRONG: readonly (readonly [string, string])[] = [
  ["a value that an enum has not", 'const a: VariablesOf<typeof jobs> = { filter: { states: ["LOST"] } };'],
  ["a number for a UUID", "const b: VariablesOf<typeof jobs> = { filter: { parentJobId: 5 } };"],
  ["a text for a SafeInt", 'const c: Job["tokenBudget"] = "5";'],
  ["a field of a union before __typename tells its type", "answer.job;"],
  ["a directive that may be null", 'if (answer.__typename === "LeaseLostError") answer.directive.length;'],
  ["an input without what it must have", 'const d: VariablesOf<typeof submit> = { input: { jobKind: "DOC_EDIT" } };'],
  ["a field that was not asked for", "page.nodes[0]?.priority;"],
];

const MODULES = fileURLToPath(new URL("../../node_modules", import.meta.url));
/** The number of a line after the head, counted from 1. */
const lineOf = (at: number) => HEAD.split("\n").length + 1 + at;

let folder: string;
let output: string;
/** The lines that the compiler complains of. */
let complaints: readonly number[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tada-"));
  const introspection = introspectionFromSchema(readSchema(SCHEMA_FILE));
  await symlink(MODULES, join(folder, "node_modules"), "junction");
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  await writeFile(
    join(folder, "graphql-env.d.ts"),
    outputIntrospectionFile(introspection, { fileType: ".d.ts", shouldPreprocess: true }),
  );
  const lines = [...RIGHT, ...WRONG].map(([, code]) => code);
  await writeFile(join(folder, "jobs.ts"), [HEAD, ...lines].join("\n"));
  const compilerOptions = { strict: true, noUncheckedIndexedAccess: true, noEmit: true, skipLibCheck: true };
  const more = { module: "nodenext", target: "es2022", types: [] };
  const config = { compilerOptions: { ...compilerOptions, ...more }, files: ["jobs.ts"] };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
  output = await new Promise<string>((resolve) => {
    const tsc = [join(MODULES, "typescript", "bin", "tsc"), "--pretty", "false"];
    execFile(process.execPath, tsc, { cwd: folder }, (_error, stdout) => resolve(stdout));
  });
  complaints = [...output.matchAll(/^jobs\.ts\((\d+),/gm)].map(([, line]) => Number(line));
});
afterAll(() => rm(folder, { recursive: true }));

test.each(RIGHT.map(([title], at) => [title, at] as const))("%s", (_title, at) => {
  expect(complaints).not.toContain(lineOf(at));
});

test.each(WRONG.map(([title], at) => [title, at] as const))("the compiler refuses %s", (_title, at) => {
  expect(complaints).toContain(lineOf(RIGHT.length + at));
});

test("the compiler complains of nothing else", () => {
  expect(output).not.toMatch(/^(?!jobs\.ts\(| ).+/m);
  expect(complaints.filter((line) => line < lineOf(RIGHT.length))).toEqual([]);
});
