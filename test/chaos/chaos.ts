import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { createPostgresDatabase } from "../support/database.ts";
import { connectTo } from "../support/interrupt.ts";
import { installAudit, loadJournals } from "./audit.ts";
import { Client } from "./client.ts";
import { freePorts, type ProcessHistory, type SupervisedSlot, startServer, startWorker, supervise } from "./fleet.ts";
import { type Entry, readJournal } from "./journal.ts";
import { type Fault, planFaults, planJobs, type Scale, SERVERS, seededRandom, WORKERS } from "./plan.ts";
import { submitJobs } from "./submit.ts";

/** What is left when it is over: the database, what every process did, and what the workers remember. */
export interface ChaosResult {
  readonly url: string;
  readonly admin: pg.Client;
  readonly servers: readonly ProcessHistory[];
  readonly workers: readonly ProcessHistory[];
  readonly entries: readonly Entry[];
  readonly connectionsCut: number;
  close(): Promise<void>;
}

/** By this name PostgreSQL knows the connections that may be cut. */
const APPLICATION = "ai-job-server-in-chaos";

/** Milliseconds that whatever is waited for may take. */
const LIMIT_MS = 120_000;

/** Servers and workers at work, until the last blow has fallen and no job is left to do. */
export async function runChaos(seed: number, scale: Scale): Promise<ChaosResult> {
  const database = await createPostgresDatabase();
  const admin = await connectTo(database.url);
  const folder = await mkdtemp(join(tmpdir(), "chaos-"));
  const close = async () => {
    await admin.end();
    await database.drop();
    await rm(folder, { recursive: true });
  };
  try {
    const journals = Array.from({ length: WORKERS }, (_, index) => join(folder, `worker-${index}`));
    const happened = await runFleet(seed, scale, { url: database.url, admin, journals });
    const entries = journals.flatMap(readJournal);
    await loadJournals(admin, entries, happened.cancelled);
    const lives = (slots: readonly SupervisedSlot[]) => slots.flatMap((post) => post.history);
    const { servers, workers, connectionsCut } = happened;
    const { url } = database;
    return { url, admin, servers: lives(servers), workers: lives(workers), entries, connectionsCut, close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface ChaosEnvironment {
  readonly url: string;
  readonly admin: pg.Client;
  /** One for each worker. */
  readonly journals: readonly string[];
}

async function runFleet(seed: number, scale: Scale, { url, admin, journals }: ChaosEnvironment) {
  const random = seededRandom(seed);
  const [faults, jobs] = [planFaults(random, scale), planJobs(random, scale)];
  const ports = await freePorts(SERVERS);
  const urls = ports.map((port) => `http://127.0.0.1:${port}/graphql`);
  const servers = ports.map((port) => supervise(() => startServer(port, url, APPLICATION), random));
  const workers: SupervisedSlot[] = [];
  try {
    await Promise.all(servers.map((post) => post.ready()));
    await installAudit(admin);
    for (const [index, journal] of journals.entries()) {
      const name = { WORKER_ID: `worker-${index}`, WORKER_JOURNAL: journal, SERVERS: urls.join(" ") };
      const seedOf = (lives: number) => String(seed + 1000 * index + lives);
      workers.push(supervise((lives) => startWorker({ ...name, WORKER_SEED: seedOf(lives) }), random));
    }
    // A worker opens its journal when it is up.
    await until(async () => journals.every((journal) => existsSync(journal)));
    const [cancelled, connectionsCut] = await Promise.all([
      submitJobs(new Client(urls, 0), jobs),
      injectFaults(faults, { servers, workers, admin }),
    ]);
    await untilAllJobsEnded(admin, jobs.length);
    return { cancelled, connectionsCut, servers, workers };
  } finally {
    await Promise.all(workers.map((post) => post.close("SIGKILL")));
    await Promise.all(servers.map((post) => post.close("SIGTERM")));
  }
}

interface Targets {
  readonly servers: readonly SupervisedSlot[];
  readonly workers: readonly SupervisedSlot[];
  readonly admin: pg.Client;
}

/** Reports in a second of chaos, at least. */
const REPORTS_PER_SECOND = 50;

/**
 * Every blow falls while there is work going on, and finds what it is meant for. A machine that is too slow for that has
 * more of its time: chaos lasts longer then.
 * @returns how many connections were cut.
 */
async function injectFaults(faults: readonly Fault[], { servers, workers, admin }: Targets): Promise<number> {
  const one = (slots: readonly SupervisedSlot[], dice: number) => slots[Math.floor(dice * slots.length)];
  let start = performance.now();
  let cut = 0;
  for (const { at, kind, dice } of faults) {
    await sleep(Math.max(0, start + at - performance.now()));
    const due = performance.now();
    const reports = (at / 1000) * REPORTS_PER_SECOND;
    await until(async () => (await count(admin, "SELECT FROM worker_reports")) >= reports);
    switch (kind) {
      case "KILL_SERVER":
        await one(servers, dice)?.ready();
        one(servers, dice)?.kill();
        break;
      case "KILL_WORKER":
        one(workers, dice)?.kill();
        break;
      case "CUT_CONNECTION":
      case "CUT_ALL_CONNECTIONS":
        await Promise.any(servers.map((post) => post.ready()));
        cut += await cutConnections(admin, dice, kind === "CUT_CONNECTION" ? 1 : 1000);
        break;
    }
    start += performance.now() - due;
  }
  return cut;
}

/** Cuts connections of the servers; most often one that is in the middle of something. */
async function cutConnections(admin: pg.Client, dice: number, max: number): Promise<number> {
  const { rowCount } = await admin.query(
    `SELECT pg_terminate_backend(pid) FROM (
       SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1
       ORDER BY state = 'idle' AND $2::float > 0.3, md5(pid || $2::text) LIMIT $3) AS chosen`,
    [APPLICATION, dice, max],
  );
  return rowCount ?? 0;
}

/** Waits until every job has ended, or nothing happens any more; what has not ended then is for the checks to tell. */
async function untilAllJobsEnded(admin: pg.Client, jobs: number): Promise<void> {
  const ended = "SELECT FROM ai_jobs WHERE state NOT IN ('queued', 'running', 'stalled')";
  let events = 0;
  let deadline = 0;
  await until(async () => {
    const seen = events;
    events = await count(admin, "SELECT FROM flight_recorder_events");
    if (events > seen) deadline = performance.now() + LIMIT_MS;
    return (await count(admin, ended)) === jobs || performance.now() > deadline;
  }, Number.POSITIVE_INFINITY);
}

async function count(admin: pg.Client, query: string): Promise<number> {
  const { rows } = await admin.query<{ count: number }>(`SELECT count(*)::int FROM (${query}) AS selected`);
  return rows[0]?.count ?? 0;
}

/** Looks again and again until it is so, or until the limit: milliseconds. */
async function until(isSo: () => Promise<boolean>, limit = LIMIT_MS): Promise<void> {
  const deadline = performance.now() + limit;
  while (!(await isSo()) && performance.now() < deadline) await sleep(100);
}
