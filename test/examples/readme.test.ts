import { execFile, spawn, spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { UUID_PATTERN } from "../../src/uuid.ts";
import { openTestDatabase } from "../support/database.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** The tour of the README, as a newcomer pastes it into a shell: every request, and every answer as it stands there. */

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

async function tour() {
  const readme = await readFile(fileURLToPath(new URL("../../README.md", import.meta.url)), "utf8");
  const section = readme.slice(readme.indexOf("## A tour"), readme.indexOf("The same with a client"));
  const blocks = [...section.matchAll(/```(\w*)\n(.*?)```/gs)];
  const texts = (language: string) => blocks.filter((block) => block[1] === language).map((block) => block[2] ?? "");
  const [gql = "", submit = "", subscribe = "", ...reports] = texts("sh");
  return { gql, submit, subscribe, reports, answers: texts("json"), events: texts("")[0] ?? "" };
}

const bash = async (script: string) => (await promisify(execFile)("bash", ["-c", script])).stdout.trim();

/** What is other with every run: ids, tokens and moments. */
const OWN = new RegExp(String.raw`${UUID_PATTERN}|(?<="leaseToken":")[^"]+|\d{4}-\d\d-\d\dT[\d:.]+Z`, "g");

/** Not on every laptop; CI has them. */
const hasShell = spawnSync("bash", ["-c", "command -v curl"]).status === 0;

test.skipIf(!hasShell && process.env.CI === undefined)(
  "every command of the tour is answered as the README says",
  async () => {
    const { gql, submit, subscribe, reports, answers, events } = await tour();
    expect([reports.length, answers.length]).toEqual([3, 4]);
    /** What is written there, and what it is here. */
    const known = new Map([["localhost:4000", new URL(server.url).host]]);
    const here = (text: string) => [...known].reduce((all, [theirs, ours]) => all.replaceAll(theirs, ours), text);
    const run = async (command: string, answer = "") => {
      const output = await bash(here(gql + command));
      const ours = output.match(OWN) ?? [];
      for (const [at, theirs] of (answer.match(OWN) ?? []).entries()) known.set(theirs, ours[at] ?? "");
      expect(output).toBe(here(answer).trim());
    };
    await run(submit, answers[0]);
    // So that the process that is ended is curl itself.
    const subscriber = spawn("bash", ["-c", here(subscribe).replace("curl", "exec curl")]);
    let seen = "";
    subscriber.stdout.setEncoding("utf8").on("data", (part: string) => {
      seen += part;
    });
    const until = async (text: string) => {
      await expect.poll(() => seen, { timeout: 10_000 }).toContain(text);
    };
    try {
      await until("SNAPSHOT");
      // What a command before it set, in the same shell.
      const set = [subscribe, ...reports].flatMap((block) => block.match(/^[A-Z]+=.+$/gm) ?? []).join("\n");
      for (const [at, report] of reports.entries()) await run(`${set}\n${report}`, answers[at + 1]);
      await until("POISONED");
    } finally {
      subscriber.kill();
    }
    const lines = (text: string) => text.split("\n").filter((line) => /^(event|data): /.test(line));
    expect(lines(seen)).toEqual(lines(events));
  },
);
