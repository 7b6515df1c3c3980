import { uuidv7 } from "uuidv7";
import type { AiJob, WorkflowRun } from "../db/generated/client/client.ts";
import type { Transaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import { checkCapability } from "../jobs/capabilities.ts";
import type { LockedJob } from "../jobs/lock.ts";
import { countGuards } from "../jobs/metrics.ts";
import { transitionTo } from "../jobs/state.ts";
import { writeVersions } from "../jobs/store.ts";
import type { JobChange } from "../jobs/version.ts";
import { capabilityDenial } from "../log/event.ts";
import { leaseUntil, newLeaseToken } from "../runs/lease-token.ts";
import { insertRunsCte } from "../runs/store.ts";
import { type GuardContent, textsOf } from "../security/guards/guard.ts";

/** Who takes jobs, and for how long. */
export interface Worker {
  readonly workerId: string;
  readonly leaseSeconds: number;
}

/** A job that a worker now holds. The token is shown here and never again. */
export interface Claim {
  readonly job: AiJob;
  readonly run: WorkflowRun;
  readonly leaseToken: string;
}

/** A claim whose token nobody has yet: the job's inputs are to be guarded first. */
export interface LeasedJob {
  readonly claim: Claim;
  readonly inputs: GuardContent;
}

/** A job that its profile no longer allows: it has failed, with the denial as its event (section 8). */
export interface DeniedJob {
  readonly job: AiJob;
  readonly capability: string;
}

/** A queued job that this transaction holds, and who takes it. */
export interface Assignment<W extends Worker = Worker> {
  readonly job: LockedJob;
  readonly worker: W;
}

/** Leases jobs, in a fixed number of statements. @returns what came of each, in their order. */
export async function acquireLeases(
  tx: Transaction,
  engine: Engine,
  taken: readonly Assignment[],
): Promise<readonly (LeasedJob | DeniedJob)[]> {
  const decisions = taken.map(({ job, worker }) => decide(engine, job, worker));
  const recorded = await writeVersions(
    tx,
    decisions.map(({ change }) => change),
    insertRunsCte(decisions.flatMap(({ run }) => run ?? [])),
  );
  return decisions.map(({ run, leaseToken, inputs, capability }, index) => {
    const job = recorded[index]?.job;
    if (!job) throw new Error("One change makes one record.");
    return run ? { claim: { job, run, leaseToken }, inputs } : { job, capability };
  });
}

interface Decision {
  readonly change: JobChange;
  readonly capability: string;
  /** Undefined where the job's profile does not suffice. */
  readonly run?: WorkflowRun;
  readonly leaseToken: string;
  readonly inputs: GuardContent;
}

function decide(engine: Engine, job: LockedJob, worker: Worker): Decision {
  const { granted, capability } = checkCapability(job.jobKind, job.capabilities);
  const { injectionPatterns: patterns } = job;
  if (!granted) {
    const set = transitionTo(job, "FAILED", `capability_denied: ${capability}`);
    const change = { job, set, event: capabilityDenial(job, capability, "claim") };
    return { change, capability, leaseToken: "", inputs: { texts: [], patterns } };
  }
  const { token, stored } = newLeaseToken();
  const run = runOf(job, worker, stored);
  const texts = textsOf(job.jobInputs, "jobInputs");
  const change: JobChange = {
    job,
    set: {
      ...transitionTo(job, "RUNNING", "running"),
      // Counted here, where the job's version is made: they run before the token is handed out, or it never is.
      ...countGuards(job, texts.length === 0 ? 0 : engine.guards.length),
      workflowRunId: run.id,
      attempt: run.attempt,
      runAfter: null,
      preferredWorkerId: null,
      preferredUntil: null,
      errorMessage: null,
    },
    event: {
      type: "STATE_CHANGED",
      by: { actor: "AGENT", actorId: worker.workerId },
      capabilityId: capability,
      payload: { reason: "running", attempt: run.attempt },
    },
  };
  return { change, capability, run, leaseToken: token, inputs: { texts, patterns } };
}

function runOf(job: LockedJob, { workerId, leaseSeconds }: Worker, leaseToken: Uint8Array<ArrayBuffer>): WorkflowRun {
  return {
    id: uuidv7(),
    workspaceId: job.workspaceId,
    jobId: job.jobId,
    attempt: job.attempt + 1,
    state: "RUNNING",
    workerId,
    leaseToken,
    leaseExpiresAt: leaseUntil(job.now, leaseSeconds),
    lastHeartbeat: job.now,
    errorMessage: null,
    startedAt: job.now,
    finishedAt: null,
  };
}
