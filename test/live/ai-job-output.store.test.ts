import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { startWorkflow } from "../../src/claims/start.ts";
import type { EngineContext } from "../../src/engine.ts";
import { revokeApiKey } from "../../src/identity/keys.ts";
import { createWorkspace } from "../../src/identity/workspaces.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { retryAiJob } from "../../src/jobs/retry.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { encodeCursor } from "../../src/log/cursor.ts";
import { deleteOldOutput } from "../../src/output/delete-old.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, serverSide, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { type Caller, type GuardedServer, OPERATOR, startGuardedServer } from "../support/guarded-server.ts";
import { post } from "../support/http.ts";
import { dueNow, FOUND } from "../support/jobs.ts";
import { PROTOCOLS, type Protocol, watch } from "../support/live.ts";
import { aCompletion, aFailure, failWorkflow } from "../support/reports.ts";

/** aiJobOutput: what the runs of a job put out while they work (section 13). */

const QUERY = `subscription ($jobId: UUID!, $after: Cursor) {
  told: aiJobOutput(jobId: $jobId, after: $after) { attempt sequence text isLast cursor } }`;
const payload = z.object({
  told: z.object({
    attempt: z.number(),
    sequence: z.number(),
    text: z.string(),
    isLast: z.boolean(),
    cursor: z.string(),
  }),
});
type Told = z.infer<typeof payload>["told"];

let db: TestDatabase;
/** Another server: what a watcher hears of it, it hears from the database. */
let elsewhere: EngineContext;
let server: GuardedServer;
let viewer: Caller;
let worker: Caller;
beforeAll(async () => {
  db = await openTestDatabase();
  elsewhere = engineOn(db);
  server = await startGuardedServer(db);
  viewer = await server.keyOf({ roles: ["VIEWER"] });
  worker = await server.keyOf({ roles: ["WORKER"] });
});
beforeEach(() => untilListening(0));
afterAll(async () => {
  await server.close();
  await db.close();
});

async function start(jobId: string): Promise<Claim> {
  const by = { workerId: "worker-1", principalId: worker.principal, leaseSeconds: 60 };
  const claim = ok(await startWorkflow(elsewhere, server.workspaceId, { jobId, ...by }));
  if (!("leaseToken" in claim)) throw new Error("The job was poisoned instead of started.");
  return claim;
}
const held = async () => start(ok(await submitAiJob(elsewhere, server.workspaceId, SOMEBODY, aSubmit())).job.jobId);

/** Appends over HTTP, at the server that is watched. */
async function append({ run, leaseToken }: Claim, first: number, ...texts: readonly string[]): Promise<void> {
  const chunks = texts.map((text, index) => ({ sequence: first + index, text }));
  const query = `mutation ($input: AppendOutputInput!) { appendOutput(input: $input) {
    ... on AppendOutputPayload { nextSequence } ... on Error { code message } } }`;
  const variables = { input: { workflowRunId: run.id, leaseToken, chunks } };
  const answer = await post(server.url, JSON.stringify({ query, variables }), worker.headers);
  expect(answer.data).toEqual({ appendOutput: { nextSequence: first + texts.length } });
}

function listen(jobId: string, protocol: Protocol = "graphql-ws", after?: string, by = viewer) {
  const operation = { query: QUERY, variables: { jobId, after }, headers: by.headers };
  return watch(protocol, server.url, operation, (data) => payload.parse(data).told);
}

/** Resolves when the server tells this many listeners. */
function untilListening(count = 1): Promise<unknown> {
  return vi.waitUntil(() => server.feed.subscribers === count, { timeout: 20_000 });
}

const shown = (told: readonly Told[]) =>
  told.map(({ attempt, sequence, text, isLast }) => `${attempt}.${sequence} ${isLast ? "(end)" : text}`);
const ended = (told: readonly Told[]) => told.at(-1)?.isLast ?? false;

