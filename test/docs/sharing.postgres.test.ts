import { spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { asAdmin, TEST_DATABASE_URL } from "../support/database.ts";
import { blocksOf, readText } from "../support/documents.ts";
import { endGroup, freePort } from "../support/shells.ts";

/** The commands of docs/sharing.md, as a newcomer pastes them into a shell, on a real PostgreSQL server. */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** A machine that is busy with other tests takes its time. */
const LIMIT_MS = 300_000;

const [commands, answers] = blocksOf(readText("docs/sharing.md")).map((block) => block.text);

/** Not on every laptop; CI has them. */
const hasPrograms = spawnSync("bash", ["-c", "command -v psql && command -v curl"]).status === 0;

test("there are at most twelve commands", () => {
  expect(commands?.replaceAll("\\\n", "").trim().split("\n").length).toBeLessThanOrEqual(12);
});

test.skipIf(!hasPrograms && process.env.CI === undefined)(
  "two teams share a server, from the commands of the document, and one sees nothing of the other's",
  { timeout: LIMIT_MS },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "ai-job-server-sharing-"));
    const database = `ai_job_server_test_${randomUUID().replaceAll("-", "")}`;
    const role = `${database}_server`.slice(-63);
    const port = await freePort();
    const here = (commands ?? "")
      // The packages are there, and other tests use them.
      .replace(/^npm ci\n/, "")
      .replaceAll("postgres://postgres@127.0.0.1:5432/postgres", TEST_DATABASE_URL)
      .replaceAll(
        "postgres://jobs_server@127.0.0.1:5432/jobs",
        Object.assign(new URL(TEST_DATABASE_URL), { pathname: database, username: role, password: "" }).href,
      )
      .replaceAll("ROLE jobs_server", `ROLE ${role}`)
      .replaceAll(
        "postgres://postgres@127.0.0.1:5432/jobs",
        Object.assign(new URL(TEST_DATABASE_URL), { pathname: database }).href,
      )
      .replaceAll("DATABASE jobs", `DATABASE ${database}`)
      .replaceAll("localhost:4000", `127.0.0.1:${port}`)
      .replaceAll("server.log", join(folder, "server.log"));
    const { PATH, HOME } = process.env;
    const AI_JOB_SERVER_URL = `http://127.0.0.1:${port}/graphql`;
    // The first `npx` of a machine would build the clone anew, under the feet of other tests.
    const npm = { npm_config_ignore_scripts: "true" };
    const shell = spawn("bash", ["-euo", "pipefail", "-c", here], {
      cwd: ROOT,
      env: { PATH, HOME, PORT: String(port), AI_JOB_SERVER_URL, ...npm },
      stdio: ["ignore", "pipe", "pipe"],
      // A process group of its own, by which the server is ended.
      detached: true,
    });
    try {
      const ended = once(shell, "exit");
      const stderr = text(shell.stderr);
      const stdout = text(shell.stdout);
      const [code] = await ended;
      endGroup(shell.pid);
      const lines = (await stdout).trim().split("\n");
      const log = await readFile(join(folder, "server.log"), "utf8");
      expect({ code, log: log.match(/"msg":"GraphQL on /g), stderr: await stderr }).toEqual({
        code: 0,
        log: ['"msg":"GraphQL on '],
        stderr: expect.stringContaining("The secret is shown this once"),
      });
      expect(lines.slice(-2).join("\n")).toBe(answers?.trim());
    } finally {
      endGroup(shell.pid);
      await asAdmin(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`);
      await asAdmin(`DROP ROLE IF EXISTS ${role}`);
      await rm(folder, { recursive: true });
    }
  },
);
