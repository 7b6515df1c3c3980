import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { createClient, type JobClient } from "@ai-job-server/sdk/client";
import { createWorker, type Worker } from "@ai-job-server/sdk/worker";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { countRequests } from "../kit/counting-proxy.ts";
import { killSpawned, spawnServer } from "../support/spawn-server.ts";

/** The commands about jobs, as a shell runs what `npm run build` has made, with a real server and a worker of the kit. */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const LONG = { timeout: 240_000 };
const TREE = "01a22d17-4c47-7248-80bc-4d05c8161d98";
const JOB_ID = /^[0-9a-f-]{36}$/;
const jobView = z.object({ jobId: z.string(), state: z.string() });

let url: string;
let client: JobClient;
let worker: Worker;
let working: Promise<void>;
beforeAll(async () => {
  url = await spawnServer({ DATABASE_URL: "memory:" }).url;
  client = createClient({ url });
  worker = createWorker({ url, concurrency: 4 });
  worker.handle("DOC_SUMMARIZE", async (job, ctx) => {
    const { wants } = z.object({ wants: z.string() }).parse(job.inputs);
    if (wants === "an answer") return { outputs: { answer: await ctx.ask("Is that right?") } };
    if (wants === "to fail") throw new Error("It cannot be done today.");
    return { outputs: { wants } };
  });
  working = worker.run();
}, 240_000);
afterAll(async () => {
  worker.stop();
  await working;
  await killSpawned();
});

