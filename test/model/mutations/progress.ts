import fc from "fast-check";
import { recordProgress } from "../../../src/runs/record-progress.ts";
import { type Draw, pickFrom } from "../draw.ts";
import { isDue, takeProgress } from "../progress.ts";
import { mutation } from "../step.ts";
import { agent, change, type Job, latestRun, type World } from "../world.ts";

/** Time passes: a second since a job last said something of its progress. */
export const secondPasses = mutation<{ readonly job: number }>("secondPasses", {
  expected: (world, { job: number }) => {
    const job = world.jobs[number];
    if (job) job.hasJustSaid = false;
    return {};
  },
  actual: async (real, { job }) => {
    await real.passSecond(job);
    return {};
  },
});

/** The sweep: every progress that waits, and whose second has passed, is a version in the name of its worker. */
export const record = mutation<null>("record", {
  expected: (world) => {
    const due = dueJobs(world);
    for (const job of due) {
      const run = latestRun(job);
      if (run) change(job, "METRICS_RECORDED", agent(run), takeProgress(run));
    }
    return { recorded: due.length };
  },
  actual: async ({ engine }) => ({ recorded: await recordProgress(engine) }),
});

const hasDue = (job: Job): boolean => job.runs.some((run) => isDue(job, run));
const dueJobs = ({ jobs }: World): readonly Job[] => jobs.filter(hasDue);

/** Mostly where something waits. */
export const secondsPass: fc.Arbitrary<Draw> = fc.tuple(fc.nat(11), fc.nat(3)).map(
  ([back, any]): Draw =>
    ({ jobs }) => {
      const isSuitable = (each: Job) => each.hasJustSaid && (any === 0 || latestRun(each)?.waiting != null);
      const job = pickFrom(jobs, { back, wild: 0 }, isSuitable);
      return job === null ? null : secondPasses({ job });
    },
);

/** Mostly when there is something to record. */
export const records: fc.Arbitrary<Draw> = fc.nat(9).map(
  (wild): Draw =>
    (world) =>
      wild === 0 || dueJobs(world).length > 0 ? record(null) : null,
);
