import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { type Api, send } from "../../examples/client.ts";
import { DOCUMENTS_FOLDER, readDocuments } from "../../examples/demo/documents.ts";
import { FeedCursor } from "../../examples/demo/operations.ts";
import { readOutcomes } from "../../examples/demo/outcome.ts";
import { PROTOCOL, planJobs } from "../../examples/demo/plan.ts";
import { submitJobs } from "../../examples/demo/submit.ts";
import { watchToTheEnd } from "../../examples/demo/watch.ts";
import { extractiveSummariser } from "../../examples/worker/extractive.ts";
import { work } from "../../examples/worker.ts";
import type { Role } from "../../src/db/generated/client/enums.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { type GuardedServer, startGuardedServer } from "../support/guarded-server.ts";

/** The examples on a server that asks for keys, each with a key that can do what it must and nothing else. */

const PROGRAM = fileURLToPath(new URL("../../examples/minimal-worker.mjs", import.meta.url));
/** A machine that is busy with other tests takes its time. */
const LIMIT_MS = 240_000;

let database: TestDatabase;
let server: GuardedServer;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startGuardedServer(database);
}, LIMIT_MS);
afterAll(async () => {
  await server.close();
  await database.close();
});

async function apiFor(...roles: readonly Role[]): Promise<Required<Api>> {
  const { headers } = await server.keyOf({ roles });
  return { url: server.url, key: headers.authorization.replace("Bearer ", "") };
}

test("the demo's submitter, worker and subscriber prove themselves", { timeout: LIMIT_MS }, async () => {
  const planned = planJobs(["DOC_SUMMARIZE"], (await readDocuments()).slice(0, 1), "LOCAL");
  const [submitter, worker, viewer] = [await apiFor("SUBMITTER"), await apiFor("WORKER"), await apiFor("VIEWER")];
  const { aiJobs } = await send(viewer, FeedCursor, {});
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const { signal } = stop;
  const working = work({ ...worker, documents: DOCUMENTS_FOLDER, summariser: extractiveSummariser, signal });
  const [[job]] = await Promise.all([
    submitJobs(submitter, planned),
    watchToTheEnd(
      viewer,
      { protocolId: PROTOCOL, after: aiJobs.feedCursor },
      { jobs: 1, show: () => {}, signal },
    ).finally(() => stop.abort()),
    working,
  ]);
  expect((await readOutcomes(viewer)).get(job?.jobId ?? "")).toMatchObject({ state: "COMPLETED" });
});

test("the minimal worker needs a key with the role WORKER, and no workspace", { timeout: LIMIT_MS }, async () => {
  const [planned] = planJobs(["DOC_EDIT"], (await readDocuments()).slice(0, 1), "LOCAL");
  if (!planned) throw new Error("There is a document.");
  const submitter = await apiFor("SUBMITTER");
  const [job] = await submitJobs(submitter, [planned]);
  const { url, key } = await apiFor("WORKER");
  const env = { AI_JOB_SERVER_URL: url, AI_JOB_SERVER_KEY: key };
  const [code] = await once(
    spawn(process.execPath, [PROGRAM], { env, stdio: ["ignore", "ignore", "inherit"] }),
    "exit",
  );
  expect(code).toBe(0);
  expect((await readOutcomes(submitter)).get(job?.jobId ?? "")).toMatchObject({ state: "COMPLETED" });
});
