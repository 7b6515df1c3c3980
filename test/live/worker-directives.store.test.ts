import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { startWorkflow } from "../../src/claims/start.ts";
import type { EngineContext } from "../../src/engine.ts";
import { revokeApiKey } from "../../src/identity/keys.ts";
import { createWorkspace } from "../../src/identity/workspaces.ts";
import { resumeBulkActions } from "../../src/jobs/bulk/shares.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import type { SubmitAiJob } from "../../src/jobs/draft.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { type Caller, type GuardedServer, OPERATOR, startGuardedServer } from "../support/guarded-server.ts";
import { post } from "../support/http.ts";
import { expireLease, FOUND } from "../support/jobs.ts";
import { PROTOCOLS, type Protocol, watch } from "../support/live.ts";
import { aCompletion, aFailure, aHeartbeat, failWorkflow } from "../support/reports.ts";

/** workerDirectives: a worker is told at once to stop a run that it holds (section 13). */

const QUERY = `subscription ($workerId: String!, $after: Cursor) {
  told: workerDirectives(workerId: $workerId, after: $after) { workflowRunId jobId directive cursor } }`;
const payload = z.object({
  told: z.object({ workflowRunId: z.string(), jobId: z.string(), directive: z.string(), cursor: z.string() }),
});

let db: TestDatabase;
let engine: EngineContext;
let server: GuardedServer;
/** The key of a worker, and that of another one in the same workspace. */
let key: Caller;
let otherKey: Caller;
/** A new name for each test: it has no stops of others. */
let workerId: string;
beforeAll(async () => {
  db = await openTestDatabase();
  // It tells no feed of what it commits, as another server would not: what a worker hears of it, it hears from the log.
  engine = engineOn(db);
  server = await startGuardedServer(db);
  key = await server.keyOf({ roles: ["WORKER"] });
  otherKey = await server.keyOf({ roles: ["WORKER"] });
});
beforeEach(async () => {
  workerId = `worker ${randomUUID()}`;
  await untilListening(0);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

interface Holder {
  readonly by?: Caller;
  readonly name?: string;
  readonly workspaceId?: string;
}

/** A job that a worker holds; by default the one that listens. */
async function held(
  more: Partial<SubmitAiJob> = {},
  { by = key, name = workerId, workspaceId = server.workspaceId }: Holder = {},
): Promise<Claim> {
  const { job } = ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit(more)));
  const worker = { workerId: name, principalId: by.principal, leaseSeconds: 60 };
  const claim = ok(await startWorkflow(engine, workspaceId, { jobId: job.jobId, ...worker }));
  if (!("leaseToken" in claim)) throw new Error("The job was poisoned instead of started.");
  return claim;
}

const cancel = ({ job: { workspaceId, jobId } }: Claim, includeChildren = false) =>
  cancelAiJob(engine, workspaceId, SOMEBODY, { jobId, reason: "enough", includeChildren }).then(ok);
const tokens = (inputTokens: number) => ({ metrics: { ...NO_METRICS, inputTokens } });

function listen(protocol: Protocol, { after, by = key }: { readonly after?: string; readonly by?: Caller } = {}) {
  const operation = { query: QUERY, variables: { workerId, after }, headers: by.headers };
  return watch(protocol, server.url, operation, (data) => payload.parse(data).told);
}

/** Resolves when the server has begun to tell this many listeners. */
const untilListening = (count = 1) => vi.waitUntil(() => server.feed.subscribers === count, { timeout: 20_000 });

/** What ends a run in the middle of its worker's work, and what the worker is told of it. */
const STOPS: readonly (readonly [what: string, directive: string, stop: () => Promise<readonly Claim[]>])[] = [
  [
    "a cancellation",
    "STOP_CANCELLED",
    async () => {
      const claim = await held();
      await cancel(claim);
      return [claim];
    },
  ],
  [
    "a cancellation with all below",
    "STOP_CANCELLED",
    async () => {
      const parent = await held();
      const child = await held({ parentJobId: parent.job.jobId });
      await cancel(parent, true);
      return [parent, child];
    },
  ],
  [
    "a bulk cancellation",
    "STOP_CANCELLED",
    async () => {
      const protocolId = randomUUID();
      const claim = await held({ protocolId });
      const query = `mutation { cancelAiJobs(input: { filter: { protocolId: "${protocolId}" }, reason: "enough" }) { __typename } }`;
      await post(server.url, JSON.stringify({ query }), { ...server.operator, "x-workspace-id": server.workspaceId });
      await resumeBulkActions(engine, 0);
      return [claim];
    },
  ],
  [
    "a poisoning, of what is below as well",
    "STOP_POISONED",
    async () => {
      const parent = await held();
      const child = await held({ parentJobId: parent.job.jobId });
      await poisonJob(engine, server.workspaceId, parent.job.jobId, FOUND);
      return [parent, child];
    },
  ],
  [
    "a budget that is used up",
    "STOP_FAILED",
    async () => {
      const claim = await held({ tokenBudget: 10 });
      await heartbeatWorkflows(engine, [aHeartbeat(claim, tokens(11))]);
      return [claim];
    },
  ],
  [
    "a lease that has passed",
    "STOP_LEASE_LOST",
    async () => {
      const claim = await held();
      await expireLease(db, claim);
      await recoverStalledRuns(engine);
      return [claim];
    },
  ],
];

