import fc from "fast-check";
import { startWorkflow } from "../../../src/workflow/start.ts";
import type { Real } from "../real.ts";
import {
  type Answer,
  countGuards,
  deny,
  guardsOver,
  illegal,
  lacks,
  NOT_FOUND,
  needOf,
  poison,
  poisonedBefore,
} from "../rules.ts";
import { aboutJob, type Draw, mutation, pickFrom, worker } from "../step.ts";
import { agent, change, type Job, type Run, type World } from "../world.ts";

interface Start {
  readonly job: number;
  readonly worker: string;
}

/** Section 6, "Claim", of one named job. */
export const start = mutation<Start>("start", { expected, actual });

function expected(world: World, { job: number, worker: name }: Start): Answer {
  const job = world.jobs[number];
  if (!job) return NOT_FOUND;
  if (job.state === "POISONED") return poisonedBefore(job);
  if (job.state !== "QUEUED") return illegal(job, "RUNNING");
  if (job.runAfter === "ahead") return { code: "TRY_AGAIN" };
  const missing = lacks(world, job);
  return missing === null ? take(world, job, name) : deny(job, missing);
}

/** The inputs are guarded before the token is handed out: where they trip, nobody gets it. */
function take(world: World, job: Job, name: string): Answer {
  const attempt = job.attempt + 1;
  const run: Run = { job, attempt, worker: name, state: "RUNNING", leaseIsOver: false, hasError: false, nodes: [] };
  job.runs.push(run);
  const { inputs, kind } = job.submit;
  change(
    job,
    "STATE_CHANGED",
    agent(run),
    {
      state: "RUNNING",
      reason: "running",
      attempt,
      runAfter: "none",
      hasError: false,
      metrics: countGuards(job.metrics, guardsOver(inputs)),
    },
    needOf(kind).capability,
  );
  if (inputs === "hostile") {
    poison(job, "prompt_injection", 0);
    return { poisoned: job.number, version: job.version };
  }
  world.claims.push(run);
  return { taken: job.number, attempt, version: job.version };
}

async function actual(real: Real, { job, worker: workerId }: Start): Promise<object> {
  const input = { jobId: real.jobId(job), workerId, leaseSeconds: 900 };
  const result = await startWorkflow(real.engine, real.workspaceId, input);
  return real.answer(result, (started) => {
    const { version, attempt } = started.job;
    if (!("leaseToken" in started)) return { poisoned: real.numberOf(started.job), version };
    real.keep(started);
    return { taken: real.numberOf(started.job), attempt, version };
  });
}

const isQueued = ({ state }: Job): boolean => state === "QUEUED";
const isDue = (job: Job): boolean => isQueued(job) && job.runAfter !== "ahead";

/** Of a job that is due, and of no other: what goes on where a step that was drawn has nothing to be done to. */
export const startsDue: fc.Arbitrary<Draw> = fc.tuple(fc.nat(11), worker).map(
  ([back, name]): Draw =>
    ({ jobs }) => {
      const job = pickFrom(jobs, { back, wild: 0 }, isDue);
      return job === null ? null : start({ job, worker: name });
    },
);

export const starts = aboutJob(fc.record({ worker }), isQueued, (job, drawn) => start({ job, ...drawn }));
