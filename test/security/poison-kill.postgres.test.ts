import type pg from "pg";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { graphql } from "../generated/index.ts";
import { createPostgresDatabase } from "../support/database.ts";
import { engineOn } from "../support/engine.ts";
import { FAULT_POINTS } from "../support/faults.ts";
import { anotherClient, connectTo, type Proxy, startProxy } from "../support/interrupt.ts";
import { aBusyJob } from "../support/jobs.ts";
import { expectAllOrNothing, expectPoisoned, type Records, recordsOf, violationsIn } from "../support/records.ts";
import { run } from "../support/server.ts";
import { killSpawned, type SpawnedServer, spawnServer } from "../support/spawn-server.ts";

/** Poisoning is all or nothing when the server's process is killed at any moment of it. */

const REPORT = graphql(`
  mutation ReportToServerThatIsKilled($input: ReportSecurityViolationInput!) {
    reportSecurityViolation(input: $input) {
      ... on ReportSecurityViolationPayload {
        actionTaken
      }
      ... on Error {
        code
      }
    }
  }
`);

/** Where a transaction can be held: by the job's row, then by a lock that a trigger waits for, at each of these. */
const POINTS = FAULT_POINTS.filter(({ when }) => when !== "BEFORE STATEMENT" && when !== "AFTER STATEMENT");
const PLACES = [
  { at: "before the job is locked", when: "LOCK" },
  ...POINTS.map(({ at, when }, point) => ({ at, when, point })),
] as const;
type Place = (typeof PLACES)[number];

/** Servers start and are killed in each of these tests. */
const LONG = { timeout: 90_000 };

const SERVER = "ai-job-server-that-is-killed";
let url: string;
let drop: () => Promise<void>;
/** The product as it is deployed, in a process of its own; it reaches PostgreSQL by way of the proxy. */
let server: SpawnedServer;
let proxy: Proxy;
let prisma: PrismaClient;
let admin: pg.Client;

beforeAll(async () => {
  ({ url, drop } = await createPostgresDatabase());
  proxy = await startProxy(url);
  await startServer();
  prisma = anotherClient(url, 4);
  admin = await connectTo(url);
  await admin.query(`
    CREATE FUNCTION test_barrier() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE job uuid;
    BEGIN
      IF TG_TABLE_NAME = 'node_executions' THEN
        SELECT job_id INTO job FROM workflow_runs WHERE id = NEW.workflow_run_id;
      ELSE job := NEW.job_id; END IF;
      PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::int, hashtext(job::text));
      RETURN NEW;
    END $$`);
  for (const [point, { on, when }] of POINTS.entries()) {
    const commit = when === "COMMIT";
    const event = on === "flight_recorder_events" ? "INSERT" : "UPDATE";
    await admin.query(
      `CREATE ${commit ? "CONSTRAINT" : ""} TRIGGER zz_test_barrier_${point}
       ${when === "BEFORE ROW" ? "BEFORE" : "AFTER"} ${event} ON ${on}
       ${commit ? "DEFERRABLE INITIALLY DEFERRED" : ""} FOR EACH ROW EXECUTE FUNCTION test_barrier(${point})`,
    );
  }
});
afterAll(async () => {
  await killSpawned();
  await proxy.close();
  await admin.end();
  await prisma.$disconnect();
  await drop();
});

async function startServer(): Promise<void> {
  server = spawnServer({ DATABASE_URL: proxy.url, DATABASE_POOL_SIZE: "20", PGAPPNAME: SERVER });
  await server.url;
}

async function report(jobId: string): Promise<string> {
  const found = { guardName: "a person", trigger: "paragraph 3", description: "This source may not leave." };
  const { reportSecurityViolation } = await run(await server.url, REPORT, {
    input: { jobId, violationType: "EXPORT", ...found },
  });
  return "actionTaken" in reportSecurityViolation ? reportSecurityViolation.actionTaken : reportSecurityViolation.code;
}

/** What a caller has of a report: an answer, or an error of the request. */
function answered(jobId: string): Promise<string> {
  return report(jobId).catch(() => "no answer");
}

interface Held {
  readonly place: Place;
  readonly jobId: string;
  readonly before: Records;
  readonly answer: Promise<string>;
  readonly release: () => Promise<void>;
}

async function aJob() {
  const { jobId } = (await aBusyJob(engineOn({ prisma, kind: "postgres", close: async () => undefined }))).job;
  return { jobId, before: await recordsOf(prisma, jobId) };
}

