/**
 * Is this checkout slower than another one of this project, such as the commit before a change?
 * Run with `npx tsx bench/against.ts FOLDER [question ...]`, FOLDER being the other checkout, with its packages installed.
 *
 * The servers of both are started as a user starts them, each on a database of its own, and are asked over HTTP in turns,
 * round by round, so that whatever else the machine does meets both. A ratio is the median of the rounds' own ratios.
 */
import { Agent } from "node:http";
import { resolve } from "node:path";
import pg from "pg";
import { z } from "zod";
import { JobKind } from "../src/db/generated/client/enums.ts";
import { createPostgresDatabase } from "../test/support/database.ts";
import { now } from "./live/clock.ts";
import { SubscriberProcess } from "./live/subscriber-process.ts";
import { settle } from "./support/database.ts";
import { bar, machine, median, quantile, table } from "./support/figures.ts";
import type * as Loaders from "./support/jobs.ts";
import { load, type Operation, post } from "./support/load.ts";
import { type Server, startOurs } from "./support/servers.ts";

/** How much slower this checkout may be. */
const MAX_RATIO = 1.05;

/** A server of a checkout, and its database. */
interface Side {
  readonly server: Server;
  readonly sql: pg.Client;
  /** What loads jobs past the server: that of the checkout, which knows its own tables. */
  readonly loaders: typeof Loaders;
  close(): Promise<void>;
}

async function startSide(checkout: string | undefined): Promise<Side> {
  const { url, drop } = await createPostgresDatabase();
  const loaders: unknown = await import(resolve(checkout ?? ".", "bench/support/jobs.ts"));
  if (!areLoaders(loaders)) throw new Error("The other checkout has other benchmarks: compare with a newer one.");
  const server = await startOurs(url, [], checkout);
  const sql = new pg.Client({ connectionString: url });
  await sql.connect();
  return {
    server,
    sql,
    loaders,
    close: async () => {
      await server.stop();
      await sql.end();
      await drop();
    },
  };
}

function areLoaders(value: unknown): value is typeof Loaders {
  return (
    typeof value === "object" &&
    value !== null &&
    "addQueuedJobs" in value &&
    "addJobs" in value &&
    "someJobIds" in value
  );
}

/** One question: what is prepared for it, and one round of it. */
interface Question {
  readonly rounds: number;
  /** What a round measures, for people; more is worse. */
  readonly unit: string;
  readonly prepare: (side: Side) => Promise<(round: number) => Promise<number>>;
}

const agent = new Agent({ keepAlive: true, maxSockets: 16 });
/** All but terminal_exec, which the profile of the loaded jobs does not allow. */
const kinds = Object.values(JobKind).filter((kind) => kind !== "TERMINAL_EXEC");

async function ask<Answer>(
  url: string,
  query: string,
  input: object,
  answer: string,
  schema: z.ZodType<Answer>,
): Promise<Answer> {
  return schema.parse(JSON.parse(await post(url, { query, variables: () => ({ input }), answer }, agent)));
}

const claimsSchema = z
  .object({
    data: z.object({
      claimAiJobs: z.object({
        claims: z.array(
          z.object({
            leaseToken: z.string(),
            workflowRun: z.object({ workflowRunId: z.string() }),
            job: z.object({ jobId: z.string() }),
          }),
        ),
      }),
    }),
  })
  .transform(({ data }) => data.claimAiJobs.claims);

const CLAIM = `mutation ($input: ClaimAiJobsInput!) { claimAiJobs(input: $input) { ... on ClaimAiJobsPayload {
  claims { leaseToken workflowRun { workflowRunId } job { jobId jobKind jobInputs } } } } }`;
const COMPLETE = `mutation ($input: CompleteWorkflowsInput!) { completeWorkflows(input: $input) {
  ... on CompleteWorkflowsPayload { results { __typename } } } }`;
const HEARTBEAT = `mutation ($input: HeartbeatWorkflowsInput!) { heartbeatWorkflows(input: $input) {
  ... on HeartbeatWorkflowsPayload { results { directive } } } }`;
const ADVANCE = `mutation ($input: AdvanceWorkflowInput!) { advanceWorkflow(input: $input) {
  ... on AdvanceWorkflowPayload { directive } } }`;
