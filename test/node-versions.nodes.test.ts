import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { exitOf, killSpawned, post, spawnServer } from "./support/spawn-server.ts";

/** The server and its demo on the versions of Node that are in use beside the one that runs the tests. */

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** The program of the newest Node of a version, which npm has as a package. */
async function nodeOf(version: number): Promise<string> {
  const printPath = ["-y", `node@${version}`, "--print", "process.execPath"];
  const { stdout } = await promisify(execFile)("npx", printPath, { cwd: tmpdir() });
  return stdout.trim();
}

const SUBMIT = `mutation { submitAiJob(input: { jobKind: DOC_SUMMARIZE, protocolId: "test" }) {
  ... on SubmitAiJobPayload { job { jobId } } } }`;
const CLAIM = `mutation { claimAiJobs(input: { workerId: "test" }) {
  ... on ClaimAiJobsPayload { claims { leaseToken workflowRun { workflowRunId } } } } }`;
const COMPLETE = `mutation ($input: CompleteWorkflowsInput!) { completeWorkflows(input: $input) {
  ... on CompleteWorkflowsPayload { results { __typename } } } }`;
const claimed = z.object({
  claimAiJobs: z.object({
    claims: z.tuple([z.object({ leaseToken: z.string(), workflowRun: z.object({ workflowRunId: z.string() }) })]),
  }),
});

describe.each([22, 24])("Node %s", { timeout: 120_000 }, (version) => {
  let node: string;
  let folder: string;
  beforeAll(async () => {
    node = await nodeOf(version);
    folder = await mkdtemp(join(tmpdir(), "ai-job-server-node-"));
  }, 120_000);
  afterAll(async () => {
    await killSpawned();
    await rm(folder, { recursive: true });
  });

  test("is what runs here", async () => {
    const { stdout } = await promisify(execFile)(node, ["--version"]);
    expect(stdout).toMatch(new RegExp(`^v${version}\\.`));
  });

  test("a server makes a new folder, takes a job from its submit to its completion, stops, and finds it again", async () => {
    const env = { DATABASE_URL: `file:${join(folder, "data")}` };
    const server = spawnServer(env, node);
    const url = await server.url;
    await post(url, SUBMIT);
    const { leaseToken, workflowRun } = claimed.parse(await post(url, CLAIM)).claimAiJobs.claims[0];
    const completions = [{ leaseToken, ...workflowRun, jobOutputs: { ok: true } }];
    expect(await post(url, COMPLETE, { input: { completions } })).toEqual({
      completeWorkflows: { results: [{ __typename: "CompletedWorkflow" }] },
    });
    expect(await server.end("SIGTERM")).toMatchObject({ code: 0, stderr: "" });
    const again = spawnServer(env, node);
    expect(await post(await again.url, "{ aiJobStats { byState { state count } } }")).toEqual({
      aiJobStats: { byState: [{ state: "COMPLETED", count: 1 }] },
    });
    expect(await again.end("SIGTERM")).toMatchObject({ code: 0, stderr: "" });
  });

  test("the demo ends by itself, with all as it should be", async () => {
    const demo = spawn(node, ["--import", "tsx", "examples/demo.ts"], {
      cwd: ROOT,
      env: { PATH: process.env.PATH, HOME: process.env.HOME },
      stdio: ["ignore", "ignore", "pipe"],
    });
    expect(await exitOf(demo)).toMatchObject({ code: 0, stderr: "" });
  });
});
