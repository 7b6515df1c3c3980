/**
 * How many jobs with one durable step does the server bear in a second? Run with `npx tsx bench/one-step.ts`.
 *
 * A worker claims a job, runs a step whose input and output are kept, and completes the job: with four requests, as before a step could
 * be reported once and with the completion; with two; and with two for each eight jobs, as workers do that run several at a time. The
 * same number of jobs is under way each time, and the three take turns, so that whatever else the machine does meets all.
 */
import { Agent } from "node:http";
import { z } from "zod";
import { JobKind } from "../src/db/generated/client/enums.ts";
import { settle, withDatabase } from "./support/database.ts";
import { bar, machine, median, quantile, table } from "./support/figures.ts";
import { addQueuedJobs } from "./support/jobs.ts";
import { post } from "./support/load.ts";
import { startOurs } from "./support/servers.ts";

/** How many jobs are under way at a time. */
const UNDER_WAY = 16;
const ROUNDS = 7;
/** How long a round lasts, in milliseconds. */
const ROUND_MS = 3_000;
/** How many times as many jobs as with four requests. */
const AT_LEAST = 3;

/** All but terminal_exec, which the profile of the loaded jobs does not allow. */
const kinds = Object.values(JobKind).filter((kind) => kind !== "TERMINAL_EXEC");
const agent = new Agent({ keepAlive: true, maxSockets: UNDER_WAY });

const CLAIM = `mutation ($input: ClaimAiJobsInput!) { claimAiJobs(input: $input) { ... on ClaimAiJobsPayload {
  claims { leaseToken workflowRun { workflowRunId } job { jobInputs } } } } }`;
const ADVANCE = `mutation ($input: AdvanceWorkflowInput!) { advanceWorkflow(input: $input) {
  ... on AdvanceWorkflowPayload { directive } } }`;
const COMPLETE = `mutation ($input: CompleteWorkflowsInput!) { completeWorkflows(input: $input) {
  ... on CompleteWorkflowsPayload { results { __typename } } } }`;

const claimed = z
  .object({
    data: z.object({
      claimAiJobs: z.object({
        claims: z.array(z.object({ leaseToken: z.string(), workflowRun: z.object({ workflowRunId: z.string() }) })),
      }),
    }),
  })
  .transform(({ data }) =>
    data.claimAiJobs.claims.map(({ leaseToken, workflowRun }) => ({ ...workflowRun, leaseToken })),
  );

type Lease = z.infer<typeof claimed>[number];

const STEP = { nodeId: "summarise", nodeType: "llm_call" };
const INPUT_PAYLOAD = { prompt: "Summarise the quarterly report." };
const OUTPUT_PAYLOAD = { text: "It went well." };
const METRICS = { durationMs: 12, inputTokens: 900, outputTokens: 70 };

/** @param url the server's address. @returns what sends a request and gives the answer's text. */
const client = (url: string) => (query: string, input: object, answer: string) =>
  post(url, { query, variables: () => ({ input }), answer }, agent);

type Send = ReturnType<typeof client>;

async function claim(send: Send, worker: number, limit: number): Promise<readonly Lease[]> {
  const input = { workerId: `worker-${worker}`, limit, leaseSeconds: 60, jobKinds: kinds };
  const leases = claimed.parse(JSON.parse(await send(CLAIM, input, '"claims"')));
  if (leases.length === 0) throw new Error("No job waits.");
  return leases;
}

/** The step as it is reported once. */
const whole = () => ({
  ...STEP,
  outcome: "SUCCEEDED",
  startedAt: new Date().toISOString(),
  inputPayload: INPUT_PAYLOAD,
  outputPayload: OUTPUT_PAYLOAD,
});

function complete(send: Send, leases: readonly Lease[], more: () => object): Promise<string> {
  const completions = leases.map((lease) => ({ ...lease, jobOutputs: OUTPUT_PAYLOAD, ...more() }));
  return send(COMPLETE, { completions }, "CompletedWorkflow");
}

/** One way to work: how many jobs a worker has at a time, and what it sends for them. */
interface Way {
  readonly name: string;
  readonly atATime: number;
  readonly report: (send: Send, leases: readonly Lease[]) => Promise<unknown>;
}

const FOUR: Way = {
  name: "four requests a job",
  atATime: 1,
  report: async (send, leases) => {
    for (const lease of leases) {
      await send(ADVANCE, { ...lease, step: { ...STEP, outcome: "STARTED", inputPayload: INPUT_PAYLOAD } }, "CONTINUE");
      const end = { ...STEP, outcome: "SUCCEEDED", outputPayload: OUTPUT_PAYLOAD };
      await send(ADVANCE, { ...lease, step: end, metrics: METRICS }, "CONTINUE");
    }
    await complete(send, leases, () => ({}));
  },
};

const reportOnce: Way["report"] = (send, leases) =>
  complete(send, leases, () => ({ steps: [whole()], metrics: METRICS }));
const TWO: Way = { name: "two requests a job", atATime: 1, report: reportOnce };
const TOGETHER: Way = { name: "two requests for eight jobs", atATime: 8, report: reportOnce };
const WAYS = [FOUR, TWO, TOGETHER];

/** Has the workers of a way work for a round. @returns jobs a second. */
async function round(send: Send, { atATime, report }: Way): Promise<number> {
  const start = performance.now();
  let done = 0;
  const work = async (worker: number) => {
    while (performance.now() - start < ROUND_MS) {
      const leases = await claim(send, worker, atATime);
      await report(send, leases);
      done += leases.length;
    }
  };
  await Promise.all(Array.from({ length: UNDER_WAY / atATime }, (_, worker) => work(worker)));
  return (done / (performance.now() - start)) * 1_000;
}

console.log(`## Jobs with one durable step\n\n${machine()}\n`);
await withDatabase(async (url, sql) => {
  const server = await startOurs(url);
  const send = client(server.url);
  const rates = new Map(WAYS.map((way): [Way, number[]] => [way, []]));
  for (let turn = 0; turn <= ROUNDS; turn++) {
    // Enough for three rounds of a machine that is faster than any we have.
    await addQueuedJobs(sql, 30_000);
    await settle(sql);
    const inTurn = turn % 2 === 0 ? WAYS : WAYS.toReversed();
    for (const way of inTurn) {
      const rate = await round(send, way);
      // The first turn warms up.
      if (turn > 0) rates.get(way)?.push(rate);
    }
  }
  const of = (way: Way) => rates.get(way) ?? [];
  const ratio = (way: Way) => median(of(way).map((rate, at) => rate / (of(FOUR)[at] ?? Number.NaN)));
  const rows = WAYS.map((way) => [
    way.name,
    median(of(way)).toFixed(0),
    `${quantile(of(way), 0.05).toFixed(0)} to ${quantile(of(way), 0.95).toFixed(0)}`,
    ratio(way).toFixed(2),
  ]);
  console.log(table(["", "jobs/s", "5 % to 95 % of the rounds", "of four requests"], rows));
  console.log(`\n${bar("two requests for eight jobs : four a job", ratio(TOGETHER), { atLeast: AT_LEAST })}`);
  await server.stop();
});
agent.destroy();
