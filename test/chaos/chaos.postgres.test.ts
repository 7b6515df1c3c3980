import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { guards } from "../../src/security/guards/guards.ts";
import { anotherClient } from "../support/interrupt.ts";
import { expectSound, recordsOfAll } from "../support/records.ts";
import { aggregateAll, expectExact } from "../support/totals.ts";
import { type ChaosResult, runChaos } from "./chaos.ts";
import { CHECKS } from "./checks.ts";
import type { ProcessHistory } from "./fleet.ts";
import { auditOwnClock } from "./own-clock.ts";
import { type Scale, SERVERS } from "./plan.ts";
import { sortsOfFleet, type WorkerSort } from "./sorts.ts";

/**
 * Eight workers and two servers run on one database: half of the workers have the kit for TypeScript, a quarter the one for Python. Meanwhile
 * processes are killed or stand still, workers are cut off, and connections are cut at random: for a minute if TEST_LONG is 1, otherwise
 * for 6 seconds. Jobs are given back, ask a person, and wait for children. When all jobs have ended, the whole database is checked.
 */

const isLong = process.env.TEST_LONG === "1";
const scale: Scale = isLong ? { jobs: 1500, milliseconds: 60_000 } : { jobs: 150, milliseconds: 6_000 };
/** CHAOS_SEED repeats the plan of faults and jobs. What each process is doing when a fault comes still differs. */
const seed = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 1e9));
/** The time limit in milliseconds: a busy machine needs many times as long as an idle one. */
const LONG = { timeout: isLong ? 3_600_000 : 600_000 };

const WORKERS = sortsOfFleet(true).length;
const workerIds = Array.from({ length: WORKERS }, (_, index) => `worker-${index}`);

let after: ChaosResult;
let prisma: PrismaClient;
beforeAll(async () => {
  process.stdout.write(`CHAOS_SEED=${seed}${isLong ? " TEST_LONG=1" : ""}\n`);
  after = await runChaos(seed, scale);
  prisma = anotherClient(after.url, 2);
  process.stdout.write(`${JSON.stringify((await rows(SUMMARY))[0])}\n`);
  for (const [sort, runs] of await runsBySort()) process.stdout.write(`${sort}: ${JSON.stringify(runs)}\n`);
}, LONG.timeout);
afterAll(async () => {
  if (process.env.CHAOS_DUMP)
    (await import("node:fs")).writeFileSync(
      process.env.CHAOS_DUMP,
      JSON.stringify({ servers: after?.servers, workers: after?.workers }, null, 1),
    );
  await prisma?.$disconnect();
  await after?.close();
});

async function rows(sql: string, ...values: readonly unknown[]): Promise<Record<string, unknown>[]> {
  return (await after.admin.query<Record<string, unknown>>(sql, [...values])).rows;
}

interface Runs {
  /** How many runs workers of one sort had. */
  readonly claimed: number;
  /** Of which the database has that they were completed. */
  readonly completed: number;
  readonly recovered: number;
  /** How many runs their workers stopped by their own clocks. */
  readonly stopped: number;
}

/** What workers of each sort did. */
async function runsBySort(): Promise<ReadonlyMap<WorkerSort, Runs>> {
  const bySort = new Map<WorkerSort, Runs>();
  for (const sort of new Set(after.sorts.values())) {
    const ids = [...after.sorts].flatMap(([id, each]) => (each === sort ? [id] : []));
    const [counted] = await rows(
      `SELECT count(*)::int AS claimed, count(*) FILTER (WHERE state IN ('completed', 'completed_with_issues'))::int AS completed,
         count(*) FILTER (WHERE state = 'stalled')::int AS recovered
       FROM workflow_runs WHERE worker_id = ANY($1)`,
      ids,
    );
    const stopped = ids.flatMap((id) => after.journals.get(id) ?? []).filter(({ type }) => type === "stopped").length;
    bySort.set(sort, { ...runsSchema.parse(counted), stopped });
  }
  return bySort;
}

const countOf = (rows: string) => `(SELECT count(*)::int FROM ${rows})`;

