import { uuidv7 } from "uuidv7";
import type { AiJob } from "../db/generated/client/client.ts";
import type { Run } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import { checkCapability } from "../jobs/capabilities.ts";
import type { LockedJob } from "../jobs/lock.ts";
import { countGuards } from "../jobs/metrics.ts";
import { NO_PROGRESS } from "../jobs/progress.ts";
import { transitionTo } from "../jobs/state.ts";
import { writeVersions } from "../jobs/store.ts";
import type { JobChange } from "../jobs/version.ts";
import { capabilityDenial, workerOf } from "../log/event.ts";
import { leaseUntil, newLeaseToken } from "../runs/lease-token.ts";
import { insertRunsCte, NO_NEXT_PROGRESS } from "../runs/store.ts";
import { costOf, type GuardContent } from "../security/guards/guard.ts";

import { type CarriedOver, NOTHING_CARRIED, readCarriedOver, sourcesOfCarriedOver } from "./carried-over.ts";

/** A worker, and how long a lease it asks for. */
export interface Worker {
  readonly workerId: string;
  /** How long the lease of each job lasts, in seconds. */
  readonly leaseSeconds: number;
  /** The principal that claims, which alone may report on its runs (section 11). Null, as left out: whoever has the token may. */
  readonly principalId?: string | null;
}

/** A worker as a client names it: whose claim it is cannot be left out, or whoever has its tokens could report. */
export type SentWorker<W extends Worker> = W & Required<Pick<Worker, "principalId">>;

/** A job that is leased to a worker. */
export interface Claim {
  readonly job: AiJob;
  readonly run: Run;
  /** Proves the lease. It is shown here once; only its hash is stored. */
  readonly leaseToken: string;
  /** What people have said about the job. */
  readonly carriedOver: CarriedOver;
}

/** A leased job that is not delivered yet: its inputs must pass the guards before its worker gets the token. */
export interface LeasedJob {
  readonly claim: Claim;
  readonly inputs: GuardContent;
}

/** A job that failed instead of being leased, because its capability profile does not suffice any more (section 8). */
export interface DeniedJob {
  readonly job: AiJob;
  /** The missing capability. */
  readonly capability: string;
}

/** A due job that this transaction has locked, and the worker that gets it. */
export interface Assignment<W extends Worker = Worker> {
  readonly job: LockedJob;
  readonly worker: W;
}

/**
 * Leases jobs (section 6): each gets a run and is RUNNING; or fails, when its capability profile does not suffice. The number
 * of statements does not grow with the number of jobs.
 * @returns in the order of `assignments`, the leased or denied job of each.
 */
export async function acquireLeases(
  tx: Transaction,
  engine: EngineContext,
  assignments: readonly Assignment[],
): Promise<readonly (LeasedJob | DeniedJob)[]> {
  const carriedOver = await readCarriedOver(
    tx,
    assignments.map(({ job }) => job),
  );
  const decisions = assignments.map(({ job, worker }) =>
    decideLease(engine, job, worker, carriedOver.get(job.jobId) ?? NOTHING_CARRIED),
  );
  const versions = await writeVersions(
    tx,
    decisions.map(({ change }) => change),
    insertRunsCte(decisions.flatMap(({ run }) => run ?? [])),
  );
  return decisions.map(({ run, leaseToken, inputs, capability, carriedOver }, index) => {
    const job = versions[index]?.job;
    if (!job) throw new Error("Each change writes one version.");
    return run ? { claim: { job, run, leaseToken, carriedOver }, inputs } : { job, capability };
  });
}

/** What to write for one assignment. */
interface LeaseDecision {
  readonly change: JobChange;
  readonly capability: string;
  /** The new run; undefined when the job's capability profile does not suffice. */
  readonly run?: Run;
  readonly leaseToken: string;
  readonly inputs: GuardContent;
  readonly carriedOver: CarriedOver;
}

function decideLease(engine: EngineContext, job: LockedJob, worker: Worker, carriedOver: CarriedOver): LeaseDecision {
  const { granted, capability } = checkCapability(job.jobKind, job.capabilities);
  const { injectionPatterns: patterns } = job;
  if (!granted) {
    const set = transitionTo(job, "FAILED", `capability_denied: ${capability}`);
    const change = { job, set, event: capabilityDenial(job, capability, "claim", worker.principalId ?? null) };
    return { change, capability, leaseToken: "", inputs: { sources: [], patterns }, carriedOver };
  }
  const { token, stored } = newLeaseToken();
  const run = newRun(job, worker, stored);
  const inputs = { sources: [...sourcesOf(job), ...sourcesOfCarriedOver(carriedOver)], patterns };
  const change: JobChange = {
    job,
    set: {
      ...transitionTo(job, "RUNNING", "running"),
      // The guards are counted before they run: nobody gets the token unless they all ran, and counting them afterwards
      // would take a second version of the job.
      ...countGuards(job, costOf(inputs, 1) === 0 ? 0 : engine.guards.length),
      workflowRunId: run.id,
      attempt: run.attempt,
      runAfter: null,
      preferredWorkerId: null,
      preferredUntil: null,
      errorMessage: null,
      ...NO_PROGRESS,
    },
    event: {
      type: "STATE_CHANGED",
      by: workerOf(run),
      capabilityId: capability,
      payload: { reason: "running", attempt: run.attempt },
    },
  };
  return { change, capability, run, leaseToken: token, inputs, carriedOver };
}

/** Everything that a worker gets of a job whose submitter wrote it freely. */
function sourcesOf({ jobInputs, entityRefs, plannedOperations, labels }: LockedJob): GuardContent["sources"] {
  return [
    { sourceId: null, path: "jobInputs", value: jobInputs },
    { sourceId: null, path: "entityRefs", value: entityRefs },
    { sourceId: null, path: "plannedOperations", value: plannedOperations },
    // A claim may select them, and a worker may put them into a prompt. They come with the locked row, so a job that has none pays
    // nothing. As an object, because "key" and "value" are no texts of the submitter.
    {
      sourceId: null,
      path: "labels",
      value: labels && Object.fromEntries(labels.map(({ key, value }) => [key, value])),
    },
  ];
}

function newRun(
  job: LockedJob,
  { workerId, leaseSeconds, principalId = null }: Worker,
  leaseToken: Uint8Array<ArrayBuffer>,
): Run {
  return {
    id: uuidv7(),
    workspaceId: job.workspaceId,
    jobId: job.jobId,
    attempt: job.attempt + 1,
    state: "RUNNING",
    workerId,
    principalId,
    leaseToken,
    leaseExpiresAt: leaseUntil(job.now, leaseSeconds),
    lastHeartbeat: job.now,
    ...NO_NEXT_PROGRESS,
    errorMessage: null,
    endReason: null,
    startedAt: job.now,
    finishedAt: null,
  };
}
