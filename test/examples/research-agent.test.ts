import { afterEach, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { newGate } from "../../examples/research-agent/gate.ts";
import { readOptions } from "../../examples/research-agent/options.ts";
import { billOf } from "../../examples/research-agent/record.ts";
import { startScriptedModel } from "../../examples/research-agent/scripted-model/endpoint.ts";
import { killSpawned, spawnServer } from "../support/spawn-server.ts";
import { RESEARCH_LIMIT_MS, startResearch, sumOf, usageRows } from "./research-process.ts";

afterEach(killSpawned);

/** The plan, two calls for each of three questions, the draft, and the note with which it is sent. */
const CALLS = 9;

test("the research agent ends by itself: through a crash and a deploy no model call is made twice, and the usage adds up", {
  timeout: RESEARCH_LIMIT_MS,
}, async () => {
  const research = startResearch();
  const { code, stderr } = await research.ended;
  const { lines } = research;
  expect({ code, stderr: stderr.replace(/^\{.*"msg":"runs whose lease ran out were recovered"\}\n/, "") }).toEqual({
    code: 0,
    stderr: "",
  });
  const prompts = lines.flatMap((line) => /^model: call \d+, prompt (\w+)$/.exec(line)?.[1] ?? []);
  expect(prompts).toHaveLength(CALLS);
  expect(new Set(prompts).size).toBe(CALLS);

  const told = lines.map((line) => line.replace(/ [0-9a-f-]{36}: /, ": "));
  const what = [
    "worker-1: takes research-v1",
    "worker-1 was killed in the middle of a job. Its lease runs out; worker-2 goes on.",
    // The question of the crash: its first call is known.
    "worker-2: ask-1 was done by an earlier run",
    "A deploy: worker-3 is started, and worker-2 is told to go.",
    // In the middle of the draft, which it ends; then it gives the job back.
    "worker-3: takes research-v1",
    "worker-3: plan was done by an earlier run",
    "worker-3: draft was done by an earlier run",
    "worker-3: WORKFLOW_RUN: waits",
    'A person answers: {"send": true}',
    "worker-3: takes research-v1",
    "worker-3: plan was done by an earlier run",
    "worker-3: draft was done by an earlier run",
    "worker-3: WORKFLOW_RUN: completed",
  ];
  expect(told.filter((line) => what.includes(line))).toEqual(what);

  const rows = usageRows(lines);
  expect(rows.map(({ job }) => job)).toEqual([
    expect.stringMatching(/^What does a newcomer/),
    "When does production move to the new job queue?",
    "How could the cost of the summariser fall?",
    "How good are the forecasts of tidewatch?",
    "all",
  ]);
  expect(rows.map(({ counts }) => counts[0])).toEqual([3, 2, 2, 2, CALLS]);
  expect(sumOf(rows.slice(0, -1).map(({ counts }) => counts))).toEqual(rows.at(-1)?.counts);
});

const OPERATOR_KEY = "the-operator's-key-of-more-than-32-characters";
const answer = z.object({ data: z.record(z.string(), z.record(z.string(), z.unknown())) });
const made = z.object({ workspace: z.object({ workspaceId: z.string() }) });
const created = z.object({ secret: z.string() });

/** A server that asks for keys, and one with the roles that the example's help names. */
async function guardedServer() {
  const settings = { RECOVERY_INTERVAL_SECONDS: "0.5", RETRY_FIRST_SECONDS: "0.1", LOG_LEVEL: "info" };
  const server = spawnServer({ DATABASE_URL: "memory:", OPERATOR_KEY, ...settings });
  const url = await server.url;
  const operate = async (query: string, more: Readonly<Record<string, string>> = {}) => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${OPERATOR_KEY}`, ...more };
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query }) });
    return Object.values(answer.parse(await response.json()).data)[0];
  };
  const workspace =
    'mutation { createWorkspace(input: { name: "one" }) { ... on CreateWorkspacePayload { workspace { workspaceId } } } }';
  const { workspaceId } = made.parse(await operate(workspace)).workspace;
  const key = `mutation { createApiKey(input: { name: "agent", roles: [SUBMITTER, VIEWER, WORKER, REVIEWER] }) {
    ... on CreateApiKeyPayload { secret } } }`;
  const { secret } = created.parse(await operate(key, { "x-workspace-id": workspaceId }));
  return { AI_JOB_SERVER_URL: url, AI_JOB_SERVER_KEY: secret };
}

test("with a server that asks for keys and a model that are there, the model is sent each prompt once", {
  timeout: RESEARCH_LIMIT_MS,
}, async () => {
  const deployed = newGate();
  const model = await startScriptedModel(deployed.opened);
  onTestFinished(() => model.close());
  const server = await guardedServer();
  const research = startResearch([], { ...server, OPENAI_BASE_URL: model.baseURL, OPENAI_MODEL: "scripted-1" });
  await research.line(/^A deploy/);
  deployed.open();
  const { code, stderr } = await research.ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(model.calls).toHaveLength(CALLS);
  expect(new Set(model.calls.map(({ prompt }) => prompt)).size).toBe(CALLS);
  const { calls, inputTokens, cachedInputTokens, outputTokens, reasoningTokens, costMicros } = billOf(
    "scripted-1",
    model.calls,
  );
  expect(usageRows(research.lines).at(-1)?.counts).toEqual([
    calls,
    inputTokens,
    cachedInputTokens,
    outputTokens,
    reasoningTokens,
    costMicros,
  ]);
  expect(costMicros).toBeGreaterThan(0);
});

test("with a model that cannot answer, the example says so and ends with 1", {
  timeout: RESEARCH_LIMIT_MS,
}, async () => {
  const research = startResearch([], { OPENAI_BASE_URL: "http://127.0.0.1:1/v1", OPENAI_MODEL: "none" });
  const { code, stderr } = await research.ended;
  expect(code).toBe(1);
  expect(stderr).toMatch(/is FAILED: .*(ECONNREFUSED|Cannot connect|bad port)/);
});

test("the options are read from the command line and the environment, and an unknown one is named", () => {
  expect(readOptions([], {})).toEqual({ help: false, stay: false, api: undefined, model: undefined });
  const env = { AI_JOB_SERVER_URL: "http://127.0.0.1:4000/graphql", AI_JOB_SERVER_KEY: "key-1", OPENAI_MODEL: "m" };
  expect(readOptions(["--stay"], env)).toMatchObject({
    stay: true,
    api: { url: env.AI_JOB_SERVER_URL, key: "key-1" },
    model: { model: "m" },
  });
  expect(() => readOptions(["--bogus"], {})).toThrow("Unknown option '--bogus'");
});
