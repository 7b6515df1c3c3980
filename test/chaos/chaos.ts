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

/** The result of a run: the database, the history of every process, and the workers' journals. */
export interface ChaosResult {
  readonly url: string;
  readonly admin: pg.Client;
  readonly servers: readonly ProcessHistory[];
  readonly workers: readonly ProcessHistory[];
  readonly entries: readonly Entry[];
  readonly connectionsCut: number;
  close(): Promise<void>;
}

/** The application name of the connections that may be cut. */
const APPLICATION = "ai-job-server-in-chaos";

/** How long to wait for anything, in milliseconds. */
const LIMIT_MS = 120_000;

/**
 * Runs servers and workers until the last fault has been injected and every job has ended.
 * @param seed determines the faults and the jobs.
 */
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
    const outcome = await runFleet(seed, scale, { env: database.env, admin, journals });
    const entries = journals.flatMap(readJournal);
    await loadJournals(admin, entries, outcome.cancelled);
    const histories = (slots: readonly SupervisedSlot[]) => slots.flatMap((slot) => slot.history);
    const { servers, workers, connectionsCut } = outcome;
    const { url } = database;
    return { url, admin, servers: histories(servers), workers: histories(workers), entries, connectionsCut, close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface ChaosEnvironment {
  /** What a server finds the database by. */
  readonly env: Readonly<Record<string, string>>;
  readonly admin: pg.Client;
  /** The path of each worker's journal. */
  readonly journals: readonly string[];
}

async function runFleet(seed: number, scale: Scale, { env, admin, journals }: ChaosEnvironment) {
  const random = seededRandom(seed);
  const [faults, jobs] = [planFaults(random, scale), planJobs(random, scale)];
  const ports = await freePorts(SERVERS);
  const urls = ports.map((port) => `http://127.0.0.1:${port}/graphql`);
  const servers = ports.map((port) => supervise(() => startServer(port, env, APPLICATION), random));
  const workers: SupervisedSlot[] = [];
  try {
    await Promise.all(servers.map((slot) => slot.ready()));
    await installAudit(admin);
    for (const [index, journal] of journals.entries()) {
      const name = { WORKER_ID: `worker-${index}`, WORKER_JOURNAL: journal, SERVERS: urls.join(" ") };
      const seedOf = (restarts: number) => String(seed + 1000 * index + restarts);
      workers.push(supervise((restarts) => startWorker({ ...name, WORKER_SEED: seedOf(restarts) }), random));
    }
    // A worker creates its journal when it has started.
    await until(async () => journals.every((journal) => existsSync(journal)));
    const [cancelled, connectionsCut] = await Promise.all([
      submitJobs(new Client(urls, 0), jobs),
      injectFaults(faults, { servers, workers, admin }),
    ]);
    await untilAllJobsEnded(admin, jobs.length);
    return { cancelled, connectionsCut, servers, workers };
  } finally {
    await Promise.all(workers.map((slot) => slot.close("SIGKILL")));
    await Promise.all(servers.map((slot) => slot.close("SIGTERM")));
  }
}

interface Targets {
  readonly servers: readonly SupervisedSlot[];
  readonly workers: readonly SupervisedSlot[];
  readonly admin: pg.Client;
}

/** How many reports must have been accepted for each second of the plan before the next fault is injected. */
const MIN_REPORTS_PER_SECOND = 50;

/**
 * Injects the faults at their times, each only when enough work has been done and its target is up. On a slow machine
 * the later faults are postponed; otherwise they would hit servers that are idle or still starting, and test nothing.
 * @returns how many connections were cut.
 */
async function injectFaults(faults: readonly Fault[], { servers, workers, admin }: Targets): Promise<number> {
  const pickSlot = (slots: readonly SupervisedSlot[], dice: number) => slots[Math.floor(dice * slots.length)];
  let start = performance.now();
  let connectionsCut = 0;
  for (const { at, kind, dice } of faults) {
    await sleep(Math.max(0, start + at - performance.now()));
    const due = performance.now();
    const reports = (at / 1000) * MIN_REPORTS_PER_SECOND;
    await until(async () => (await count(admin, "SELECT FROM worker_reports")) >= reports);
    switch (kind) {
      case "KILL_SERVER":
        await pickSlot(servers, dice)?.ready();
        pickSlot(servers, dice)?.kill();
        break;
      case "KILL_WORKER":
        pickSlot(workers, dice)?.kill();
        break;
      case "CUT_CONNECTION":
      case "CUT_ALL_CONNECTIONS":
        await Promise.any(servers.map((slot) => slot.ready()));
        connectionsCut += await cutConnections(admin, dice, kind === "CUT_CONNECTION" ? 1 : 1000);
        break;
    }
    start += performance.now() - due;
  }
  return connectionsCut;
}

/** Cuts connections of the servers, preferably busy ones. @returns how many. */
async function cutConnections(admin: pg.Client, dice: number, max: number): Promise<number> {
  const { rowCount } = await admin.query(
    `SELECT pg_terminate_backend(pid) FROM (
       SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1
       ORDER BY state = 'idle' AND $2::float > 0.3, md5(pid || $2::text) LIMIT $3) AS chosen`,
    [APPLICATION, dice, max],
  );
  return rowCount ?? 0;
}

/**
 * Waits until every job has ended, or no event has been written for a while. The checks then find jobs that have not.
 */
async function untilAllJobsEnded(admin: pg.Client, jobs: number): Promise<void> {
  const ended = "SELECT FROM ai_jobs WHERE state NOT IN ('queued', 'running', 'stalled')";
  let events = 0;
  let deadline = 0;
  await until(async () => {
    const previousEvents = events;
    events = await count(admin, "SELECT FROM flight_recorder_events");
    if (events > previousEvents) deadline = performance.now() + LIMIT_MS;
    return (await count(admin, ended)) === jobs || performance.now() > deadline;
  }, Number.POSITIVE_INFINITY);
}

async function count(admin: pg.Client, query: string): Promise<number> {
  const { rows } = await admin.query<{ count: number }>(`SELECT count(*)::int FROM (${query}) AS selected`);
  return rows[0]?.count ?? 0;
}

/** Polls until the condition holds, or until `limitMs` has passed. */
async function until(condition: () => Promise<boolean>, limitMs = LIMIT_MS): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await condition()) && performance.now() < deadline) await sleep(100);
}
