import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { Client, codeOf, Surprise, Unheard } from "./client.ts";
import { Journal, readJournal, unheardOf } from "./journal.ts";
import { randomInt, seededRandom } from "./plan.ts";
import { Reporter } from "./reporter.ts";
import { LEASE_SECONDS, Run } from "./run.ts";

/**
 * A worker in a process of its own, which may be killed at any moment. It knows the servers' addresses and their API.
 * Started again it sends once more what it had no answer to, and then goes on with other jobs; runs that it had before
 * are left to their leases.
 */

const settings = z
  .object({
    WORKER_ID: z.string(),
    WORKER_JOURNAL: z.string(),
    WORKER_SEED: z.coerce.number(),
    SERVERS: z.string().transform((text) => text.split(" ")),
  })
  .parse(process.env);

/** Runs at the same time. */
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
const lastWords = unheardOf(readJournal(settings.WORKER_JOURNAL));
const journal = new Journal(settings.WORKER_JOURNAL);
const desk = new Reporter([client, otherClient], journal, random);
const runs = new Set<Run>();

/** Unheard, things are as they are; a surprise is the test's business. */
function note(error: unknown): void {
  if (error instanceof Unheard) return;
  if (!(error instanceof Surprise)) throw error;
  journal.write({ type: "wonders", about: error.message });
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
  if (codeOf(answer) !== null) throw new Surprise(JSON.stringify(answer));
  for (const given of claimed.parse(answer).claims) {
    const { leaseExpiresAt, workflowRun, job } = given;
    const { workflowRunId } = workflowRun;
    journal.write({ type: "claimed", workflowRunId, jobId: job.jobId, leaseExpiresAt });
    const run = new Run(given, desk, random);
    runs.add(run);
    void run
      .work()
      .catch(note)
      .finally(() => runs.delete(run));
  }
}

async function takeJobs(): Promise<never> {
  for (;;) {
    if (runs.size < CAPACITY) await claim().catch(note);
    else await sleep(20);
  }
}

async function sendHeartbeats(): Promise<never> {
  for (;;) {
    await sleep(randomInt(random, 300, 1200));
    const awake = [...runs].filter(({ isAwake }) => isAwake);
    if (awake.length > 0) void beat(awake).catch(note);
  }
}

async function beat(awake: readonly Run[]): Promise<void> {
  const verdicts = await desk.report(
    "heartbeat",
    awake.map((run) => run.heartbeat()),
  );
  for (const [index, run] of awake.entries()) {
    const verdict = verdicts[index];
    if (verdict) run.hear(verdict);
  }
}

// Whoever started this process has gone: nobody would end it any more.
process.stdin.resume().once("end", () => process.exit());

await Promise.all([
  ...lastWords.map(({ kind, input }) => desk.repeat(kind, [input]).catch(note)),
  sendHeartbeats(),
  takeJobs(),
]);