const namesOf = (claims: readonly Claim[]) => claims.map(({ run, job }) => `${run.id} of ${job.jobId}`).toSorted();

describe.each(PROTOCOLS)("over %s", (protocol) => {
  test.each(STOPS)("%s says %s of each run, once", async (_what, directive, stop) => {
    await using directives = listen(protocol);
    await untilListening();
    const stopped = await stop();
    const last = await held();
    await cancel(last);
    const told = await directives.until((seen) => seen.some(({ jobId }) => jobId === last.job.jobId));
    const others = told.slice(0, -1);
    expect(others.map(({ workflowRunId, jobId }) => `${workflowRunId} of ${jobId}`).toSorted()).toEqual(
      namesOf(stopped),
    );
    expect(new Set(others.map((each) => each.directive))).toEqual(new Set([directive]));
  });

  test("a worker hears nothing of what it ended itself, of what others hold, and of what others claimed in its name", async () => {
    await using directives = listen(protocol);
    await untilListening();
    await completeWorkflows(engine, [aCompletion(await held())]);
    await completeWorkflows(engine, [aCompletion(await held(), { needsValidation: true })]);
    await failWorkflow(engine, aFailure(await held()));
    await cancel(await held({}, { name: "another" }));
    await cancel(await held({}, { by: otherKey }));
    const last = await held();
    await cancel(last);
    const told = await directives.until((seen) => seen.length > 0);
    expect(told.map(({ workflowRunId }) => workflowRunId)).toEqual([last.run.id]);
  });

  test("it goes on from a cursor, without a gap and without telling twice", async () => {
    const [first, second, third] = [await held(), await held(), await held()];
    await cancel(first);
    const cursor = await (async () => {
      await using before = listen(protocol);
      return (await before.until((seen) => seen.length === 1))[0]?.cursor ?? "";
    })();
    await cancel(second);
    await using directives = listen(protocol, { after: cursor });
    await directives.until((seen) => seen.length === 1);
    await cancel(third);
    const told = await directives.until((seen) => seen.length === 2);
    expect(told.map(({ jobId }) => jobId)).toEqual([second.job.jobId, third.job.jobId]);
  });

  test("the stream ends with its key", async () => {
    const own = await server.keyOf({ roles: ["WORKER"] });
    await using directives = listen(protocol, { by: own });
    await untilListening();
    ok(await revokeApiKey(engine, OPERATOR, { apiKeyId: own.apiKeyId, includeDescendants: false }));
    await expect(directives.until((seen) => seen.length > 0)).rejects.toThrow(/UNAUTHENTICATED|4403/);
    await untilListening(0);
  });
});

test("a worker that listens only after its claim hears what was stopped in between, and not what is older than any lease", async () => {
  await using others = listen("graphql-ws", { by: otherKey });
  await untilListening();
  const [old, recent, last] = [await held(), await held(), await held({}, { by: otherKey })];
  for (const each of [old, recent, last]) await cancel(each);
  // The feed has come past them: whoever listens from now on is told of them from the log alone, by when their runs finished.
  await others.until((seen) => seen.length > 0);
  await db.prisma.$transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    await tx.$executeRaw`UPDATE workflow_runs SET finished_at = finished_at - interval '901 seconds' WHERE id = ${old.run.id}::uuid`;
  });
  await using directives = listen("graphql-ws");
  const told = await directives.until((seen) => seen.length > 0);
  expect(told.map(({ jobId }) => jobId)).toEqual([recent.job.jobId]);
});

test("a cursor of any age is gone on from, whatever the log has had since", async () => {
  const [first, second] = [await held(), await held()];
  await cancel(first);
  const cursor = await (async () => {
    await using before = listen("graphql-ws");
    return (await before.until((seen) => seen.length === 1))[0]?.cursor ?? "";
  })();
  for (let other = 0; other < 110; other++) await cancel(await held({}, { by: otherKey }));
  await cancel(second);
  db.statements();
  await using directives = listen("graphql-ws", { after: cursor });
  const told = await directives.until((seen) => seen.length > 0);
  expect(told.map(({ jobId }) => jobId)).toEqual([second.job.jobId]);
  // Its own stops alone are read, and not the log.
  expect(db.statements().filter((sql) => sql.includes("AS stops"))).toHaveLength(1);
});

