import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { connectTo } from "../support/interrupt.ts";
import type { Entry } from "./entries.ts";
import type { SupervisedSlot } from "./fleet.ts";
import type { Gate } from "./gate.ts";
import { auditOwnClock } from "./own-clock.ts";
import { awayMs, type Fault } from "./plan.ts";
import { readJournal } from "./read-journal.ts";
import type { WorkerSort } from "./sorts.ts";
import { count, until } from "./wait.ts";

/** The application name of the connections that may be cut. */
export const APPLICATION = "ai-job-server-in-chaos";

/** A worker that was cut off, or stood still, and worked on. Times are by the wall's clock, in milliseconds. */
export interface Away {
  readonly kind: "CUT_OFF_WORKER" | "BLOCK_WORKER";
  readonly workerId: string;
  readonly sort: WorkerSort;
  readonly from: number;
  readonly until: number;
  /** How many runs it stopped by its own clock meanwhile, or when it was back. */
  readonly stopped: number;
}

/** A worker's process, and its network. */
export interface WorkerSlot extends SupervisedSlot {
  readonly workerId: string;
  readonly sort: WorkerSort;
  readonly leaseSeconds: number;
  readonly gate: Gate;
  /** The path of its journal. */
  readonly journal: string;
}

interface Targets {
  readonly servers: readonly SupervisedSlot[];
  readonly workers: readonly WorkerSlot[];
  readonly admin: pg.Client;
  /** The address of the database, for connections of their own. */
  readonly url: string;
}

/** How many reports must have been accepted for each second of the plan before the next fault is injected. */
const MIN_REPORTS_PER_SECOND = 50;

/**
 * Injects the faults at their times, each only when enough work has been done and its target is up. On a slow machine
 * the later faults are postponed; otherwise they would hit servers that are idle or still starting, and test nothing.
 * @returns how many connections were cut, and which workers were away.
 */
export async function injectFaults(faults: readonly Fault[], targets: Targets) {
  const { servers, workers, admin } = targets;
  const away = new Set<WorkerSlot>();
  const absences: Promise<Away | null>[] = [];
  const pick = <Slot>(slots: readonly Slot[], dice: number) => slots[Math.floor(dice * slots.length)];
  // One that is away is let come back: what it does then is what counts.
  const pickWorker = ({ dice, sort }: Fault) =>
    pick(
      workers.filter((worker) => !away.has(worker) && (sort === undefined || worker.sort === sort)),
      dice,
    );
  let start = performance.now();
  let connectionsCut = 0;
  for (const fault of faults) {
    const { at, kind, dice } = fault;
    await sleep(Math.max(0, start + at - performance.now()));
    const due = performance.now();
    const reports = (at / 1000) * MIN_REPORTS_PER_SECOND;
    await until(async () => (await count(admin, "SELECT FROM worker_reports")) >= reports);
    switch (kind) {
      case "KILL_SERVER":
        await pick(servers, dice)?.ready();
        pick(servers, dice)?.kill();
        break;
      case "KILL_WORKER":
        pickWorker(fault)?.kill();
        break;
      case "CUT_OFF_WORKER":
      case "BLOCK_WORKER": {
        const worker = pickWorker(fault);
        if (!worker) break;
        away.add(worker);
        absences.push(sendAway(targets, worker, kind).finally(() => away.delete(worker)));
        break;
      }
      case "CUT_CONNECTION":
      case "CUT_ALL_CONNECTIONS":
        await Promise.any(servers.map((slot) => slot.ready()));
        connectionsCut += await cutConnections(admin, dice, kind === "CUT_CONNECTION" ? 1 : 1000);
        break;
    }
    start += performance.now() - due;
  }
  return { connectionsCut, away: (await Promise.all(absences)).filter((each) => each !== null) };
}

/** How often a worker is sent away until it stops a run by its own clock; most often the first time. */
const MAX_ABSENCES = 4;

/**
 * Cuts a worker off, or has it stand still, once it is in the middle of a step; again if it had ended the run by then.
 * @returns null if it did not come back, or no job was left.
 */
async function sendAway({ url }: Targets, worker: WorkerSlot, kind: Away["kind"]): Promise<Away | null> {
  const { workerId, sort, gate, journal } = worker;
  const ms = awayMs(worker.leaseSeconds);
  for (let absences = 1; ; absences++) {
    await until(async () => isInStep(readJournal(journal)) || (await hasNoJobLeft(url)));
    const from = Date.now();
    let isBack = true;
    if (kind === "BLOCK_WORKER") isBack = await worker.block(ms);
    else {
      gate.cut();
      await sleep(ms);
      gate.mend();
    }
    const end = Date.now();
    if (!isBack) return null;
    await sleep(2000);
    const { stops } = auditOwnClock(readJournal(journal));
    const stopped = stops.filter(({ wallMs }) => wallMs > from).length;
    if (stopped > 0 || absences === MAX_ABSENCES || (await hasNoJobLeft(url)))
      return { kind, workerId, sort, from, until: end, stopped };
  }
}

/** Whether the last thing that a worker wrote is that it does something, less than a second ago. */
function isInStep(journal: readonly Entry[]): boolean {
  const acts = journal.filter((entry) => entry.type === "begun" || entry.type === "stopped");
  const last = acts.at(-1);
  return last?.type === "begun" && Date.now() - last.at.wallMs < 1000;
}

async function hasNoJobLeft(url: string): Promise<boolean> {
  const client = await connectTo(url);
  try {
    return (await count(client, "SELECT FROM ai_jobs WHERE ended_at IS NULL")) === 0;
  } finally {
    await client.end();
  }
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
