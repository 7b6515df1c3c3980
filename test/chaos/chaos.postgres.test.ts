import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { guards } from "../../src/security/guards/guards.ts";
import { anotherClient } from "../support/interrupt.ts";
import { expectSound, recordsOfAll } from "../support/records.ts";
import { type ChaosResult, runChaos } from "./chaos.ts";
import { CHECKS } from "./checks.ts";
import type { ProcessHistory } from "./fleet.ts";
import { type Scale, SERVERS, WORKERS } from "./plan.ts";

/**
 * Eight workers and two servers run on one database, while processes are killed and connections are cut at random: for
 * a minute if TEST_LONG is 1, otherwise for 6 seconds. When all jobs have ended, the whole database is checked.
 */

const isLong = process.env.TEST_LONG === "1";
const scale: Scale = isLong ? { jobs: 2000, milliseconds: 60_000 } : { jobs: 200, milliseconds: 6_000 };
/** CHAOS_SEED repeats the plan of faults and jobs. What each process is doing when a fault comes still differs. */
const seed = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 1e9));
/** The time limit in milliseconds: a busy machine needs many times as long as an idle one. */
const LONG = { timeout: isLong ? 3_600_000 : 600_000 };

let after: ChaosResult;
let prisma: PrismaClient;
beforeAll(async () => {
  process.stdout.write(`CHAOS_SEED=${seed}${isLong ? " TEST_LONG=1" : ""}\n`);
  after = await runChaos(seed, scale);
  prisma = anotherClient(after.url, 2);
  process.stdout.write(`${JSON.stringify((await rows(SUMMARY))[0])}\n`);
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

/** How much happened that the server could have handled wrongly. */
const SUMMARY = `
  SELECT (SELECT count(*)::int FROM workflow_runs) AS runs,
    (SELECT count(*)::int FROM flight_recorder_events WHERE type = 'workflow_recovery') AS recovered,
    (SELECT count(*)::int FROM worker_reports) AS reports,
    (SELECT count(*)::int FROM worker_reports JOIN chaos.sent USING (report_id) WHERE times > 1) AS repeated,
    (SELECT count(*)::int FROM chaos.answers WHERE code = 'LEASE_LOST') AS late,
    (SELECT count(*)::int FROM ai_jobs WHERE state = 'poisoned') AS poisoned,
    (SELECT count(*)::int FROM ai_jobs WHERE state IN ('completed', 'completed_with_issues')) AS completed,
    (SELECT extract(epoch FROM max(updated_at) - min(created_at))::int FROM ai_jobs) AS seconds`;

const isAboutCutConnection =
  /terminating connection|connection terminated|connection broke|ended this connection|not queryable|ECONNRESET|EPIPE/i;

const logLine = z.object({
  level: z.number(),
  msg: z.string(),
  reason: z.string().optional(),
  err: z.object({ message: z.string(), stack: z.string().optional() }).optional(),
});

/**
 * The warnings and errors of a server's log that the faults do not explain: all but recovered runs and cut connections.
 */
function unexplained({ logged }: ProcessHistory): readonly z.infer<typeof logLine>[] {
  const worrying = logged.map((line) => logLine.parse(JSON.parse(line))).filter(({ level }) => level >= 40);
  return worrying.filter(
    ({ msg, reason, err }) =>
      msg !== "runs whose lease ran out were recovered" &&
      !reason?.endsWith("has ended this connection.") &&
      !(err && isAboutCutConnection.test(err.message)),
  );
}

describe(`after ${scale.milliseconds / 1000} seconds of chaos by seed ${seed}`, LONG, () => {
  test.each(CHECKS)("$name", async ({ refutation }) => {
    const values = refutation.includes("$1") ? [guards.map(({ name }) => name)] : [];
    expect(await rows(refutation, ...values)).toEqual([]);
  });

  test("every job was submitted once, however often it was sent", async () => {
    expect(await rows("SELECT count(*)::int, count(DISTINCT idempotency_key)::int AS keys FROM ai_jobs")).toEqual([
      { count: scale.jobs, keys: scale.jobs },
    ]);
  });

  test("every event's hash is that of its stored fields, each names the previous hash, and the job has the last one", async () => {
    const jobs = await prisma.aiJob.findMany({ select: { jobId: true } });
    const records = await recordsOfAll(
      prisma,
      jobs.map(({ jobId }) => jobId),
    );
    expect(records.size).toBe(scale.jobs);
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
    expect(after.entries.filter(({ type }) => type === "unexpected")).toEqual([]);
  });

  test("it was chaos: processes died, connections were cut, leases were lost, reports were sent again", async () => {
    const killed = (histories: readonly ProcessHistory[]) =>
      histories.filter(({ exit }) => exit.signal === "SIGKILL").length;
    expect(killed(after.servers)).toBeGreaterThanOrEqual(SERVERS);
    expect(killed(after.workers)).toBeGreaterThan(WORKERS);
    expect(after.connectionsCut).toBeGreaterThan(10);
    const min = { recovered: 5, repeated: 5, late: 1, poisoned: 1, completed: scale.jobs / 2 };
    const [counted] = await rows(SUMMARY);
    for (const [what, count] of Object.entries(min)) expect.soft(counted?.[what], what).toBeGreaterThanOrEqual(count);
  });
});