test("a worker of the whole deployment hears of its runs in every workspace, or in the one that it names", async () => {
  const everywhere = await server.keyOf({ roles: ["WORKER"], workspaceId: null });
  const { workspaceId } = ok(await createWorkspace(engine, { name: "another", workspaceId: null }));
  await using inAll = listen("graphql-ws", { by: everywhere });
  const headers = { ...everywhere.headers, "x-workspace-id": workspaceId };
  await using inOne = listen("graphql-ws", { by: { ...everywhere, headers } });
  await untilListening(2);
  const here = await held({}, { by: everywhere });
  const there = await held({}, { by: everywhere, workspaceId });
  for (const claim of [here, there]) await cancel(claim);
  const told = await inAll.until((seen) => seen.length === 2);
  expect(told.map(({ jobId }) => jobId)).toEqual([here.job.jobId, there.job.jobId]);
  expect((await inOne.until((seen) => seen.length > 0)).map(({ jobId }) => jobId)).toEqual([there.job.jobId]);
  // The same from the log.
  await using later = listen("graphql-ws", { by: everywhere });
  await later.until((seen) => seen.length === 2);
  await using laterInOne = listen("graphql-ws", { by: { ...everywhere, headers } });
  expect((await laterInOne.until((seen) => seen.length > 0)).map(({ jobId }) => jobId)).toEqual([there.job.jobId]);
});

test("many workers cost no statement of their own, and each hears of its own runs", async () => {
  const names = Array.from({ length: 40 }, (_, index) => `${workerId} ${index}`);
  const listeners = names.map((name) =>
    watch(
      "graphql-ws",
      server.url,
      { query: QUERY, variables: { workerId: name }, headers: key.headers },
      (data) => payload.parse(data).told.jobId,
    ),
  );
  await untilListening(40);
  const claims = await Promise.all(names.map((name) => held({}, { name })));
  db.statements();
  for (const claim of claims) await cancel(claim);
  await Promise.all(listeners.map((each) => each.until((seen) => seen.length === 1)));
  expect(listeners.map(({ seen }) => seen)).toEqual(claims.map(({ job }) => [job.jobId]));
  expect(db.statements().filter((sql) => /AS stops|ANY\(ARRAY\(\s*SELECT id FROM workflow_runs/.test(sql))).toEqual([]);
  for (const each of listeners) await each[Symbol.asyncDispose]();
});

test("a browser's EventSource, or curl, goes on from the id of the last event", async () => {
  const [first, second] = [await held(), await held()];
  await cancel(first);
  const url = `${server.url}?${new URLSearchParams({ query: QUERY, variables: JSON.stringify({ workerId }) })}`;
  const read = async (until: string, headers: Record<string, string> = {}) => {
    const { body } = await fetch(url, { headers: { accept: "text/event-stream", ...key.headers, ...headers } });
    let text = "";
    for await (const part of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += part;
      if (text.includes(until) && text.endsWith("\n\n")) break;
    }
    return text;
  };
  const id = /^id: (.+)$/m.exec(await read(first.job.jobId))?.[1] ?? "";
  await cancel(second);
  const text = await read(second.job.jobId, { "last-event-id": id });
  expect(text).not.toContain(first.job.jobId);
});

describe("it is refused", () => {
  const refusalOf = async (variables: object, headers: Readonly<Record<string, string>> = key.headers) => {
    const response = await fetch(server.url, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream", ...headers },
      body: JSON.stringify({ query: QUERY, variables }),
    });
    return response.text();
  };

  test.each(["", "x".repeat(201)])("for a worker's name that no run can have", async (name) => {
    expect(await refusalOf({ workerId: name })).toMatch(/INVALID_INPUT[^]*complete/);
  });

  test("for a cursor that is none", async () => {
    expect(await refusalOf({ workerId, after: "AAAA" })).toMatch(/INVALID_INPUT[^]*complete/);
  });

  test("to who may not work", async () => {
    const { headers } = await server.keyOf({ roles: ["VIEWER"] });
    expect(await refusalOf({ workerId }, headers)).toContain("JOBS_WORK");
  });

  test("and then nobody is left behind", async () => {
    await refusalOf({ workerId, after: "AAAA" });
    await untilListening(0);
  });
});
