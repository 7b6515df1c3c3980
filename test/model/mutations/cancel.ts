import fc from "fast-check";
import { cancelAiJob } from "../../../src/jobs/cancel.ts";
import { SOMEBODY } from "../../support/engine.ts";
import { aboutJob, mostly } from "../draw.ts";
import { below, CANCELLABLE, cancelOne } from "../endings.ts";
import { theJob } from "../payload.ts";
import type { Real } from "../real.ts";
import { type Answer, illegal, isRefusal, named } from "../rules.ts";
import { mutation } from "../step.ts";
import { type Job, PERSON, type World } from "../world.ts";

interface Cancel {
  readonly job: number;
  readonly includeChildren: boolean;
}

/** A person stops a job that has not ended, with those below it if that is asked for. */
export const cancel = mutation<Cancel>("cancel", { expected, actual });

function expected(world: World, { job: number, includeChildren }: Cancel): Answer {
  const job = named(world, number);
  if (isRefusal(job)) return job;
  if (!CANCELLABLE.includes(job.state)) return illegal(job, "CANCELLED");
  const others = includeChildren ? below(world, job).filter(({ state }) => CANCELLABLE.includes(state)) : [];
  cancelOne(job, PERSON, { detail: "enough" });
  for (const each of others) cancelOne(each, PERSON, { detail: "enough", cancelled_with: theJob(job) });
  return { cancelled: job.number, version: job.version };
}

async function actual(real: Real, { job, includeChildren }: Cancel): Promise<object> {
  const input = { jobId: real.jobId(job), reason: "enough", includeChildren };
  const result = await cancelAiJob(real.engine, real.workspaceOf(job), SOMEBODY, input);
  return real.answer(result, (cancelled) => ({ cancelled: real.numberOf(cancelled), version: cancelled.version }));
}

const canBe = ({ state }: Job): boolean => CANCELLABLE.includes(state);
const waits = ({ state }: Job): boolean => state === "AWAITING_VALIDATION" || state === "AWAITING_USER";

/** With its children mostly where it has some whose outputs wait for somebody: that is rare, and soon over. */
export const cancels = aboutJob(
  fc.record({ children: fc.constantFrom(...mostly(5, "waiting", "none", "some")) }),
  (job, world, { children }) => {
    if (children === "none") return canBe(job);
    return canBe(job) && below(world, job).some(children === "some" ? canBe : waits);
  },
  (job, { children }) => cancel({ job, includeChildren: children !== "none" }),
);