const REPORT = `mutation ($input: ReportSecurityViolationInput!) { reportSecurityViolation(input: $input) {
  ... on ReportSecurityViolationPayload { actionTaken } } }`;
const WATCH = `subscription ($jobId: UUID!) { aiJobChanged(jobId: $jobId) { kind cursor version state previousState
  matchesFilter metrics { durationMs totalTokens inputTokens outputTokens } event { eventId type actorId recordedAt } } }`;

function claim(url: string, worker: number, limit: number, leaseSeconds: number) {
  const input = { workerId: `worker-${worker}`, limit, leaseSeconds, jobKinds: kinds };
  return ask(url, CLAIM, input, '"claims"', claimsSchema);
}

/** Milliseconds of a request of 16 connections that each send the next when they have the last answer. */
function requests(jobs: number, operationOf: (side: Side) => Promise<Operation>): Question {
  return {
    rounds: 9,
    unit: "ms a request, at 16 connections",
    prepare: async (side) => {
      await side.loaders.addJobs(side.sql, jobs);
      await settle(side.sql);
      const operation = await operationOf(side);
      return async () => 16_000 / (await load(side.server.url, operation, 2_500)).perSecond;
    },
  };
}

/** Milliseconds for a job that is claimed and completed over HTTP, while 10,000 more wait. */
function claiming(jobs: number, limit: number, workers: number): Question {
  return {
    rounds: 9,
    unit: "ms a job",
    prepare: async ({ sql, server, loaders }) => {
      await loaders.addQueuedJobs(sql, 30_000);
      await settle(sql);
      return async (round) => {
        if (round % 4 === 3) await loaders.addQueuedJobs(sql, 4 * jobs);
        const start = performance.now();
        let done = 0;
        const work = async (worker: number) => {
          while (done < jobs) {
            const claims = await claim(server.url, worker, limit, 60);
            if (claims.length === 0) throw new Error("No job waits.");
            const completions = claims.map(({ leaseToken, workflowRun }) => ({
              ...workflowRun,
              leaseToken,
              jobOutputs: { ok: true },
              metrics: { durationMs: 12, inputTokens: 100, outputTokens: 20 },
            }));
            const operation = {
              query: COMPLETE,
              variables: () => ({ input: { completions } }),
              answer: "CompletedWorkflow",
            };
            await post(server.url, operation, agent);
            done += claims.length;
          }
        };
        await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
        return (performance.now() - start) / done;
      };
    },
  };
}

/** Milliseconds from a change of one job to the last of so many subscribers of it. */
function resumeState(subscribers: number): Question {
  return {
    rounds: 60,
    unit: `ms from the request to the last of ${subscribers} subscribers, p50`,
    prepare: async ({ sql, server, loaders }) => {
      await loaders.addQueuedJobs(sql, 100);
      const [held] = await claim(server.url, 0, 1, 900);
      if (!held) throw new Error("No job waits.");
      const listeners = new SubscriberProcess();
      stops.push(() => listeners.stop());
      await listeners.open(
        server.url,
        WATCH,
        Array.from({ length: subscribers }, () => ({ jobId: held.job.jobId })),
      );
      const heartbeats = [
        { ...held.workflowRun, leaseToken: held.leaseToken, leaseSeconds: 900, metrics: { durationMs: 5 } },
      ];
      const operation = { query: HEARTBEAT, variables: () => ({ input: { heartbeats } }), answer: '"CONTINUE"' };
      return async () => {
        const times = await listeners.latencies(server.url, subscribers, async () => {
          const at = now();
          await post(server.url, operation, agent);
          return at;
        });
        return Math.max(...times);
      };
    },
  };
}

