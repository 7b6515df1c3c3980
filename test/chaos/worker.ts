import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { Client, codeOf, NoAnswerError, UnexpectedAnswerError } from "./client.ts";
import { Journal, readJournal, unansweredReports } from "./journal.ts";
import { randomInt, seededRandom } from "./plan.ts";
import { Reporter } from "./reporter.ts";
import { LEASE_SECONDS, Run } from "./run.ts";

/**
 * A worker in a process of its own, which can be killed at any moment. It knows the servers' addresses and their API.
 * When it is restarted, it first sends the reports again that were not answered. Then it claims new jobs; its earlier
 * runs are recovered when their leases expire.
 */

const settings = z
  .object({
    WORKER_ID: z.string(),
    WORKER_JOURNAL: z.string(),
    WORKER_SEED: z.coerce.number(),
    SERVERS: z.string().transform((text) => text.split(" ")),
  })
  .parse(process.env);

/** The largest number of runs at the same time. */
const CAPACITY = 6;

const CLAIM = `mutation ($input: ClaimAiJobsInput!) { answer: claimAiJobs(input: $input) {
  __typename
  ... on ClaimAiJobsPayload { claims {
    leaseToken leaseExpiresAt workflowRun { workflowRunId attempt } job { jobId accessMode } } }
  ... on Error { code message } } }`;

const claimed = z.object({
  claims: z.array(
    z.object({
      leaseToken: z.string(),
      leaseExpiresAt: z.string(),
      workflowRun: z.object({ workflowRunId: z.string(), attempt: z.number() }),
      job: z.object({ jobId: z.string(), accessMode: z.string() }),
    }),
  ),
});

const random = seededRandom(settings.WORKER_SEED);
const first = randomInt(random, 0, settings.SERVERS.length - 1);
const client = new Client(settings.SERVERS, first);
const otherClient = new Client(settings.SERVERS, (first + 1) % settings.SERVERS.length);
const unanswered = unansweredReports(readJournal(settings.WORKER_JOURNAL));
const journal = new Journal(settings.WORKER_JOURNAL);
const reporter = new Reporter([client, otherClient], journal, random);
const runs = new Set<Run>();

/** Ignores that no server answered; records an unexpected answer, for which the test fails. */
function handleError(error: unknown): void {
  if (error instanceof NoAnswerError) return;
  if (!(error instanceof UnexpectedAnswerError)) throw error;
  journal.write({ type: "unexpected", message: error.message });
}

async function claim(): Promise<void> {
  const limit = randomInt(random, 1, CAPACITY - runs.size);
  const input = {
    workerId: settings.WORKER_ID,
    limit,
    leaseSeconds: LEASE_SECONDS,
    waitSeconds: randomInt(random, 0, 2),
  };
  const answer = await client.ask(CLAIM, input);
  if (codeOf(answer) !== null) throw new UnexpectedAnswerError(JSON.stringify(answer));
  for (const delivered of claimed.parse(answer).claims) {
    const { leaseExpiresAt, workflowRun, job } = delivered;
    const { workflowRunId } = workflowRun;
    journal.write({ type: "claimed", workflowRunId, jobId: job.jobId, leaseExpiresAt });
    const run = new Run(delivered, reporter, random);
    runs.add(run);
    void run
      .work()
      .catch(handleError)
      .finally(() => runs.delete(run));
  }
}

async function claimJobs(): Promise<never> {
  for (;;) {
    if (runs.size < CAPACITY) await claim().catch(handleError);
    else await sleep(20);
  }
}

async function sendHeartbeats(): Promise<never> {
  for (;;) {
    await sleep(randomInt(random, 300, 1200));
    const awake = [...runs].filter(({ isAwake }) => isAwake);
    if (awake.length > 0) void sendHeartbeat(awake).catch(handleError);
  }
}

async function sendHeartbeat(awake: readonly Run[]): Promise<void> {
  const results = await reporter.report(
    "heartbeat",
    awake.map((run) => run.heartbeat()),
  );
  for (const [index, run] of awake.entries()) {
    const result = results[index];
    if (result) run.applyResult(result);
  }
}

// The process that started this worker has ended, so nothing else would end this one.
process.stdin.resume().once("end", () => process.exit());

await Promise.all([
  ...unanswered.map(({ kind, input }) => reporter.repeat(kind, [input]).catch(handleError)),
  sendHeartbeats(),
  claimJobs(),
]);
