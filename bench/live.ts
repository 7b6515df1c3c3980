/**
 * How long does a change take from its commit to the subscribers of its job, compared with Yoga's in-memory pub/sub,
 * which stores nothing? How many statements does an event cost, and how much memory does a waiting subscriber need? Run
 * with `npx tsx bench/live.ts`.
 *
 * The change is requested over HTTP from the server itself, or committed by another server of the same database. It is
 * timed from the answer to COMMIT, in the process that sent it, until a subscriber has received the whole event; for
 * pub/sub, from the call of `publish`. The next event is made when the last one has reached all subscribers.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Memory, ours, pubSub, type Side } from "./live/sides.ts";
import { statementsPerEvent } from "./live/statements.ts";
import { SubscriberProcess } from "./live/subscriber-process.ts";
import { openWriter, type Writer } from "./live/writer.ts";
import { settle, withDatabase } from "./support/database.ts";
import { bar, machine, median, quantile, table } from "./support/figures.ts";
import { addQueuedJobs } from "./support/jobs.ts";

const JOBS = 1_000;
const COUNTS = [1, 100, 1_000, 5_000];
/** The numbers of subscribers at which memory is measured. */
const MEMORY_AT = [100, 5_000];
const ROUNDS = 5;
/** The number of deliveries in a round: enough for a p99. */
const FEWEST = 100;
/** The number of subscribers at which the limits are checked. */
const MANY = 1_000;
const MAX_TIMES = 2;
/** The tolerance for statements: polls of an idle log depend on the clock, so their number varies a little. */
const MAX_STATEMENTS = 1.1;

const FIELDS = `kind cursor version state previousState matchesFilter
  metrics { durationMs totalTokens inputTokens outputTokens } event { eventId type actorId recordedAt }`;
const WATCH = `subscription ($jobId: UUID!) { aiJobChanged(jobId: $jobId) { ${FIELDS} } }`;
/** The same selection, and fields that are read besides the event. */
const WATCH_MORE = `subscription ($jobId: UUID!) { aiJobChanged(jobId: $jobId) { ${FIELDS}
  job { priority workflowRun { state steps { nodeId } } } } }`;

/** How subscribers and changes are distributed over jobs. */
interface Question {
  readonly name: string;
  /** The job of each subscriber. */
  readonly watched: (jobIds: readonly string[], subscriber: number) => string;
  /** The jobs that one change is about. */
  readonly changed: (watched: readonly string[], event: number) => readonly string[];
  readonly counts: readonly number[];
}

const spread = (jobIds: readonly string[], subscriber: number) => jobIds[subscriber % JOBS] ?? "";
/** Shuffled, so that no subscriber is always the first. */
const some = (watched: readonly string[], event: number, count: number) =>
  Array.from(
    { length: Math.min(count, watched.length) },
    (_, at) => watched[(event * 377 + at) % watched.length] ?? "",
  );
const QUESTIONS: readonly Question[] = [
  {
    name: "of one job",
    watched: ([first = ""]) => first,
    changed: ([first = ""]) => [first],
    counts: COUNTS,
  },
  {
    name: "of 1,000 jobs, one of which changes",
    watched: spread,
    changed: (watched, event) => some(watched, event, 1),
    counts: COUNTS,
  },
  {
    // As many as one call can change.
    name: "of 1,000 jobs, 100 of which change at once",
    watched: spread,
    changed: (watched, event) => some(watched, event, 100),
    counts: COUNTS.slice(1),
  },
];

interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** One round: an event on each side in turn, each after the last one has reached all subscribers. */
async function round(
  subscriberProcess: SubscriberProcess,
  sides: readonly Side[],
  question: Question,
  jobIds: readonly string[],
) {
  const perSide = sides.map((): number[] => []);
  const watched = [...new Set(jobIds)];
  const subscribers = jobIds.length / watched.length;
  const resumeStates = () => perSide[0]?.length ?? 0;
  for (let event = 0; resumeStates() < FEWEST || (resumeStates() < 4_000 && event < 15); event += 1) {
    const changed = question.changed(watched, event);
    for (const [index, side] of sides.entries()) {
      // At random intervals; those of the other server are longer than the minimum interval between its notify hints.
      await sleep(20 + Math.random() * 20);
      const { url } = side.server;
      perSide[index]?.push(
        ...(await subscriberProcess.latencies(url, changed.length * subscribers, () => side.change(changed))),
      );
    }
  }
  return perSide.map((times): Latency => ({ p50: quantile(times, 0.5), p99: quantile(times, 0.99) }));
}

