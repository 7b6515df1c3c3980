import fc from "fast-check";
import { cancelAiJob } from "../../../src/jobs/cancel.ts";
import { SOMEBODY } from "../../support/engine.ts";
import { aboutJob, mostly } from "../draw.ts";
import { CANCELLABLE, cancelJob, descendantsOf } from "../endings.ts";
import { theJob } from "../payload.ts";
import type { Real } from "../real.ts";
import { type Answer, findNamedJob, illegal, isRefusal } from "../rules.ts";
import { mutation } from "../step.ts";
import { type Job, PERSON, type World } from "../world.ts";

interface Cancel {
  readonly job: number;
  readonly includeChildren: boolean;
}

/** A person cancels a job that has not ended, and its descendants on request. */
export const cancel = mutation<Cancel>("cancel", { expected, actual });

function expected(world: World, { job: number, includeChildren }: Cancel): Answer {
  const job = findNamedJob(world, number);
  if (isRefusal(job)) return job;
  if (!CANCELLABLE.includes(job.state)) return illegal(job, "CANCELLED");
  const others = includeChildren ? descendantsOf(world, job).filter(({ state }) => CANCELLABLE.includes(state)) : [];
  cancelJob(job, PERSON, { detail: "enough" });
  for (const each of others) cancelJob(each, PERSON, { detail: "enough", cancelled_with: theJob(job) });
  return { cancelled: job.number, version: job.version };
}

async function actual(real: Real, { job, includeChildren }: Cancel): Promise<object> {
  const input = { jobId: real.jobId(job), reason: "enough", includeChildren };
  const result = await cancelAiJob(real.engine, real.workspaceOf(job), SOMEBODY, input);
  return real.answer(result, (cancelled) => ({ cancelled: real.numberOf(cancelled), version: cancelled.version }));
}

const isCancellable = ({ state }: Job): boolean => CANCELLABLE.includes(state);
const awaitsDecision = ({ state }: Job): boolean => state === "AWAITING_VALIDATION" || state === "AWAITING_USER";

/** Mostly with children if one of them awaits a verdict or a person: random sequences rarely have that otherwise. */
export const cancels = aboutJob(
  fc.record({ children: fc.constantFrom(...mostly(5, "waiting", "none", "some")) }),
  (job, world, { children }) => {
    if (children === "none") return isCancellable(job);
    return isCancellable(job) && descendantsOf(world, job).some(children === "some" ? isCancellable : awaitsDecision);
  },
  (job, { children }) => cancel({ job, includeChildren: children !== "none" }),
);