/** How much happened that the server could have handled wrongly. */
const SUMMARY = `
  SELECT (SELECT count(*)::int FROM workflow_runs) AS runs,
    (SELECT count(*)::int FROM flight_recorder_events WHERE type = 'workflow_recovery') AS recovered,
    (SELECT count(*)::int FROM worker_reports) AS reports,
    (SELECT count(*)::int FROM worker_reports JOIN chaos.sent USING (report_id, is_usage) WHERE times > 1) AS repeated,
    (SELECT count(*)::int FROM worker_reports WHERE is_usage) AS "lateUsage",
    (SELECT count(*)::int FROM chaos.answers WHERE code = 'LEASE_LOST') AS late,
    (SELECT count(*)::int FROM ai_jobs WHERE state = 'poisoned') AS poisoned,
    (SELECT count(*)::int FROM ai_jobs WHERE state IN ('completed', 'completed_with_issues')) AS completed,
    ${countOf("flight_recorder_events WHERE payload->>'reason' = 'released' AND payload->>'waits_for' IS NULL AND payload->>'run_after' IS NULL")} AS "givenBack",
    ${countOf("flight_recorder_events WHERE payload->>'reason' = 'released' AND payload->>'run_after' IS NOT NULL")} AS postponed,
    ${countOf("flight_recorder_events WHERE payload->>'waits_for' = 'children'")} AS "waited",
    ${countOf("flight_recorder_events WHERE payload->>'reason' = 'children_ended'")} AS woken,
    ${countOf("user_input_requests JOIN workflow_runs r ON r.id = workflow_run_id WHERE end_reason = 'answered'")} AS answered,
    ${countOf("user_input_requests JOIN workflow_runs r ON r.id = workflow_run_id WHERE end_reason = 'user_input_timeout'")} AS unanswered,
    ${countOf("user_input_requests JOIN workflow_runs r ON r.id = workflow_run_id WHERE end_reason = 'cancelled'")} AS "cancelledQuestions",
    ${countOf("(SELECT key FROM chaos.effects GROUP BY key HAVING count(*) > 1) AS repeated")} AS "effectsRepeated",
    ${countOf("chaos.claims WHERE brought->'completedNodes' <> '[]'")} AS "wentOn",
    (SELECT extract(epoch FROM max(updated_at) - min(created_at))::int FROM ai_jobs) AS seconds`;

const isAboutCutConnection =
  /terminating connection|connection terminated|connection broke|ended this connection|not queryable|closed the connection|ECONNRESET|EPIPE/i;
/** Time limits that pass where a dozen processes share a slow machine's processors. */
const isAboutSlowness = /does not answer|timeout exceeded when trying to connect|start a transaction in the given time/;

const runsSchema = z.object({ claimed: z.number(), completed: z.number(), recovered: z.number() });

const logLine = z.object({
  level: z.number(),
  msg: z.string(),
  reason: z.string().optional(),
  err: z.object({ message: z.string(), stack: z.string().optional() }).optional(),
});

/**
 * The warnings and errors of a server's log that the faults do not explain: all but recovered runs and cut connections, and on a slow
 * machine the time limits that it does not keep.
 */
function unexplained({ logged }: ProcessHistory): readonly z.infer<typeof logLine>[] {
  const worrying = logged.map((line) => logLine.parse(JSON.parse(line))).filter(({ level }) => level >= 40);
  return worrying.filter(
    ({ msg, reason, err }) =>
      msg !== "runs whose lease ran out were recovered" &&
      !reason?.endsWith("has ended this connection.") &&
      !(err && isAboutCutConnection.test(err.message)) &&
      !(err && after.isSlow && isAboutSlowness.test(err.message)),
  );
}

