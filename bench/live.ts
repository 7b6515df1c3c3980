/**
 * How long does a change take from its commit to the subscribers of its job, next to Yoga's own in-memory pub/sub, which
 * keeps nothing? How many statements does an event cost, and how much memory a subscriber that waits?
 * Run with `npx tsx bench/live.ts`.
 *
 * Ours is told of a change by another server, so the time has PostgreSQL's NOTIFY in it, and the read of the log.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Crowd } from "./live/crowd.ts";
import { type Memory, oursOn, pubSub, type Side } from "./live/sides.ts";
import { statementsPerEvent } from "./live/statements.ts";
import { openWriter } from "./live/writer.ts";
import { settle, withDatabase } from "./support/database.ts";
import { bar, machine, median, quantile, table } from "./support/figures.ts";
import { addQueuedJobs } from "./support/jobs.ts";

const JOBS = 1_000;
const COUNTS = [1, 100, 1_000, 5_000];
const ROUNDS = 5;
/** The number of subscribers that the bars are about. */
const MANY = 1_000;
const MOST_TIMES = 2;

const FIELDS = `kind cursor version state previousState matchesFilter
  metrics { durationMs totalTokens inputTokens outputTokens } event { eventId type actorId recordedAt }`;
const WATCH = `subscription ($jobId: UUID!) { aiJobChanged(jobId: $jobId) { ${FIELDS} } }`;
/** The same, and what is loaded beyond the event. */
const WATCH_MORE = `subscription ($jobId: UUID!) { aiJobChanged(jobId: $jobId) { ${FIELDS}
  job { priority workflowRun { state nodes { nodeId } } } } }`;

/** A way to spread subscribers and changes over jobs. */
interface Question {
  readonly name: string;
  /** The job of each subscriber. */
  readonly watched: (jobIds: readonly string[], subscriber: number) => string;
  /** The jobs of one change. */
  readonly changed: (watched: readonly string[], event: number) => readonly string[];
  readonly counts: readonly number[];
}

const spread = (jobIds: readonly string[], subscriber: number) => jobIds[subscriber % JOBS] ?? "";
const QUESTIONS: readonly Question[] = [
  {
    name: "of one job",
    watched: ([first = ""]) => first,
    changed: (watched) => watched.slice(0, 1),
    counts: COUNTS,
  },
  {
    name: "of 1,000 jobs, one of which changes",
    watched: spread,
    // Not in the order in which they subscribed: nobody is always the first.
    changed: (watched, event) => [watched[(event * 377) % watched.length] ?? ""],
    counts: COUNTS,
  },
  {
    name: "of 1,000 jobs, all of which change at once",
    watched: spread,
    changed: (watched) => [...new Set(watched)],
    counts: [1_000, 5_000],
  },
];

interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** One round: an event of ours and one of the peer in turn, each when the last one has reached everybody. */
async function round(crowd: Crowd, sides: readonly Side[], question: Question, watched: readonly string[]) {
  const perSide = sides.map((): number[] => []);
  const deliveries = watched.length / new Set(watched).size;
  for (let event = 0; (perSide[0]?.length ?? 0) < 4_000 && event < 25; event += 1) {
    const changed = question.changed(watched, event);
    for (const [index, side] of sides.entries()) {
      // At no fixed distance from the last one; two of ours are further apart than two hints to other servers may be.
      await sleep(30 + Math.random() * 30);
      const times = await crowd.latencies(side.name, changed.length * deliveries, () => side.change(changed));
      perSide[index]?.push(...times);
    }
  }
  return perSide.map((times): Latency => ({ p50: quantile(times, 0.5), p99: quantile(times, 0.99) }));
}

/** @returns a row of cells, and how many times as long ours took. */
async function measure(crowd: Crowd, sides: readonly Side[], question: Question, watched: readonly string[]) {
  const rounds: Latency[][] = [];
  // The first one only warms up.
  for (let at = 0; at <= ROUNDS; at += 1) rounds.push(await round(crowd, sides, question, watched));
  rounds.shift();
  const middle = (side: number, of: keyof Latency) => median(rounds.map((each) => each[side]?.[of] ?? Number.NaN));
  const ratio = (of: keyof Latency) =>
    median(rounds.map(([ours, peer]) => (ours?.[of] ?? Number.NaN) / (peer?.[of] ?? Number.NaN)));
  const times = (side: number) => `${middle(side, "p50").toFixed(1)} · ${middle(side, "p99").toFixed(1)}`;
  const cells = [times(0), times(1), `${ratio("p50").toFixed(2)} · ${ratio("p99").toFixed(2)}`];
  return { cells, ratio: ratio("p99") };
}

/** What each of the subscribers that came in between costs. */
function perSubscriber(before: Memory, after: Memory, count: number): string[] {
  return (["held", "rss"] as const).map((of) => ((after[of] - before[of]) / count / 1024).toFixed(1));
}

console.log(`## From a commit to its subscribers, next to Yoga's pub/sub\n\n${machine()}\n`);
await withDatabase(async (url, sql) => {
  // Migrated before there are jobs.
  await (await openWriter(url, 0)).close();
  await addQueuedJobs(sql, 2 * JOBS);
  const writer = await openWriter(url, JOBS);
  await settle(sql);
  const crowd = new Crowd();
  const sides: Side[] = [];
  try {
    sides.push(await oursOn(url, writer), await pubSub());
    const head = ["subscribers", "ours, p50 · p99 ms", "pub/sub", "times as long, p50 · p99"];
    console.log(table(head, []));
    const bars: string[] = [];
    const memory: Memory[][] = [];
    for (const question of QUESTIONS) {
      let watched: string[] = [];
      for (const count of question.counts) {
        const all = Array.from({ length: count }, (_, at) => question.watched(writer.jobIds, at));
        for (const side of sides) await crowd.open(side.name, side.url, WATCH, all.slice(watched.length));
        watched = all;
        if (question === QUESTIONS[0] && (count === 100 || count === 5_000)) {
          // Their snapshots have gone by then.
          await sleep(1_000);
          memory.push(await Promise.all(sides.map((side) => side.memory())));
        }
        const { cells, ratio } = await measure(crowd, sides, question, watched);
        console.log(`| ${count} ${question.name} | ${cells.join(" | ")} |`);
        if (count === MANY)
          bars.push(bar(`p99, ${count} ${question.name}, times as long`, ratio, { atMost: MOST_TIMES }));
      }
      for (const side of sides) await crowd.close(side.name);
      await sleep(1_000);
    }
    console.log(`\n${bars.join("\n")}\n`);

    const [few, many] = memory;
    const cells = sides.map(({ name }, side) => {
      const [before, after] = [few?.[side], many?.[side]];
      return [name, ...(before && after ? perSubscriber(before, after, 4_900) : [])];
    });
    console.log(`${table(["an idle subscriber, KB", "held", "resident"], cells)}\n`);
  } finally {
    await crowd.stop();
    for (const side of sides) await side.stop();
  }

  const counts = [1, MANY];
  const statements = await statementsPerEvent(url, writer, WATCH_MORE, counts);
  const row = ["statements", ...statements.map((each) => each.toFixed(2))];
  console.log(`${table(["an event, subscribers", ...counts.map(String)], [row])}\n`);
  const [one = Number.NaN, many = Number.NaN] = statements;
  console.log(bar("statements of an event, 1,000 subscribers : 1", many / one, { atMost: 1.1 }));
  await writer.close();
});
