import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { DOCUMENTS, readDocuments } from "../../examples/demo/documents.ts";
import { startModelServer } from "./model-server.ts";

/** A machine that is busy with other tests takes its time; the demo itself takes seconds. */
const LIMIT_MS = 240_000;

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CLEAN = DOCUMENTS.filter(({ expected }) => expected === "COMPLETED").map(({ name }) => name);
const HOSTILE = DOCUMENTS.filter(({ expected }) => expected === "POISONED").map(({ name }) => name);

/** The demo as a process of its own, in an environment that names no model but this one. */
async function runDemo(args: readonly string[] = [], model: Readonly<Record<string, string>> = {}) {
  const child = spawn("npm", ["run", "--silent", "demo", "--", ...args], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...model },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const [code, stdout, stderr] = await Promise.all([exited, text(child.stdout), text(child.stderr)]);
  return { code, stderr, ...tablesOf(stdout) };
}

/** The live table's lines, and the closing table's rows. */
function tablesOf(stdout: string) {
  const live = Array.from(
    stdout.matchAll(/^ *[\d.]+ s {2}([A-Z_]+) +(\d+) +(\d+) {2}(\S+)(?: \((\w+)\))? +(.*)$/gm),
    ([, state, version, tokens, document, kind, what]) => ({
      state,
      version: Number(version),
      tokens,
      document,
      kind,
      what,
    }),
  );
  const closing = Array.from(
    stdout.matchAll(/^([A-Z_]+) +(\d+) +(\d+) {2}(\S+)(?: \((\w+)\))? +(.*)\n +(.*)$/gm),
    ([, state, versions, tokens, document, kind, reason, detail]) => ({
      state,
      versions: Number(versions),
      tokens: Number(tokens),
      document,
      kind,
      reason,
      detail,
    }),
  );
  return { live, closing, stdout };
}

test("npm run demo ends by itself: every clean document completed, every hostile one poisoned, and all of it seen live", {
  timeout: LIMIT_MS,
}, async () => {
  const { code, stderr, live, closing, stdout } = await runDemo();
  expect(stderr).toBe("");
  expect(code).toBe(0);
  expect(stdout).toContain(`${DOCUMENTS.length} jobs: ${CLEAN.length} completed, ${HOSTILE.length} poisoned;`);
  const ended = (state: string) => closing.filter((row) => row.state === state).map(({ document }) => document);
  expect(ended("COMPLETED")).toEqual(CLEAN);
  expect(ended("POISONED")).toEqual(HOSTILE);

  for (const { state, versions, document } of closing) {
    const seen = live.filter((line) => line.document === document);
    expect(seen.map(({ version }) => version)).toEqual(Array.from({ length: versions }, (_, index) => index + 1));
    expect(seen.at(-1)).toMatchObject({ state, version: versions });
  }
  const [completed, poisoned] = ["COMPLETED", "POISONED"].map((state) => closing.filter((row) => row.state === state));
  expect(completed?.every(({ tokens, reason, detail }) => tokens > 100 && reason === "completed" && detail)).toBe(true);
  expect(poisoned?.every(({ tokens, reason }) => tokens === 0 && reason === "poisoned: prompt_injection")).toBe(true);
  const lastOf = (document: string) => live.findLast((line) => line.document === document)?.what;
  expect(lastOf("support-ticket.txt")).toContain("jobInputs.text");
  expect(lastOf("cv-backend-engineer.txt")).toContain("(plain form) of retrievedSnippets[0].content");
  expect(lastOf("invoice-reminder.eml")).toContain("(folded form) of retrievedSnippets[0].content");
});

test("with a model and two kinds, the model sees every clean document and no hostile one", {
  timeout: LIMIT_MS,
}, async () => {
  const model = await startModelServer(({ messages }) => ({
    text: `A summary of ${messages[1]?.content.length} characters.`,
    usage: [50, 5],
  }));
  const env = { OPENAI_BASE_URL: model.baseURL, OPENAI_MODEL: "test-model", OPENAI_API_KEY: "key-1" };
  const { code, stderr, closing } = await runDemo(["--kinds", "doc_summarize,term_exec"], env);
  await model.close();
  expect(stderr).toBe("");
  expect(code).toBe(0);
  for (const kind of ["doc_summarize", "terminal_exec"]) {
    const rows = closing.filter((row) => row.kind === kind);
    expect(rows.filter(({ state }) => state === "COMPLETED").map(({ document }) => document)).toEqual(CLEAN);
    expect(rows.filter(({ state }) => state === "POISONED").map(({ document }) => document)).toEqual(HOSTILE);
    expect(rows[0]).toMatchObject({ document: "us-constitution.txt", tokens: 10 * 55 });
  }

  const asked = model.requests.map(({ messages }) => messages[1]?.content ?? "");
  for (const { name, text: content, expected } of await readDocuments()) {
    const beginning = content.slice(0, 200);
    const times = asked.filter((prompt) => prompt.startsWith(beginning)).length;
    expect({ name, times }).toEqual({ name, times: expected === "COMPLETED" ? 2 : 0 });
  }
  expect(model.requests.every(({ authorization }) => authorization === "Bearer key-1")).toBe(true);
});

test("with a model that refuses, the demo says so and ends with 1", { timeout: LIMIT_MS }, async () => {
  const model = await startModelServer(() => ({ status: 400 }));
  const { code, stderr, closing } = await runDemo([], { OPENAI_BASE_URL: model.baseURL, OPENAI_MODEL: "test-model" });
  await model.close();
  expect(code).toBe(1);
  expect(stderr).toContain(
    "platform-team-minutes.md (DOC_SUMMARIZE): FAILED (The model refuses.) instead of COMPLETED.",
  );
  expect(closing.filter(({ state }) => state === "FAILED")).toHaveLength(CLEAN.length);
  expect(closing.filter(({ state }) => state === "POISONED")).toHaveLength(HOSTILE.length);
});

test.each([
  [
    "an unknown kind",
    ["--kinds", "doc_summarize,bogus"],
    /^INVALID_JOB_KIND: "bogus" is not a job kind\. Accepted: .*term_exec/,
  ],
  ["an unknown option", ["--kind", "doc_edit"], /^Unknown option '--kind'/],
])(
  "%s ends the demo with 1 and a sentence, before anything starts",
  { timeout: LIMIT_MS },
  async (_what, args, sentence) => {
    const { code, stdout, stderr } = await runDemo(args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(sentence);
    expect(stderr.trimEnd()).not.toContain("\n");
  },
);

test("--help shows how it is used", { timeout: LIMIT_MS }, async () => {
  const { code, stdout, stderr } = await runDemo(["--help"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("--kinds WORDS");
});

test("with --open it stays up when all is done, and its console is there until it is told to stop", {
  timeout: LIMIT_MS,
}, async () => {
  const child = spawn(process.execPath, ["--import", "tsx", "examples/demo.ts", "--open"], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  let address = "";
  for await (const line of createInterface({ input: child.stdout })) {
    [, address = ""] = /^The console shows it all: (\S+)/.exec(line) ?? [];
    if (address !== "") break;
  }
  const page = await fetch(address, { headers: { accept: "text/html" } });
  expect(await page.text()).toContain("<title>AI Job Server</title>");
  child.kill("SIGINT");
  child.stdout.resume();
  expect(await ended).toEqual([0, null]);
});
