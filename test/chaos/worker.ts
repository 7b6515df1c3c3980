import { setTimeout as sleep } from "node:timers/promises";
import { CLAIM, claimed } from "./claim.ts";
import { Client, codeOf, NoAnswerError, UnexpectedAnswerError } from "./client.ts";
import { Journal } from "./journal.ts";
import { Lease, Stopped } from "./lease.ts";
import { thisMoment } from "./moment.ts";
import { Outside } from "./outside.ts";
import { randomInt, seededRandom } from "./plan.ts";
import { leftToSay, readJournal } from "./read-journal.ts";
import { Reporter } from "./reporter.ts";
import { Run } from "./run.ts";
import { workerSettings as settings } from "./worker-settings.ts";

/**
 * A worker without a kit, which also tries orders of requests that no kit makes, in a process of its own, which can be killed at any
 * moment. It knows the servers' addresses and their API. When it is restarted, it sends the reports again that were not answered, and
 * the usage that was refused with others. It claims new jobs; its earlier runs are recovered when their leases expire.
 */

/** The largest number of runs at the same time. */
const CAPACITY = 6;

const random = seededRandom(settings.WORKER_SEED);
const servers = settings.SERVERS.split(" ");
const first = randomInt(random, 0, servers.length - 1);
const leaseSeconds = settings.LEASE_SECONDS;
const answerMs = leaseSeconds * 800;
const client = new Client(servers, first, answerMs);
const otherClient = new Client(servers, (first + 1) % servers.length, answerMs);
const { unanswered, refused } = leftToSay(readJournal(settings.WORKER_JOURNAL));
const journal = new Journal(settings.WORKER_JOURNAL);
const reporter = new Reporter([client, otherClient], journal, random);
const outside = new Outside(settings.OUTSIDE);
const runs = new Set<Run>();

/** Ignores that no server answered, or that a lease was over; records an unexpected answer, for which the test fails. */
function handleError(error: unknown): void {
  if (error instanceof NoAnswerError || error instanceof Stopped) return;
  if (!(error instanceof UnexpectedAnswerError)) throw error;
  journal.write({ type: "unexpected", message: error.message });
}

async function claim(): Promise<void> {
  const limit = randomInt(random, 1, CAPACITY - runs.size);
  const input = {
    workerId: settings.WORKER_ID,
    limit,
    leaseSeconds,
    waitSeconds: randomInt(random, 0, 2),
  };
  let sentAt = thisMoment();
  const answer = await client.ask(CLAIM, input, () => {
    sentAt = thisMoment();
  });
  if (codeOf(answer) !== null) throw new UnexpectedAnswerError(JSON.stringify(answer));
  for (const delivered of claimed.parse(answer).claims) {
    const { leaseExpiresAt, completedNodes, userAnswers, children } = delivered;
    const [{ workflowRunId }, { jobId }] = [delivered.workflowRun, delivered.job];
    const brought = { completedNodes, userAnswers, children };
    journal.write({ type: "claimed", workflowRunId, jobId, leaseExpiresAt, leaseSeconds, sentAt, ...brought });
    const lease = new Lease(workflowRunId, { sentAt, leaseSeconds }, reporter, journal);
    const run = new Run(delivered, { lease, client, journal, outside, random });
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
  const heartbeats = awake.map((run) => run.heartbeat());
  const results = await reporter.report("heartbeat", heartbeats, () => {
    for (const { lease } of awake) lease.checkClock();
  });
  for (const [index, { lease }] of awake.entries()) {
    const result = results[index];
    if (result) lease.renew(result);
  }
}

// The process that started this worker has ended, so nothing else would end this one.
process.stdin.resume().once("end", () => process.exit());

await Promise.all([
  ...unanswered.map((report) => reporter.settle(report).catch(handleError)),
  ...refused.map(({ input }) => reporter.saveUsage(input).catch(handleError)),
  sendHeartbeats(),
  claimJobs(),
]);
