import fc from "fast-check";
import { wakeParents } from "../../../src/runs/children.ts";
import type { Draw } from "../draw.ts";
import { mutation } from "../step.ts";
import { change, hasEnded, type Job, SYSTEM_ACTOR, type World } from "../world.ts";

/** Section 13: every job that waits for its children, all of which have ended, waits for a worker again. */
export const wake = mutation<null>("wake", {
  expected: (world) => {
    const ready = world.jobs.filter((job) => isReady(world, job));
    for (const job of ready) change(job, "STATE_CHANGED", SYSTEM_ACTOR, { state: "QUEUED", reason: "children_ended" });
    return { woken: ready.length };
  },
  actual: async ({ engine }) => ({ woken: await wakeParents(engine) }),
});

function isReady({ jobs }: World, job: Job): boolean {
  return job.waitsFor === "CHILDREN" && jobs.every((other) => other.parent !== job || hasEnded(other));
}

/** Mostly when a job can be woken. */
export const wakes: fc.Arbitrary<Draw> = fc.nat(9).map(
  (wild): Draw =>
    (world) =>
      wild === 0 || world.jobs.some((job) => isReady(world, job)) ? wake(null) : null,
);