interface Ended {
  /** Null where it was killed, because it did not end. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function cli(args: readonly string[], input = "", env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const child = spawn(process.execPath, ["dist/cli/main.js", ...args], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, AI_JOB_SERVER_URL: url, ...env },
    timeout: 200_000,
    killSignal: "SIGKILL",
  });
  child.stdin.end(input);
  const [[code], stdout, stderr] = await Promise.all([once(child, "close"), text(child.stdout), text(child.stderr)]);
  return { code: z.number().nullable().parse(code), stdout, stderr };
}

function submit(wants: string, ...more: readonly string[]): Promise<Ended> {
  return cli(["submit", "doc_summarize", "--protocol", "p", "--input", JSON.stringify({ wants }), ...more]);
}

describe("submit", () => {
  test("prints the id of a job alone, and takes its inputs, labels and limits", LONG, async () => {
    const options = ["--input", "-", "--label", "team=legal", "--label", "case=a=b", "--max-attempts", "5"];
    const args = ["submit", "SHEET_TRANSFORM", "--protocol", "p", ...options, "--priority", "-3"];
    const { code, stdout, stderr } = await cli(args, '{"rows":[1]}');
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.trim()).toMatch(JOB_ID);
    expect(await client.job(stdout.trim())).toMatchObject({
      jobKind: "SHEET_TRANSFORM",
      jobInputs: { rows: [1] },
      labels: expect.arrayContaining([{ key: "case", value: "a=b" }]),
      priority: -3,
      maxAttempts: 5,
    });
  });

  test("waits until the job has ended: its outputs, and 0", LONG, async () => {
    const { code, stdout } = await submit("this", "--wait");
    expect({ code, outputs: JSON.parse(stdout) }).toEqual({ code: 0, outputs: { wants: "this" } });
  });

  test("says by 3 that the job was not completed", LONG, async () => {
    const { code, stdout, stderr } = await submit("to fail", "--wait", "--max-attempts", "1");
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
    expect(stderr).toContain("It cannot be done today.");
  });

  test.each([
    [["submit", "NO_KIND", "--protocol", "p"], 2, "NO_KIND"],
    [["submit", "DOC_EDIT"], 2, "--protocol"],
    [["submit", "DOC_EDIT", "--protocol", "p", "--label", "legal"], 2, "team=legal"],
    [["submit", "DOC_EDIT", "--protocol", "p", "--input", "{"], 1, "The value is no JSON"],
    [["submit", "DOC_EDIT", "--protocol", "p", "--input", "@/nowhere"], 1, "The file cannot be read"],
    [["submit", "DOC_EDIT", "--protocol", ""], 1, "protocolId"],
    [["cancel", "01a22d17-4c47-7248-80bc-4d05c8161d98", "--reason", "r"], 1, "There is no job"],
    [["retry", "17"], 2, "UUID"],
    [["logs", "01a22d17-4c47-7248-80bc-4d05c8161d98"], 1, "There is no job"],
    [["watch", "01a22d17-4c47-7248-80bc-4d05c8161d98"], 1, "There is no job"],
    [
      ["watch", "01a22d17-4c47-7248-80bc-4d05c8161d98", "--kind", "DOC_EDIT", "--tree", TREE],
      2,
      "--kind, --tree: for many",
    ],
    [["list", "--state", "LOST"], 2, "QUEUED"],
    [["usage", "--by", "MOON"], 2, "KIND, STATE"],
    [["usage", "--by", "LABEL"], 1, "labelKey"],
  ] as const)("what cannot be done is said, with nothing on standard output: %j", LONG, async (args, code, said) => {
    expect(await cli(args)).toEqual({ code, stdout: "", stderr: expect.stringContaining(said) });
  });
});

test.each([
  [["submit", "DOC_EDIT", "--protocol", "p"]],
  [["watch"]],
  [["watch", "01a22d17-4c47-7248-80bc-4d05c8161d98"]],
  [["logs", "-f", "01a22d17-4c47-7248-80bc-4d05c8161d98"]],
  [["seed"]],
  [["status"]],
])("without a server it says so, at once: %j", LONG, async (args) => {
  const env = { AI_JOB_SERVER_URL: "http://127.0.0.1:65500/graphql" };
  const said = expect.stringContaining("No server listens on http://127.0.0.1:65500/graphql");
  expect(await cli(args, "", env)).toEqual({ code: 1, stdout: "", stderr: said });
});

test("whoever watches is told of a stream that breaks, and when it goes on", LONG, async () => {
  const { stdout } = await cli(["submit", "TERMINAL_EXEC", "--protocol", "p"]);
  const proxy = await countRequests(url);
  const watched = cli(["watch", stdout.trim(), "--json"], "", { AI_JOB_SERVER_URL: proxy.url });
  const streams = () => proxy.counts().AiJobChanged ?? 0;
  await expect.poll(() => proxy.hasTold('"QUEUED"'), { timeout: 60_000 }).toBe(true);
  proxy.cut(1_000);
  await expect.poll(streams, { timeout: 60_000 }).toBe(2);
  await client.cancel(stdout.trim(), "not needed");
  const { code, stdout: changes, stderr } = await watched;
  await proxy.close();
  const lines = stderr.trim().split("\n");
  expect(lines).toEqual([
    expect.stringMatching(/^Disconnected since 20[-\dT:.]+Z; reconnecting\. /),
    expect.stringMatching(/^Connected again at 20[-\dT:.]+Z/),
  ]);
  const states = changes
    .trim()
    .split("\n")
    .map((line) => z.object({ state: z.string() }).parse(JSON.parse(line)).state);
  expect({ code, states }).toEqual({ code: 3, states: ["QUEUED", "CANCELLED"] });
});

test("a job that asks is seen, answered and followed to its end", LONG, async () => {
  const jobId = (await submit("an answer")).stdout.trim();
  const watched = cli(["watch", jobId, "--json"]);
  const followed = cli(["logs", jobId, "-f"]);
  await expect.poll(async () => (await client.job(jobId))?.state, { timeout: 60_000 }).toBe("AWAITING_USER");
  const listed = await cli(["list", "--state", "awaiting_user", "--kind", "doc_summarize"]);
  expect(listed.stdout).toMatch(new RegExp(`${jobId} .*AWAITING_USER.*Is that right\\?`));
  const answered = await cli(["answer", jobId, '{"yes":true}', "--json"]);
  expect(jobView.parse(JSON.parse(answered.stdout)).jobId).toBe(jobId);
  const { code, stdout } = await watched;
  const states = stdout
    .trim()
    .split("\n")
    .map((line) => z.object({ state: z.string() }).parse(JSON.parse(line)).state);
  expect({ code, last: states.at(-1) }).toEqual({ code: 0, last: "COMPLETED" });
  expect(states).toContain("AWAITING_USER");
  const { stdout: log } = await followed;
  expect(log.trim().split("\n").at(-1)).toContain("COMPLETED");
  expect(await client.job(jobId)).toMatchObject({ jobOutputs: { answer: { yes: true } } });
});

test(
  "of a job that fails the log is followed to its end; a terminal shows it in colours, and nothing else of theirs",
  LONG,
  async () => {
    const failed = (await submit("to fail", "--max-attempts", "1")).stdout.trim();
    const { code, stdout } = await cli(["logs", failed, "-f"], "", { FORCE_COLOR: "1" });
    expect(code).toBe(0);
    expect(stdout).toContain("FAILED");
    expect(stdout.startsWith("\u001b[90m20")).toBe(true);
    expect(stdout).not.toContain("\ufffd");
  },
);

test("a job is cancelled; one that has failed is queued again", LONG, async () => {
  const { stdout } = await cli(["submit", "TERMINAL_EXEC", "--protocol", "p"]);
  const cancelled = await cli(["cancel", stdout.trim(), "--reason", "not needed"]);
  expect(cancelled.stdout).toContain(" CANCELLED ");
  expect((await cli(["logs", stdout.trim()])).stdout).toMatch(/QUEUED → CANCELLED .*"not needed"/);
  expect(await cli(["retry", stdout.trim()])).toMatchObject({ code: 1, stderr: expect.stringContaining("CANCELLED") });
  const failed = (await submit("to fail", "--max-attempts", "1")).stdout.trim();
  await cli(["watch", failed]);
  const retried = await cli(["retry", failed, "--json"]);
  expect(jobView.parse(JSON.parse(retried.stdout))).toEqual({ jobId: failed, state: "QUEUED" });
});

test("status, list and usage show what there is, without colours in a pipe", LONG, async () => {
  await submit("this", "--wait");
  const [status, list, usage, json] = await Promise.all([
    cli(["status"]),
    cli(["list", "--limit", "1"]),
    cli(["usage", "--by", "KIND,STATE"]),
    cli(["usage", "--interval", "HOUR", "--json"]),
  ]);
  expect(status.stdout).toMatch(new RegExp(`${url}: (ok|degraded)[^]*anonymous[^]*COMPLETED +\\d`));
  expect(list.stdout.trim().split("\n")).toHaveLength(2);
  expect(usage.stdout).toMatch(/DOC_SUMMARIZE +COMPLETED +\d/);
  expect(JSON.parse(json.stdout)).toMatchObject([{ jobs: expect.any(Number) }]);
  for (const { stdout } of [status, list, usage]) expect(stdout).not.toContain("\u001b");
});

test("a text of a job moves no cursor", LONG, async () => {
  const { stdout } = await cli(["submit", "TERMINAL_EXEC", "--protocol", "a \u202e b"]);
  expect((await cli(["list", "--limit", "1"])).stdout).toContain("a \ufffd b");
  await cli(["cancel", stdout.trim(), "--reason", "a \u001b[2J b \u202e c"]);
  const log = await cli(["logs", stdout.trim()]);
  expect(log.stdout).toContain("[2J b \ufffd c");
  expect(log.stdout).not.toContain("\u001b");
});

test("seed fills an empty workspace, and no other", LONG, async () => {
  const empty = await spawnServer({ DATABASE_URL: "memory:" }).url;
  const env = { AI_JOB_SERVER_URL: empty };
  expect(await cli(["seed", "--count", "20"], "", env)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("Done"),
  });
  const { nodes } = await createClient({ url: empty }).jobs({ first: 100 });
  const states = new Set(nodes.map(({ state }) => state));
  const wanted = ["AWAITING_USER", "COMPLETED", "COMPLETED_WITH_ISSUES", "FAILED", "POISONED", "QUEUED"];
  expect([...states].toSorted()).toEqual(wanted);
  // So that there is something to see wherever metrics are shown: each token is a planner's or an executor's.
  for (const { state, metrics } of nodes) {
    if (state !== "COMPLETED") continue;
    const { totalTokens, tokensPlanner, tokensExecutor } = metrics;
    expect(Math.min(tokensPlanner, tokensExecutor)).toBeGreaterThan(0);
    expect(tokensPlanner + tokensExecutor).toBe(totalTokens);
    expect(metrics).toMatchObject({ entitiesRead: 1 });
  }
  expect(await cli(["seed"], "", env)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("jobs in this workspace"),
  });
});

describe("doctor", () => {
  const findings = z.array(z.object({ check: z.string(), state: z.string(), text: z.string() }));
  const doctor = async (env: Readonly<Record<string, string>>) => {
    const { code, stdout } = await cli(["doctor", "--json"], "", { PORT: "0", ...env });
    return { code, found: findings.parse(JSON.parse(stdout)) };
  };

  test("finds that an embedded database may be made", LONG, async () => {
    const { code, found } = await doctor({ DATABASE_URL: "file:/tmp/ai-job-server-that-is-not-there/nor-this" });
    expect(code).toBe(0);
    expect(found.map(({ check, state }) => `${check} ${state}`)).toEqual([
      "configuration ok",
      "port ok",
      "database ok",
      expect.stringMatching(/^disk (ok|warning)$/),
    ]);
  });

  test.each([
    [{ PORT: "many" }, "configuration", "PORT"],
    [{ DATABASE_URL: "postgres://nobody@127.0.0.1:1/nothing" }, "database", "DATABASE_URL"],
  ])("ends with 1 where a server could not start: %j", LONG, async (env, check, said) => {
    const { code, found } = await doctor(env);
    expect(code).toBe(1);
    expect(found.at(-1)).toEqual({ check, state: "failed", text: expect.stringContaining(said) });
  });
});