describe(`after ${scale.milliseconds / 1000} seconds of chaos by seed ${seed}`, LONG, () => {
  test.each(CHECKS)("$name", async ({ refutation }) => {
    const values = refutation.includes("$1") ? [guards.map(({ name }) => name)] : [];
    expect(await rows(refutation, ...values)).toEqual([]);
  });

  test("every job and every child was submitted once, however often it was sent", async () => {
    const [counts] = await rows(`
      SELECT count(*)::int - count(DISTINCT idempotency_key)::int AS again,
        count(*) FILTER (WHERE parent_job_id IS NULL)::int AS jobs FROM ai_jobs`);
    expect(counts).toEqual({ again: 0, jobs: scale.jobs });
  });

  test.each(workerIds)("by its own clock, %s did nothing in a run that may have been over", (workerId) => {
    expect(auditOwnClock(after.journals.get(workerId) ?? []).overstepped).toEqual([]);
  });

  test("the totals and the tokens of quotas equal a recount", async () => {
    await aggregateAll(prisma);
    await expectExact(prisma);
    const [tokens] = await rows(`
      SELECT (SELECT sum(tokens)::int FROM usage_minutes) AS counted, (SELECT sum(total_tokens)::int FROM ai_jobs) + (
        SELECT coalesce(sum(input_tokens + cached_input_tokens + output_tokens + reasoning_tokens), 0)::int
        FROM usage_entries WHERE version IS NULL) AS used`);
    expect(tokens?.counted).toBe(tokens?.used);
  });

  test("every event's hash is that of its stored fields, each names the previous hash, and the job has the last one", async () => {
    const jobs = await prisma.aiJob.findMany({ select: { jobId: true } });
    const records = await recordsOfAll(
      prisma,
      jobs.map(({ jobId }) => jobId),
    );
    expect(records.size).toBeGreaterThanOrEqual(scale.jobs);
    for (const job of records.values()) expectSound(job);
  });

  test("no process ended by itself once it was up, and the last servers stopped cleanly", () => {
    const histories = [...after.servers, ...after.workers];
    expect(histories.filter(({ wasReady, wasEnded }) => wasReady && !wasEnded)).toEqual([]);
    expect(after.servers.filter(({ exit }) => exit.code === 0)).toHaveLength(SERVERS);
  });

  test("a server that did not come up says in a sentence that its connection was cut", () => {
    const unforeseen = after.servers.filter(({ wasReady, wasEnded }) => !wasReady && !wasEnded);
    for (const { exit } of unforeseen) {
      expect(exit.stderr).toMatch(/^(PostgreSQL (answered|does not answer)|Runs whose lease has passed)/);
      expect(exit.stderr).toMatch(isAboutCutConnection);
    }
  });

  test("the servers' logs warn of recovered runs and of cut connections, and of nothing else", () => {
    expect(after.servers.flatMap(unexplained)).toEqual([]);
  });

  test("no worker got an answer that the documentation does not mention", () => {
    expect([...after.journals.values()].flat().filter(({ type }) => type === "unexpected")).toEqual([]);
  });

  test("it was chaos: processes died, connections were cut, leases were lost, reports were sent again", async () => {
    const killed = (histories: readonly ProcessHistory[]) =>
      histories.filter(({ exit }) => exit.signal === "SIGKILL").length;
    expect(killed(after.servers)).toBeGreaterThanOrEqual(SERVERS);
    expect(killed(after.workers)).toBeGreaterThan(WORKERS);
    expect(after.connectionsCut).toBeGreaterThan(10);
    await expectAtLeast({ recovered: 5, repeated: 5, late: 1, poisoned: 1, completed: scale.jobs / 2 });
  });

  test("jobs were given back and went on, asked people, and waited for children; usage came late", async () => {
    await expectAtLeast({ givenBack: 1, postponed: 1, waited: 1, woken: 1, wentOn: 1, lateUsage: 1 });
    await expectAtLeast({ answered: 1, unanswered: 1, cancelledQuestions: 1 });
  });

  test("half of the workers had the kit for TypeScript, some the one for Python, and all sorts of them completed jobs", async () => {
    const bySort = await runsBySort();
    const isWithoutPython = !bySort.has("python") && process.env.CI === undefined;
    expect([...after.sorts.values()]).toEqual(sortsOfFleet(!isWithoutPython));
    const min = scale.jobs / 20;
    for (const [sort, { completed }] of bySort) expect.soft(completed, sort).toBeGreaterThanOrEqual(min);
    // Of most of them the kits heard, too.
    const withKit = [...bySort].filter(([sort]) => sort !== "hand-made");
    for (const [sort, { completed }] of withKit)
      expect.soft(saidCompleted(sort), sort).toBeGreaterThanOrEqual(completed / 2);
  });

  test.each(["CUT_OFF_WORKER", "BLOCK_WORKER"] as const)("%s: workers stopped by their own clocks", (kind) => {
    const absences = after.away.filter((each) => each.kind === kind);
    expect(absences).not.toEqual([]);
    expect(absences.filter(({ stopped }) => stopped > 0)).not.toEqual([]);
  });

  test("workers of every sort stopped by their own clocks", () => {
    const stopped = new Set(after.away.flatMap((each) => (each.stopped > 0 ? [each.sort] : [])));
    expect(stopped).toEqual(new Set(after.sorts.values()));
  });

  test("what was begun again asked the system outside again, which did it once", async () => {
    await expectAtLeast({ effectsRepeated: 1 });
  });
});

/** How many runs the kits of one sort said that they completed. */
function saidCompleted(sort: WorkerSort): number {
  const entries = [...after.journals].flatMap(([id, journal]) => (after.sorts.get(id) === sort ? journal : []));
  return entries.filter((entry) => entry.type === "ended" && entry.ending === "completed").length;
}

/** Expects that so much happened, of what SUMMARY counts. */
async function expectAtLeast(min: Readonly<Record<string, number>>): Promise<void> {
  const [counted] = await rows(SUMMARY);
  for (const [what, count] of Object.entries(min)) expect.soft(counted?.[what], what).toBeGreaterThanOrEqual(count);
}