describe.each(PROTOCOLS)("over %s", (protocol) => {
  test("what is there comes first, then each chunk, then the end, and the stream completes", async () => {
    const claim = await held();
    await append(claim, 1, "One ", "two ");
    await using output = listen(claim.job.jobId, protocol);
    await output.until((seen) => seen.length === 2);
    await append(claim, 3, "three ");
    await output.until((seen) => seen.length === 3);
    ok((await completeWorkflows(elsewhere, [aCompletion(claim)]))[0] ?? null);
    expect(shown(await output.until(ended))).toEqual(["1.1 One ", "1.2 two ", "1.3 three ", "1.4 (end)"]);
    await untilListening(0);
  });

  test("the attempt of a job that is retried by itself follows the one before", async () => {
    const claim = await held();
    await using output = listen(claim.job.jobId, protocol);
    await untilListening();
    await append(claim, 1, "first ");
    await failWorkflow(elsewhere, aFailure(claim, { retryable: true }));
    await output.until((seen) => seen.length === 2);
    await dueNow(elsewhere, claim.job.jobId);
    const again = await start(claim.job.jobId);
    await append(again, 1, "second ");
    await output.until((seen) => seen.length === 3);
    await completeWorkflows(elsewhere, [aCompletion(again, { needsValidation: true })]);
    expect(shown(await output.until((seen) => seen.length === 4))).toEqual([
      "1.1 first ",
      "1.2 (end)",
      "2.1 second ",
      "2.2 (end)",
    ]);
    await untilListening(1);
  });

  test("it goes on from every cursor, without a gap and without telling twice", async () => {
    const claim = await held();
    await append(claim, 1, "One ", "two ", "three ");
    await cancelAiJob(elsewhere, server.workspaceId, SOMEBODY, { jobId: claim.job.jobId, reason: "enough" });
    await using output = listen(claim.job.jobId, protocol);
    const all = await output.until(ended);
    expect(shown(all)).toEqual(["1.1 One ", "1.2 two ", "1.3 three ", "1.4 (end)"]);
    for (const [index, { cursor }] of all.slice(0, -1).entries()) {
      await using rest = listen(claim.job.jobId, protocol, cursor);
      expect(await rest.until(ended)).toEqual(all.slice(index + 1));
    }
    // Behind the end there is nothing more: it completes at once.
    await using nothing = listen(claim.job.jobId, protocol, all.at(-1)?.cursor);
    await expect(nothing.until((seen) => seen.length > 0)).rejects.toThrow("Ended");
  });

  test("the stream ends with its key", async () => {
    const own = await server.keyOf({ roles: ["VIEWER"] });
    const claim = await held();
    await using output = listen(claim.job.jobId, protocol, undefined, own);
    await untilListening();
    ok(await revokeApiKey(elsewhere, OPERATOR, { apiKeyId: own.apiKeyId, includeDescendants: false }));
    await expect(output.until((seen) => seen.length > 0)).rejects.toThrow(/UNAUTHENTICATED|4403/);
    await untilListening(0);
  });
});

test("a poisoned job's output is gone, and whoever watched is told that it has ended", async () => {
  const claim = await held();
  await append(claim, 1, "One ");
  await using output = listen(claim.job.jobId);
  const [first] = await output.until((seen) => seen.length === 1);
  await poisonJob(elsewhere, server.workspaceId, claim.job.jobId, FOUND);
  expect(shown(await output.until(ended))).toEqual(["1.1 One ", "1.2 (end)"]);
  await using later = listen(claim.job.jobId, "graphql-ws", first?.cursor);
  expect(shown(await later.until(ended))).toEqual(["1.2 (end)"]);
});

test("who comes back when the output is deleted is told of the end alone", async () => {
  const claim = await held();
  await append(claim, 1, "One ", "two ");
  await using output = listen(claim.job.jobId);
  const [, second] = await output.until((seen) => seen.length === 2);
  await completeWorkflows(elsewhere, [aCompletion(claim)]);
  await db.prisma.$transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    await tx.$executeRaw`UPDATE workflow_runs SET finished_at = finished_at - interval '2 hours' WHERE id = ${claim.run.id}::uuid`;
  });
  await deleteOldOutput(serverSide(db).prisma);
  await using later = listen(claim.job.jobId, "graphql-ws", second?.cursor);
  expect(shown(await later.until(ended))).toEqual(["1.3 (end)"]);
});

test("a failed job that a person retries is gone on with from the cursor", async () => {
  const claim = await held();
  const { jobId } = claim.job;
  await append(claim, 1, "One ");
  await failWorkflow(elsewhere, aFailure(claim, { retryable: false }));
  await using output = listen(jobId);
  const last = (await output.until(ended)).at(-1);
  ok(await retryAiJob(elsewhere, server.workspaceId, SOMEBODY, jobId));
  await using again = listen(jobId, "graphql-ws", last?.cursor);
  await untilListening();
  await append(await start(jobId), 1, "again ");
  expect(shown(await again.until((seen) => seen.length === 1))).toEqual(["2.1 again "]);
});

