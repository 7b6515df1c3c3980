import { setTimeout as sleep } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { z } from "zod";
import { untilTestEnds } from "./cleanup.ts";
import { Cluster, userFolder } from "./cluster.ts";
import {
  anything,
  expectWell,
  follow,
  inDatabase,
  type LoggingServer,
  MANY,
  newEpochs,
  post,
  refusal,
  setQuota,
  startServer,
  submit,
  submitMany,
  usage,
  warningsOf,
} from "./running.ts";
import { mayMount, SmallDisk } from "./small-disk.ts";

/** A disk that is full: what is said of it, and that nothing is lost when there is space again. */

const isLeftOut = !mayMount && process.env.CI === undefined;
if (isLeftOut) process.stderr.write("Only root may mount a small disk: the tests of a full disk are left out.\n");

/** Where no disk may be mounted, this fails in CI. */
const smallDisk = async (megabytes: number) =>
  untilTestEnds(await SmallDisk.mount(megabytes), (each) => each.unmount());
const cluster = async (settings: Readonly<Record<string, string>>, place: { data?: string; wal?: string }) =>
  untilTestEnds(await Cluster.create(settings, place), (each) => each.stop("immediate"));

const lease = z.object({ leaseToken: z.string(), workflowRun: z.object({ workflowRunId: z.string() }) });
const started = z.object({ startWorkflow: z.object({ claim: lease }) });
const START = `mutation ($jobId: UUID!) { startWorkflow(input: { jobId: $jobId, workerId: "w" }) {
  ... on StartWorkflowPayload { claim { leaseToken workflowRun { workflowRunId } } } ... on Error { code message } } }`;
const HEARTBEAT = `mutation ($input: HeartbeatWorkflowsInput!) { heartbeatWorkflows(input: $input) {
  ... on HeartbeatWorkflowsPayload { results { __typename } } ... on Error { code message } } }`;
const submitted = z.object({ submitAiJob: z.object({ job: z.object({ jobId: z.string() }) }) });
const SUBMIT_LATER = `mutation ($runAfter: DateTime!) {
  submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "operate", runAfter: $runAfter }) {
    ... on SubmitAiJobPayload { job { jobId } } ... on Error { code message } } }`;
const claims = z.object({ claimAiJobs: refusal.extend({ claims: z.array(lease).optional() }) });
const CLAIM = `mutation { claimAiJobs(input: { workerId: "waits", jobKinds: [DOC_EDIT], waitSeconds: 20 }) {
  ... on ClaimAiJobsPayload { claims { leaseToken workflowRun { workflowRunId } } } ... on Error { code message } } }`;

const isId = (answer: string) => /^[0-9a-f-]{36}$/.test(answer);
const untilReady = (running: LoggingServer) =>
  vi.waitFor(async () => expect(await running.get("/ready")).toEqual({ code: 200, ready: true }), {
    timeout: 60_000,
    interval: 200,
  });

