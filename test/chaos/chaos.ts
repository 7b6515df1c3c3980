import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type pg from "pg";
import { createPostgresDatabase } from "../support/database.ts";
import { connectTo } from "../support/interrupt.ts";
import { paceHere } from "../support/pace.ts";
import { installAudit, loadRecords } from "./audit.ts";
import { Client } from "./client.ts";
import type { Entry } from "./entries.ts";
import { APPLICATION, type Away, injectFaults, type WorkerSlot } from "./faults.ts";
import { freePorts, type ProcessHistory, type SupervisedSlot, startServer, startWorker, supervise } from "./fleet.ts";
import { openGate } from "./gate.ts";
import { Outside } from "./outside.ts";
import { decideQuestions } from "./people.ts";
import { leaseSecondsAt, planFaults, planJobs, type Scale, SERVERS, seededRandom } from "./plan.ts";
import { findPython } from "./python.ts";
import { readJournal } from "./read-journal.ts";
import { leaseSecondsOf, sortsOfFleet, type WorkerSort } from "./sorts.ts";
import { submitJobs } from "./submit.ts";
import { count, LIMIT_MS, until } from "./wait.ts";

/** The result of a run: the database, the history of every process, and the workers' journals. */
export interface ChaosResult {
  readonly url: string;
  readonly admin: pg.Client;
  readonly servers: readonly ProcessHistory[];
  readonly workers: readonly ProcessHistory[];
  /** The sort of each worker, by its id. */
  readonly sorts: ReadonlyMap<string, WorkerSort>;
  /** The journal of each worker, by its id. */
  readonly journals: ReadonlyMap<string, readonly Entry[]>;
  readonly connectionsCut: number;
  readonly away: readonly Away[];
  /** Whether the machine is slower than the one for which tests state their limits. */
  readonly isSlow: boolean;
  close(): Promise<void>;
}

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
    const outside = join(folder, "outside");
    await mkdir(outside);
    const python = findPython();
    const sorts = new Map(sortsOfFleet(python !== null).map((sort, index) => [`worker-${index}`, sort]));
    const journalOf = (workerId: string) => join(folder, workerId);
    const pace = paceHere();
    const { cancelled, decisions, servers, workers, connectionsCut, away } = await runFleet(seed, scale, {
      env: database.env,
      admin,
      url: database.url,
      outside,
      leaseSeconds: leaseSecondsAt(pace),
      python,
      sorts,
      journalOf,
    });
    const journals = new Map([...sorts.keys()].map((id) => [id, readJournal(journalOf(id))]));
    const entries = [...journals.values()].flat();
    await loadRecords(admin, { entries, cancelled, decisions, done: new Outside(outside).done() });
    const histories = (slots: readonly SupervisedSlot[]) => slots.flatMap((slot) => slot.history);
    const processes = { servers: histories(servers), workers: histories(workers) };
    return { url: database.url, admin, ...processes, sorts, journals, connectionsCut, away, isSlow: pace > 1.2, close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface ChaosEnvironment {
  /** What a server finds the database by. */
  readonly env: Readonly<Record<string, string>>;
  readonly admin: pg.Client;
  /** The address by which the test finds it. */
  readonly url: string;
  /** The folder of what is done outside. */
  readonly outside: string;
  readonly leaseSeconds: number;
  /** The program that runs workers with the kit for Python; null where there are none. */
  readonly python: string | null;
  /** The sort of each worker, by its id. */
  readonly sorts: ReadonlyMap<string, WorkerSort>;
  /** The path of a worker's journal. */
  readonly journalOf: (workerId: string) => string;
}

async function runFleet(
  seed: number,
  scale: Scale,
  { env, admin, url, outside, python, sorts, journalOf, ...environment }: ChaosEnvironment,
) {
  const random = seededRandom(seed);
  const [faults, jobs] = [planFaults(random, scale, new Set(sorts.values())), planJobs(random, scale)];
  const ports = await freePorts(SERVERS);
  const urls = addressesOf(ports);
  const servers = ports.map((port) => supervise(() => startServer(port, env, APPLICATION), random));
  const workers: WorkerSlot[] = [];
  const over = new AbortController();
  try {
    await Promise.all(servers.map((slot) => slot.ready()));
    await installAudit(admin);
    for (const [workerId, sort] of sorts) {
      // A kit knows one address.
      const gate = await openGate(ports, { isBalanced: sort !== "hand-made" });
      const journal = journalOf(workerId);
      const leaseSeconds = leaseSecondsOf(sort, environment.leaseSeconds);
      const own = {
        WORKER_ID: workerId,
        WORKER_JOURNAL: journal,
        SERVERS: addressesOf(gate.ports).join(" "),
        OUTSIDE: outside,
        LEASE_SECONDS: String(leaseSeconds),
      };
      const firstSeed = seed + 1000 * workers.length;
      const start = (restarts: number) =>
        startWorker(sort, python, { ...own, WORKER_SEED: String(firstSeed + restarts) });
      const slot = supervise(start, random);
      workers.push({ ...slot, workerId, sort, leaseSeconds, gate, journal });
    }
    // A worker creates its journal when it has started.
    await until(async () => workers.every(({ journal }) => existsSync(journal)));
    const deciding = decideQuestions(new Client(urls, 1), random, over.signal);
    const [cancelled, { connectionsCut, away }] = await Promise.all([
      submitJobs(new Client(urls, 0), jobs),
      injectFaults(faults, { servers, workers, admin, url }),
    ]);
    await untilAllJobsEnded(admin, jobs.length);
    over.abort();
    return { cancelled, decisions: await deciding, connectionsCut, away, servers, workers };
  } finally {
    over.abort();
    await Promise.all(workers.map((slot) => slot.close("SIGKILL")));
    for (const { gate } of workers) gate.close();
    await Promise.all(servers.map((slot) => slot.close("SIGTERM")));
  }
}

function addressesOf(ports: readonly number[]): readonly string[] {
  return ports.map((port) => `http://127.0.0.1:${port}/graphql`);
}

/**
 * Waits until every job has ended, or no event has been written for a while. The checks then find jobs that have not.
 * @param jobs how many are submitted, without their children.
 */
async function untilAllJobsEnded(admin: pg.Client, jobs: number): Promise<void> {
  let events = 0;
  let deadline = 0;
  await until(async () => {
    const previousEvents = events;
    events = await count(admin, "SELECT FROM flight_recorder_events");
    if (events > previousEvents) deadline = performance.now() + LIMIT_MS;
    if (performance.now() > deadline) return true;
    const submitted = await count(admin, "SELECT FROM ai_jobs WHERE parent_job_id IS NULL");
    return submitted === jobs && (await count(admin, "SELECT FROM ai_jobs WHERE ended_at IS NULL")) === 0;
  }, Number.POSITIVE_INFINITY);
}