/** @returns the cells of a row, and for each of ours the ratio of its time to that of pub/sub. */
async function measure(
  subscriberProcess: SubscriberProcess,
  sides: readonly Side[],
  question: Question,
  jobIds: readonly string[],
) {
  const rounds: Latency[][] = [];
  // The first round is a warm-up.
  for (let at = 0; at <= ROUNDS; at += 1) rounds.push(await round(subscriberProcess, sides, question, jobIds));
  rounds.shift();
  const middle = (figure: (of: readonly Latency[]) => number) => median(rounds.map(figure));
  const times = sides.map((_, at) => ({
    p50: middle((of) => of[at]?.p50 ?? Number.NaN),
    p99: middle((of) => of[at]?.p99 ?? Number.NaN),
  }));
  const ratios = sides.slice(0, -1).map((_, at) => middle((of) => (of[at]?.p99 ?? Number.NaN) / (of.at(-1)?.p99 ?? 0)));
  const cells = times.map(({ p50, p99 }) => `${p50.toFixed(1)} · ${p99.toFixed(1)}`);
  return { cells: [...cells, ...ratios.map((ratio) => ratio.toFixed(2))], ratios };
}

/** The memory of each subscriber that was added between two measurements. */
function perSubscriber(before: Memory | undefined, after: Memory | undefined): string[] {
  const [few = 0, many = 0] = MEMORY_AT;
  return (["held", "rss"] as const).map((of) =>
    (((after?.[of] ?? Number.NaN) - (before?.[of] ?? Number.NaN)) / (many - few) / 1024).toFixed(1),
  );
}

/** Prints the times of changes with their limits, and the memory of a subscriber. */
async function showLatencies(databaseUrl: string, writer: Writer): Promise<void> {
  const subscriberProcess = new SubscriberProcess();
  const started: Side[] = [];
  try {
    const [own, byAnother] = await ours(databaseUrl, writer);
    started.push(own);
    const peer = await pubSub();
    started.push(peer);
    const sides = [own, byAnother, peer];
    const head = sides.map(({ name }) => name).concat(["p99, ours : pub/sub", "by another server"]);
    console.log(table(["subscribers, p50 · p99 ms", ...head], []));
    const bars: string[] = [];
    const memory: Memory[][] = [];
    for (const question of QUESTIONS) {
      let jobIds: string[] = [];
      for (const count of question.counts) {
        const all = Array.from({ length: count }, (_, at) => question.watched(writer.jobIds, at));
        const added = all.slice(jobIds.length).map((jobId) => ({ jobId }));
        for (const { server } of started) await subscriberProcess.open(server.url, WATCH, added);
        jobIds = all;
        if (question === QUESTIONS[0] && MEMORY_AT.includes(count)) {
          // By then their snapshots have been sent and freed.
          await sleep(1_000);
          memory.push(await Promise.all(started.map(({ server }) => server.memory())));
        }
        const { cells, ratios } = await measure(subscriberProcess, sides, question, jobIds);
        console.log(`| ${count} ${question.name} | ${cells.join(" | ")} |`);
        const [ratio = Number.NaN] = ratios;
        if (count === MANY) bars.push(bar(`p99 of ${count} ${question.name}`, ratio, { atMost: MAX_TIMES }));
      }
      for (const { server } of started) await subscriberProcess.close(server.url);
      await sleep(1_000);
    }
    console.log(`\n${bars.join("\n")}\n`);
    const [few = [], many = []] = memory;
    const rows = started.map(({ name }, at) => [name, ...perSubscriber(few[at], many[at])]);
    console.log(`${table(["KB of an idle subscriber", "held", "resident"], rows)}\n`);
  } finally {
    await subscriberProcess.stop();
    for (const { server } of started) await server.stop();
  }
}

/** Prints the statements that an event costs, with their limits. */
async function showStatements(databaseUrl: string, writer: Writer): Promise<void> {
  const counts = [1, MANY];
  const statements = await statementsPerEvent(databaseUrl, writer, WATCH_MORE, counts);
  const row = ["statements", ...statements.map((each) => each.toFixed(2))];
  console.log(`${table(["an event, subscribers", ...counts.map(String)], [row])}\n`);
  const [one = Number.NaN, many = Number.NaN] = statements;
  console.log(bar(`statements of an event, ${MANY} subscribers : 1`, many / one, { atMost: MAX_STATEMENTS }));
}

console.log(`## From a commit to its subscribers, next to Yoga's pub/sub\n\n${machine()}\n`);
await withDatabase(async (url, sql) => {
  // The migrations run before jobs are loaded.
  await (await openWriter(url, 0)).close();
  await addQueuedJobs(sql, 2 * JOBS);
  const writer = await openWriter(url, JOBS);
  try {
    await settle(sql);
    await showLatencies(url, writer);
    await showStatements(url, writer);
  } finally {
    await writer.close();
  }
});
