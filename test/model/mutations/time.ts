import fc from "fast-check";
import { type Draw, mutation, pickFrom } from "../step.ts";
import { holdsLease, type Job } from "../world.ts";

/** Time passes: this lease ends. */
export const leaseEnds = mutation<{ readonly claim: number }>("leaseEnds", {
  expected: (world, { claim }) => {
    const run = world.claims[claim];
    if (run) run.leaseIsOver = true;
    return {};
  },
  actual: async (real, { claim }) => {
    await real.endLease(claim);
    return {};
  },
});

/** Time passes: this job, which waited, is due. */
export const waitEnds = mutation<{ readonly job: number }>("waitEnds", {
  expected: (world, { job: number }) => {
    const job = world.jobs[number];
    if (job) job.runAfter = "passed";
    return {};
  },
  actual: async (real, { job }) => {
    await real.setDue(job, "passed");
    return {};
  },
});

const waits = ({ state, runAfter }: Job): boolean => state === "QUEUED" && runAfter === "ahead";

export const leasesEnd: fc.Arbitrary<Draw> = fc.nat(11).map(
  (back): Draw =>
    ({ claims }) => {
      const claim = pickFrom(claims, { back, wild: 0 }, holdsLease);
      return claim === null ? null : leaseEnds({ claim });
    },
);

export const waitsEnd: fc.Arbitrary<Draw> = fc.nat(11).map(
  (back): Draw =>
    ({ jobs }) => {
      const job = pickFrom(jobs, { back, wild: 0 }, waits);
      return job === null ? null : waitEnds({ job });
    },
);