/** A report on a job of its own for each place, held there by a connection of the test's. */
async function holdAt(places: readonly Place[]): Promise<readonly Held[]> {
  const jobs = await Promise.all(places.map(async (place) => ({ place, ...(await aJob()) })));
  return Promise.all(
    jobs.map(async ({ place, jobId, before }) => {
      const holder = await connectTo(url);
      if ("point" in place) {
        await holder.query("SELECT pg_advisory_lock($1, hashtext($2))", [place.point, jobId]);
      } else {
        await holder.query("BEGIN");
        await holder.query("SELECT FROM ai_jobs WHERE job_id = $1 FOR UPDATE", [jobId]);
      }
      return { place, jobId, before, answer: answered(jobId), release: () => holder.end() };
    }),
  );
}

/** All or nothing, of every one; and a COMMIT that PostgreSQL had begun it also ended. */
async function expectAllHeldOrNothing(held: readonly Held[]): Promise<void> {
  for (const { place, jobId, before } of held) {
    const became = expectAllOrNothing(await recordsOf(prisma, jobId), before);
    expect(`${place.at}: ${became}`).toBe(`${place.at}: ${place.when === "COMMIT" ? "poisoned" : "as before"}`);
  }
}

/**
 * Waits until so many of the server's connections are in this condition.
 * @param among which of them; all where it is left out. The server's own work in the background has some, too.
 * @returns those that are.
 */
function waitFor(condition: string, count: number, among?: readonly number[]): Promise<readonly number[]> {
  return vi.waitFor(
    async () => {
      const { rows } = await admin.query<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1
         AND pid = ANY(coalesce($2::int[], ARRAY[pid])) AND ${condition}`,
        [SERVER, among],
      );
      expect(rows).toHaveLength(count);
      return rows.map(({ pid }) => pid);
    },
    { timeout: 7000, interval: 20 },
  );
}

/** Repeats every report on a server that was started again; each job is then poisoned once. */
async function repeatAll(all: readonly { jobId: string; before: Records }[]): Promise<void> {
  await startServer();
  for (const { jobId, before } of all) {
    const poisoned = (await recordsOf(prisma, jobId)).job.state === "POISONED";
    expect(await report(jobId)).toBe(poisoned ? "ALREADY_POISONED" : "POISONED");
    const after = await recordsOf(prisma, jobId);
    expectPoisoned(after, before);
    expect(violationsIn(after)).toHaveLength(1);
  }
}

test("killed in the middle of a statement, or of COMMIT, the server leaves all or nothing of it", LONG, async () => {
  const held = await holdAt(PLACES);
  await waitFor("wait_event_type = 'Lock'", held.length);
  await server.end("SIGKILL");
  for (const { answer } of held) expect(await answer).toBe("no answer");
  // PostgreSQL still works on what it was asked for, and notices only then that nobody listens.
  for (const { release } of held) await release();
  await waitFor("true", 0);
  await expectAllHeldOrNothing(held);
  await repeatAll(held);
});

test("killed between two statements, or right after COMMIT, the server leaves all or nothing of it", LONG, async () => {
  const held = await holdAt(PLACES.filter(({ when }) => when !== "BEFORE ROW"));
  const reporting = await waitFor("wait_event_type = 'Lock'", held.length);
  // A server that never hears an answer sends no next statement.
  proxy.silence();
  for (const { release } of held) await release();
  const commits = held.filter(({ place }) => place.when === "COMMIT").length;
  await waitFor("state = 'idle in transaction'", held.length - commits, reporting);
  await waitFor("state = 'active'", 0);
  await server.end("SIGKILL");
  proxy.allow();
  for (const { answer } of held) expect(await answer).toBe("no answer");
  await waitFor("true", 0);
  await expectAllHeldOrNothing(held);
  await repeatAll(held);
});

test("killed while it answers many, no caller has a success that was not committed", LONG, async () => {
  const jobs = await Promise.all(Array.from({ length: 30 }, aJob));
  let successes = 0;
  let killed: Promise<unknown> | undefined;
  const answers = await Promise.all(
    jobs.map(async ({ jobId }) => {
      const answer = await answered(jobId);
      if (answer === "POISONED" && ++successes === 8) killed = server.end("SIGKILL");
      return answer;
    }),
  );
  await killed;
  await waitFor("true", 0);
  // The kill came in between: some were answered, and some never.
  expect(answers).toContain("POISONED");
  expect(answers).toContain("no answer");
  const became: string[] = [];
  for (const { jobId, before } of jobs) became.push(expectAllOrNothing(await recordsOf(prisma, jobId), before));
  const untrue = answers.filter((answer, index) => answer !== "no answer" && became[index] !== "poisoned");
  expect(untrue).toEqual([]);
  await repeatAll(jobs);
});
