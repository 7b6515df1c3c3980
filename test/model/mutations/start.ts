import fc from "fast-check";
import { startWorkflow } from "../../../src/claims/start.ts";
import { HOSTILE } from "../../support/jobs.ts";
import { aboutJob, type Draw, pickFrom, worker } from "../draw.ts";
import { poison } from "../endings.ts";
import { injectionIn } from "../payload.ts";
import { admitByQuotas } from "../quotas.ts";
import type { Real } from "../real.ts";
import {
  type Answer,
  countGuards,
  deny,
  findNamedJob,
  guardsOver,
  illegal,
  isRefusal,
  missingCapability,
  requirementOf,
} from "../rules.ts";
import { mutation } from "../step.ts";
import { agent, change, type Job, type Run, type World } from "../world.ts";

interface Start {
  readonly job: number;
  readonly worker: string;
}

/** Section 6: starts one named job. */
export const start = mutation<Start>("start", { expected, actual });

function expected(world: World, { job: number, worker: name }: Start): Answer {
  const job = findNamedJob(world, number);
  if (isRefusal(job)) return job;
  if (job.state !== "QUEUED") return illegal(job, "RUNNING");
  if (job.runAfter === "ahead" || job.waitsFor !== null) return { code: "TRY_AGAIN" };
  const [refusal] = admitByQuotas(world, "ACTIVE_JOBS", [job]);
  if (refusal) return refusal;
  const missing = missingCapability(world, job);
  if (missing !== null) return deny(job, missing, "claim");
  const { run, version } = lease(job, name);
  if (hostilePlace(job) !== null) {
    trap(world, job);
    return { poisoned: job.number, version: job.version };
  }
  world.claims.push(run);
  return { taken: job.number, attempt: run.attempt, version };
}

/** Leases a job. Its token is delivered only after the inputs have been guarded. */
export function lease(job: Job, name: string): { readonly run: Run; readonly version: number } {
  const attempt = job.attempt + 1;
  const nothing = {
    endReason: null,
    outputs: null,
    question: null,
    waiting: null,
    leaseIsOver: false,
    hasError: false,
    nodes: [],
    calls: [],
    output: [],
    reports: new Map(),
  };
  const run: Run = { job, attempt, worker: name, state: "RUNNING", ...nothing };
  job.runs.push(run);
  const { inputs, scope, kind } = job.submit;
  // What people have said since is guarded, too: comments and answers that are texts.
  const hasText =
    inputs !== "none" || scope.length > 0 || job.labels.length > 0 || isCommented(job) || hasTextAnswer(job);
  // All guards are counted when the job is leased, even if the first one finds a violation.
  const metrics = countGuards(job.metrics, hasText ? guardsOver("clean") : 0);
  const reset = { runAfter: "none", preferred: null, hasError: false, progress: null } as const;
  job.hasJustSaid = attempt > 1;
  const set = { state: "RUNNING", reason: "running", attempt, metrics, ...reset } as const;
  change(job, "STATE_CHANGED", agent(run), set, { attempt }, requirementOf(kind).capability);
  return { run, version: job.version };
}

/** Whether a person who sent it back, which ended the run before, said why. */
function isCommented({ runs }: Job): boolean {
  const before = runs.at(-2);
  return before?.endReason === "revised" && before.hasError;
}

const hasTextAnswer = ({ runs }: Job): boolean => runs.some(({ question }) => typeof question?.answer === "string");

/** Where the first text of a job is that poisons it; null where none does. Labels are guarded after the inputs. */
export function hostilePlace({ submit: { inputs }, labels }: Job): string | null {
  if (inputs === "hostile") return "jobInputs";
  return labels.some(({ value }) => value === HOSTILE) ? "labels.team" : null;
}

/** Poisons a leased job with hostile inputs or labels. The guards have already been counted. */
export function trap(world: World, job: Job): void {
  poison(world, job, injectionIn(null, hostilePlace(job) ?? ""), 0);
}

async function actual(real: Real, { job, worker: workerId }: Start): Promise<object> {
  const input = { jobId: real.jobId(job), workerId, leaseSeconds: 900 };
  const result = await startWorkflow(real.engine, real.workspaceOf(job), input);
  return real.answer(result, (started) => {
    const { version, attempt } = started.job;
    if (!("leaseToken" in started)) return { poisoned: real.numberOf(started.job), version };
    real.addClaim(started);
    return { taken: real.numberOf(started.job), attempt, version };
  });
}

const isQueued = ({ state }: Job): boolean => state === "QUEUED";
export const isDue = (job: Job): boolean => isQueued(job) && job.runAfter !== "ahead" && job.waitsFor === null;

/** Starts a due job. Used as the fallback where the drawn steps cannot be applied. */
export const startsDue: fc.Arbitrary<Draw> = fc.tuple(fc.nat(11), worker).map(
  ([back, name]): Draw =>
    ({ jobs }) => {
      const job = pickFrom(jobs, { back, wild: 0 }, isDue);
      return job === null ? null : start({ job, worker: name });
    },
);

export const starts = aboutJob(fc.record({ worker }), isQueued, (job, drawn) => start({ job, ...drawn }));
