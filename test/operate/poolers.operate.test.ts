import { expect, test } from "vitest";
import { z } from "zod";
import { untilTestEnds } from "./cleanup.ts";
import { Cluster, Pooler } from "./cluster.ts";
import {
  expectWell,
  follow,
  inDatabase,
  type LoggingServer,
  MANY,
  post,
  refusal,
  setQuota,
  startServer,
  submit,
  submitMany,
} from "./running.ts";

/** A server behind PgBouncer, in both of its modes, with more clients than connections. */

const TRANSACTION = { DATABASE_POOL_MODE: "transaction" };
const cluster = async () => untilTestEnds(await Cluster.create(), (each) => each.stop("immediate"));
const pooler = async (target: Cluster, mode: "session" | "transaction", poolSize?: number) =>
  untilTestEnds(await Pooler.start(target, mode, poolSize), (each) => each.stop());
const server = async (env: Readonly<Record<string, string>>) =>
  untilTestEnds(await startServer(env), (each) => each.close());
const complaint = async (env: Readonly<Record<string, string>>) => {
  const refusal: unknown = await startServer(env).then(
    (running) => running.close(),
    (error: unknown) => error,
  );
  return refusal instanceof Error ? refusal.message : "It started.";
};

const CLAIM = `mutation ($workerId: String!) { claimAiJobs(input: { workerId: $workerId, limit: 5 }) {
  ... on ClaimAiJobsPayload { claims { leaseToken workflowRun { workflowRunId } } } ... on Error { code message } } }`;
const COMPLETE = `mutation ($input: CompleteWorkflowsInput!) { completeWorkflows(input: $input) {
  ... on CompleteWorkflowsPayload { results { __typename ... on Error { code message } } } ... on Error { code message } } }`;

const claimed = z.object({
  claimAiJobs: refusal.extend({
    claims: z
      .array(z.object({ leaseToken: z.string(), workflowRun: z.object({ workflowRunId: z.string() }) }))
      .optional(),
  }),
});
const completedOrNot = z.object({ completeWorkflows: refusal.extend({ results: z.array(refusal).optional() }) });

/** Submits, claims and completes with several clients at once. @returns what was not answered as it should be. */
async function work(running: LoggingServer, jobs: number): Promise<readonly string[]> {
  const faults: string[] = [];
  let completed = 0;
  const submitter = async () => {
    for (let index = 0; index < jobs / 4; index++) {
      const answer = await submit(running.url);
      if (!/^[0-9a-f-]{36}$/.test(answer)) faults.push(answer);
    }
  };
  const worker = async (workerId: string) => {
    for (let empty = 0; completed < jobs && empty < 500; ) {
      const { claims = [], code } = (await post(running.url, CLAIM, { workerId }, claimed)).claimAiJobs;
      if (code !== undefined) faults.push(code);
      if (claims.length === 0) empty += 1;
      if (claims.length === 0) continue;
      const completions = claims.map(({ leaseToken, workflowRun }) => ({
        ...workflowRun,
        leaseToken,
        jobOutputs: { ok: true },
      }));
      const answer = await post(running.url, COMPLETE, { input: { completions } }, completedOrNot);
      for (const result of answer.completeWorkflows.results ?? [answer.completeWorkflows])
        if (result.code === undefined) completed += 1;
        else faults.push(result.code);
    }
  };
  await Promise.all([...[1, 2, 3, 4].map(submitter), ...["a", "b", "c", "d", "e", "f"].map(worker)]);
  if (completed !== jobs) faults.push(`${completed} of ${jobs} jobs were completed.`);
  return faults;
}

test("in transaction mode it works with fewer connections than clients, once the role has the settings", async () => {
  const postgres = await cluster();
  const database = await postgres.createDatabase();
  const bouncer = await pooler(postgres, "transaction", 4);
  const url = bouncer.url(database);
  expect(await complaint({ DATABASE_URL: url })).toMatch(/^A connection pooler answers .* Set DATABASE_POOL_MODE/);
  expect(await complaint({ DATABASE_URL: url, DATABASE_POOL_MODE: "session" })).toMatch(/it is in transaction mode/);
  const settings = await complaint({ DATABASE_URL: url, ...TRANSACTION });
  expect(settings).toMatch(/^Behind a pooler in transaction mode, the role must have the settings/);
  await postgres.sql(settings.slice(settings.indexOf("ALTER ROLE")));
  await postgres
    .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()", database)
    .catch(() => undefined);
  expect(await complaint({ DATABASE_URL: url, ...TRANSACTION })).toMatch(
    /lacks the migration .* Run `npx ai-job-server migrate`/,
  );

  const running = await server({ DATABASE_URL: url, DATABASE_DIRECT_URL: postgres.url(database), ...TRANSACTION });
  expect(await running.get("/health")).toMatchObject({ signals: { kind: "postgres" } });
  await setQuota(running.url, MANY);
  await using subscriber = follow(running.url);
  expect(await work(running, 200)).toEqual([]);
  await subscriber.until((seen) => seen.length >= 600);
  await expectWell(running, 200);
});

test("in transaction mode without another way to PostgreSQL, changes of other servers are found by polling, and health says so", async () => {
  const postgres = await cluster();
  const database = await postgres.createDatabase();
  const direct = await server({ DATABASE_URL: postgres.url(database) });
  const bouncer = await pooler(postgres, "transaction");
  const settings = await complaint({ DATABASE_URL: bouncer.url(database), ...TRANSACTION });
  await postgres.sql(settings.slice(settings.indexOf("ALTER ROLE")));
  await bouncer.stop();
  const again = await pooler(postgres, "transaction");
  const running = await server({ DATABASE_URL: again.url(database), ...TRANSACTION });
  expect(await running.get("/health")).toMatchObject({ status: "ok", signals: { kind: "polling" } });
  await setQuota(running.url, MANY);
  await using subscriber = follow(running.url);
  const ids = await submitMany(direct.url, 5);
  await subscriber.until((seen) => seen.length >= 5);
  expect(subscriber.seen.map(({ job }) => job.jobId)).toEqual(ids);
  await expectWell(running, 5);
});

test("in session mode it works, with its time limits and prepared statements", async () => {
  const postgres = await cluster();
  const database = await postgres.createDatabase();
  const bouncer = await pooler(postgres, "session", 30);
  const url = bouncer.url(database);
  expect(await complaint({ DATABASE_URL: url })).toMatch(/^A connection pooler answers/);
  const running = await server({
    DATABASE_URL: url,
    DATABASE_POOL_MODE: "session",
    DATABASE_DIRECT_URL: postgres.url(database),
  });
  const [limits] = await inDatabase(
    running,
    (prisma) => prisma.$queryRaw<object[]>`
      SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
        current_setting('DateStyle') AS dates, current_setting('enable_seqscan') AS scans`,
  );
  expect(limits).toEqual({ statement: "15s", lock: "8s", dates: "ISO, MDY", scans: "off" });
  await setQuota(running.url, MANY);
  await using subscriber = follow(running.url);
  expect(await work(running, 200)).toEqual([]);
  await subscriber.until((seen) => seen.length >= 600);
  await expectWell(running, 200);
});