/** Milliseconds of the request that poisons a job with a run and 10 nodes, 5 of them open, one at a time. */
const poisoning: Question = {
  rounds: 200,
  unit: "ms a request, one at a time, p50",
  prepare: async ({ sql, server, loaders }) => {
    await loaders.addQueuedJobs(sql, 500);
    await settle(sql);
    const held = [...(await claim(server.url, 0, 100, 900)), ...(await claim(server.url, 0, 100, 900))];
    held.push(...(await claim(server.url, 0, 100, 900)));
    for (const { workflowRun, leaseToken } of held) {
      for (let node = 0; node < 10; node++) {
        const report = (outcome: string) => ({
          ...workflowRun,
          leaseToken,
          step: { nodeId: `node-${node}`, nodeType: "tool", outcome },
        });
        const send = (outcome: string) =>
          post(
            server.url,
            { query: ADVANCE, variables: () => ({ input: report(outcome) }), answer: "CONTINUE" },
            agent,
          );
        await send("STARTED");
        if (node < 5) await send("SUCCEEDED");
      }
    }
    const found = { violationType: "PROMPT_INJECTION", guardName: "bench", trigger: "here", description: "Found." };
    return async (round) => {
      const input = { jobId: held[round]?.job.jobId, ...found };
      const start = performance.now();
      await post(server.url, { query: REPORT, variables: () => ({ input }), answer: '"POISONED"' }, agent);
      return performance.now() - start;
    };
  },
};

const scalars = "jobId jobKind state statusReason protocolId attempt createdAt metrics { durationMs totalTokens }";

const QUESTIONS: Readonly<Record<string, Question>> = {
  "job-by-id": requests(5_000, async ({ sql, loaders }) => {
    const ids = await loaders.someJobIds(sql, 1_000);
    let next = 0;
    return {
      query: `query ($jobId: UUID!) { aiJob(jobId: $jobId) { ${scalars} } }`,
      variables: () => ({ jobId: ids[next++ % ids.length] }),
      answer: '"aiJob":{"jobId":"',
    };
  }),
  "20-newest": requests(5_000, async () => ({
    query: `query { aiJobs { nodes { ${scalars} } } }`,
    variables: () => ({}),
    answer: '"nodes":[{"jobId":"',
  })),
  submit: requests(5_000, async () => ({
    query: `mutation ($input: SubmitAiJobInput!) { submitAiJob(input: $input) {
      __typename ... on SubmitAiJobPayload { job { ${scalars} } } } }`,
    variables: () => ({
      input: { jobKind: "DOC_SUMMARIZE", protocolId: "bench", jobInputs: { text: "what to work on" } },
    }),
    answer: '"job":{"jobId":"',
  })),
  "claim-100": claiming(4_000, 100, 4),
  "claim-1": claiming(600, 1, 8),
  poison: poisoning,
  "live-1": resumeState(1),
  "live-1000": resumeState(1_000),
};

/** What must be stopped when a question is over. */
let stops: (() => Promise<void>)[] = [];

async function compareSides(name: string, question: Question, other: string): Promise<string[]> {
  const sides = [await startSide(undefined), await startSide(resolve(other))];
  try {
    const rounds: (readonly number[])[] = [];
    const askers = [];
    for (const side of sides) askers.push(await question.prepare(side));
    for (let round = 0; round <= question.rounds; round++) {
      const measured: number[] = [];
      // Who goes first changes, so that neither always finds the machine as the other has left it.
      const order = round % 2 === 0 ? [0, 1] : [1, 0];
      for (const at of order) measured[at] = (await askers[at]?.(round)) ?? Number.NaN;
      // The first round warms up.
      if (round > 0) rounds.push(measured);
    }
    const of = (side: number) => rounds.map((measured) => measured[side] ?? Number.NaN);
    const ratio = median(rounds.map(([ours = 0, theirs = 0]) => ours / theirs));
    console.log(bar(`${name}, this checkout : the other one`, ratio, { atMost: MAX_RATIO }));
    const cell = (side: number) => `${median(of(side)).toFixed(2)} (${quantile(of(side), 0.95).toFixed(2)})`;
    return [name, question.unit, cell(0), cell(1), ratio.toFixed(2)];
  } finally {
    for (const stop of stops) await stop();
    stops = [];
    for (const side of sides) await side.close();
  }
}

const [other, ...names] = process.argv.slice(2);
if (other === undefined) throw new Error("Name the folder of the other checkout.");
console.log(`## This checkout and ${resolve(other)}, in turns\n\n${machine()}\n`);
const rows: string[][] = [];
for (const name of names.length > 0 ? names : Object.keys(QUESTIONS)) {
  const question = QUESTIONS[name];
  if (!question) throw new Error(`There is no question ${name}: ${Object.keys(QUESTIONS).join(", ")}.`);
  rows.push(await compareSides(name, question, other));
}
console.log(`\n${table(["question", "unit", "this, median (p95)", "other", "ratio"], rows)}`);
agent.destroy();