test.skipIf(isLeftOut)(
  "the disk of the tables is full: writes are TRY_AGAIN, reads and streams go on, /ready says why; with space again nothing is lost",
  async () => {
    const disk = await smallDisk(96);
    const postgres = await cluster({}, { data: disk.folder, wal: await userFolder() });
    const url = postgres.url(await postgres.createDatabase());
    const running = untilTestEnds(await startServer({ DATABASE_URL: url }), (each) => each.close());
    await setQuota(running.url, MANY);
    await using subscriber = follow(running.url);
    const ids = await submitMany(running.url, 5);
    const { startWorkflow } = await post(running.url, START, { jobId: ids[0] }, started);
    const { leaseToken, workflowRun } = startWorkflow.claim;
    const runAfter = new Date(Date.now() + 3_000).toISOString();
    ids.push((await post(running.url, SUBMIT_LATER, { runAfter }, submitted)).submitAiJob.job.jobId);
    const waiting = post(running.url, CLAIM, {}, claims);

    await disk.fill();
    const answers: string[] = [];
    await vi.waitFor(
      async () => {
        answers.push(await submit(running.url));
        expect(answers.at(-1)).toBe(
          "TRY_AGAIN: The database has no space left on its disk. Nothing was kept; send the same again later.",
        );
      },
      { timeout: 60_000, interval: 1 },
    );
    for (let count = 0; count < 100; count++) answers.push(await submit(running.url));
    // What needs no further block is still written, and tells nothing about the rest.
    const heartbeat = { input: { heartbeats: [{ leaseToken, ...workflowRun }] } };
    await post(running.url, HEARTBEAT, heartbeat, anything);
    for (let count = 0; count < 5; count++) {
      expect(await running.get("/ready")).toEqual({
        code: 503,
        ready: false,
        reason: "The database has no space left on its disk.",
      });
    }
    expect((await fetch(new URL("/live", running.url))).status).toBe(200);
    expect(await running.get("/health")).toMatchObject({ code: 200, status: "ok", database: { answers: true } });
    ids.push(...answers.filter(isId));
    await subscriber.until((seen) => seen.length >= ids.length + 1);
    expect(await usage(running.url)).toEqual({
      quotas: [{ used: ids.length, max: MANY }],
      aiJobStats: { total: ids.length },
    });
    // Meanwhile maintenance tasks fail, and the claim that waits for a job that is due now.
    await sleep(4_000);

    await disk.free();
    await untilReady(running);
    expect(await waiting).toMatchObject({ claimAiJobs: { claims: [{ leaseToken: expect.any(String) }] } });
    ids.push(...(await submitMany(running.url, 40)));
    await subscriber.until((seen) => seen.filter(({ version }) => version === 1).length >= ids.length);
    expect(subscriber.seen.filter(({ version }) => version === 1).map(({ job }) => job.jobId)).toEqual(ids);
    await expectWell(running, ids.length, [{ reason: "The database has no space left on its disk." }]);
  },
);

test.skipIf(isLeftOut)(
  "the disk of the write-ahead log is full, and PostgreSQL goes down: with space again, and a start, everything goes on, and nothing is lost",
  async () => {
    const disk = await smallDisk(64);
    const postgres = await cluster({ min_wal_size: "'32MB'", max_wal_size: "'32MB'" }, { wal: disk.folder });
    const url = postgres.url(await postgres.createDatabase());
    const running = untilTestEnds(await startServer({ DATABASE_URL: url }), (each) => each.close());
    await setQuota(running.url, MANY);
    await using subscriber = follow(running.url);
    const answers = await submitMany(running.url, 5);
    await subscriber.until((seen) => seen.length >= 5);

    await disk.fill();
    const fillLog = "SELECT pg_logical_emit_message(false, '', repeat('x', 1000000))";
    const isUp = () =>
      postgres.sql(fillLog).then(
        () => true,
        () => false,
      );
    while (await isUp()) answers.push(await submit(running.url).catch(String));
    await vi.waitFor(
      async () => expect(await running.get("/health")).toMatchObject({ code: 503, status: "unavailable" }),
      { timeout: 20_000, interval: 200 },
    );
    expect(await running.get("/ready")).toMatchObject({ code: 503, ready: false });
    expect(await submit(running.url)).toMatch(/^TRY_AGAIN: .* Nothing was kept/);

    await disk.free();
    // It has tried to start again by itself; where that was too early, it has given up.
    await postgres.start().catch(() => undefined);
    await untilReady(running);
    answers.push(...(await submitMany(running.url, 10)));
    const ids = answers.filter(isId);
    await subscriber.until((seen) => ids.every((id) => seen.some(({ job }) => job.jobId === id)));
    const stored = await inDatabase(running, ({ aiJob }) => aiJob.findMany({ orderBy: { orderXid: "asc" } }));
    expect(subscriber.seen.map(({ job }) => job.jobId)).toEqual(stored.map(({ jobId }) => jobId));
    expect(ids.length).toBeGreaterThanOrEqual(15);
    expect(newEpochs(running)).toEqual([]);
    const reasons = warningsOf(running).flatMap(({ reason }) => (reason === undefined ? [] : [reason]));
    expect(reasons).toEqual([...new Set(reasons)]);
    await expectWell(running, stored.length, warningsOf(running));
  },
);
