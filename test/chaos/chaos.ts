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
import { APPLICATION, type Away, injectFaults, type WorkerSlot } from "./faults.ts";
import { freePorts, type ProcessHistory, type SupervisedSlot, startServer, startWorker, supervise } from "./fleet.ts";
import { openGate } from "./gate.ts";
import { type Entry, readJournal } from "./journal.ts";
import { Outside } from "./outside.ts";
import { decideQuestions } from "./people.ts";
import { leaseSecondsAt, planFaults, planJobs, type Scale, SERVERS, seededRandom, WORKERS } from "./plan.ts";
import { submitJobs } from "./submit.ts";
import { count, LIMIT_MS, until } from "./wait.ts";

/** The result of a run: the database, the history of every process, and the workers' journals. */
export interface ChaosResult {
  readonly url: string;
  readonly admin: pg.Client;
  readonly servers: readonly ProcessHistory[];
  readonly workers: readonly ProcessHistory[];
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
    const workerIds = Array.from({ length: WORKERS }, (_, index) => `worker-${index}`);
    const pace = paceHere();
    const { cancelled, decisions, servers, workers, connectionsCut, away } = await runFleet(seed, scale, {
      env: database.env,
      admin,
      url: database.url,
      outside,
      leaseSeconds: leaseSecondsAt(pace),
      journals: new Map(workerIds.map((id) => [id, join(folder, id)])),
    });
    const journals = new Map(workerIds.map((id) => [id, readJournal(join(folder, id))]));
    const entries = [...journals.values()].flat();
    await loadRecords(admin, { entries, cancelled, decisions, done: new Outside(outside).done() });
    const histories = (slots: readonly SupervisedSlot[]) => slots.flatMap((slot) => slot.history);
    const processes = { servers: histories(servers), workers: histories(workers) };
    return { url: database.url, admin, ...processes, journals, connectionsCut, away, isSlow: pace > 1.2, close };
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
  /** The path of each worker's journal, by the worker's id. */
  readonly journals: ReadonlyMap<string, string>;
}

async function runFleet(
  seed: number,
  scale: Scale,
  { env, admin, url, outside, leaseSeconds, journals }: ChaosEnvironment,
) {
  const random = seededRandom(seed);
  const [faults, jobs] = [planFaults(random, scale), planJobs(random, scale)];
  const ports = await freePorts(SERVERS);
  const urls = addressesOf(ports);
  const servers = ports.map((port) => supervise(() => startServer(port, env, APPLICATION), random));
  const workers: WorkerSlot[] = [];
  const forAll = { OUTSIDE: outside, LEASE_SECONDS: String(leaseSeconds) };
  const over = new AbortController();
  try {
    await Promise.all(servers.map((slot) => slot.ready()));
    await installAudit(admin);
    for (const [workerId, journal] of journals) {
      const gate = await openGate(ports);
      const own = {
        WORKER_ID: workerId,
        WORKER_JOURNAL: journal,
        SERVERS: addressesOf(gate.ports).join(" "),
        ...forAll,
      };
      const firstSeed = seed + 1000 * workers.length;
      const start = (restarts: number) => startWorker({ ...own, WORKER_SEED: String(firstSeed + restarts) });
      const slot = supervise(start, random);
      workers.push({ ...slot, workerId, gate, journal });
    }
    // A worker creates its journal when it has started.
    await until(async () => [...journals.values()].every((journal) => existsSync(journal)));
    const deciding = decideQuestions(new Client(urls, 1), random, over.signal);
    const [cancelled, { connectionsCut, away }] = await Promise.all([
      submitJobs(new Client(urls, 0), jobs),
      injectFaults(faults, { servers, workers, admin, url, leaseSeconds }),
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
