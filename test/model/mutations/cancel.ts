import fc from "fast-check";
import { cancelAiJob } from "../../../src/workflow/cancel.ts";
import { SOMEBODY } from "../../support/engine.ts";
import type { Real } from "../real.ts";
import { type Answer, finish, illegal, NOT_FOUND, poisonedBefore } from "../rules.ts";
import { aboutJob, mutation } from "../step.ts";
import { type Job, PERSON, type World } from "../world.ts";

interface Cancel {
  readonly job: number;
}

/** A person stops a job that has not ended. */
export const cancel = mutation<Cancel>("cancel", { expected, actual });

function expected(world: World, { job: number }: Cancel): Answer {
  const job = world.jobs[number];
  if (!job) return NOT_FOUND;
  if (job.state === "POISONED") return poisonedBefore(job);
  if (!["QUEUED", "RUNNING", "STALLED", "AWAITING_VALIDATION", "AWAITING_USER"].includes(job.state)) {
    return illegal(job, "CANCELLED");
  }
  finish(job, PERSON, { state: "CANCELLED", reason: "cancelled", runAfter: "none", outputs: null });
  return { cancelled: job.number, version: job.version };
}

async function actual(real: Real, { job }: Cancel): Promise<object> {
  const input = { jobId: real.jobId(job), reason: "enough" };
  const result = await cancelAiJob(real.engine, real.workspaceId, SOMEBODY, input);
  return real.answer(result, (cancelled) => ({ cancelled: real.numberOf(cancelled), version: cancelled.version }));
}

const goesOn = ({ state }: Job): boolean => ["QUEUED", "RUNNING"].includes(state);

export const cancels = aboutJob(fc.constant({}), goesOn, (job) => cancel({ job }));
