import fc from "fast-check";
import { retryAiJob } from "../../../src/jobs/retry.ts";
import { SOMEBODY } from "../../support/engine.ts";
import { aboutJob } from "../draw.ts";
import { checkRetryable, retryJob } from "../endings.ts";
import type { Real } from "../real.ts";
import { type Answer, findNamedJob, isRefusal } from "../rules.ts";
import { mutation } from "../step.ts";
import { PERSON, type World } from "../world.ts";

interface Retry {
  readonly job: number;
}

/** A person retries a failed or stalled job, even if no attempts are left. */
export const retry = mutation<Retry>("retry", { expected, actual });

function expected(world: World, { job: number }: Retry): Answer {
  const job = findNamedJob(world, number);
  if (isRefusal(job)) return job;
  const refusal = checkRetryable(job);
  if (refusal) return refusal;
  retryJob(job, PERSON);
  return { retried: job.number, version: job.version };
}

async function actual(real: Real, { job }: Retry): Promise<object> {
  const result = await retryAiJob(real.engine, real.workspaceOf(job), SOMEBODY, real.jobId(job));
  return real.answer(result, (retried) => ({ retried: real.numberOf(retried), version: retried.version }));
}

export const retries = aboutJob(
  fc.constant({}),
  ({ state }) => state === "FAILED",
  (job) => retry({ job }),
);