test("a long output comes whole, page after page", async () => {
  const claim = await held();
  for (let first = 1; first < 300; first += 100)
    await append(claim, first, ...Array.from({ length: 100 }, (_, at) => `${first + at} `));
  await completeWorkflows(elsewhere, [aCompletion(claim)]);
  await using output = listen(claim.job.jobId);
  const told = await output.until(ended);
  expect(told.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 301 }, (_, at) => at + 1));
  expect(told.every(({ sequence, text }) => sequence === 301 || text === `${sequence} `)).toBe(true);
});

test("many who watch one job share the reads of its chunks", async () => {
  const claim = await held();
  const watchers = Array.from({ length: 30 }, () => listen(claim.job.jobId));
  await untilListening(30);
  db.statements();
  await append(claim, 1, "One ");
  await Promise.all(watchers.map((each) => each.until((seen) => seen.length === 1)));
  const reads = db.statements().filter((sql) => sql.includes("AS entry"));
  expect(reads.length).toBeLessThanOrEqual(3);
  for (const each of watchers) await each[Symbol.asyncDispose]();
});

test("a browser's EventSource, or curl, goes on from the id of the last event", async () => {
  const claim = await held();
  const { jobId } = claim.job;
  await append(claim, 1, "One ");
  const url = `${server.url}?${new URLSearchParams({ query: QUERY, variables: JSON.stringify({ jobId }) })}`;
  const read = async (until: string, headers: Record<string, string> = {}) => {
    const { body } = await fetch(url, { headers: { accept: "text/event-stream", ...viewer.headers, ...headers } });
    let text = "";
    for await (const part of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += part;
      if (text.includes(until) && text.endsWith("\n\n")) break;
    }
    return text;
  };
  const id = /^id: (.+)$/m.exec(await read("One "))?.[1] ?? "";
  await append(claim, 2, "two ");
  const text = await read("two ", { "last-event-id": id });
  expect(text).toContain("two ");
  expect(text).not.toContain("One ");
});

describe("it is refused", () => {
  /** The code of the error that a subscription is answered with. */
  const refusal = async (jobId: string, after?: string, { headers } = viewer) => {
    const response = await fetch(server.url, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream", ...headers },
      body: JSON.stringify({ query: QUERY, variables: { jobId, after } }),
    });
    return /"code":"(\w+)"/.exec(await response.text())?.[1];
  };

  test("to who may not read jobs, and of a job of another workspace", async () => {
    const claim = await held();
    await append(claim, 1, "One ");
    expect(await refusal(claim.job.jobId, undefined, worker)).toBe("FORBIDDEN");
    const { workspaceId } = ok(await createWorkspace(elsewhere, { name: "another", workspaceId: null }));
    const { job } = ok(await submitAiJob(elsewhere, workspaceId, SOMEBODY, aSubmit()));
    for (const jobId of [job.jobId, crypto.randomUUID()]) expect(await refusal(jobId)).toBe("NOT_FOUND");
  });

  test("from a cursor of another job, of the log, of another epoch, and from none", async () => {
    const [claim, other] = [await held(), await held()];
    for (const each of [claim, other]) await append(each, 1, "One ");
    await using output = listen(other.job.jobId);
    const [told] = await output.until((seen) => seen.length === 1);
    const decoded = Buffer.from(told?.cursor ?? "", "base64url").toString();
    const encoded = (text: string) => Buffer.from(text).toString("base64url");
    expect(await refusal(claim.job.jobId, told?.cursor)).toBe("INVALID_INPUT");
    expect(await refusal(claim.job.jobId, "bm9uZQ")).toBe("INVALID_INPUT");
    const { orderXid, jobId, version, chainHash: hash } = claim.job;
    const ofTheLog = encodeCursor(decoded.split(" ")[1] ?? "", { orderXid, jobId, version, hash });
    expect(await refusal(claim.job.jobId, ofTheLog)).toBe("INVALID_INPUT");
    const ofAnotherEpoch = decoded.replace(/^o1 \S+/, `o1 ${crypto.randomUUID()}`);
    expect(await refusal(other.job.jobId, encoded(ofAnotherEpoch))).toBe("CURSOR_EXPIRED");
  });
});
