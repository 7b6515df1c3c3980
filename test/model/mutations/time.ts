import fc from "fast-check";
import { type Draw, pickFrom } from "../draw.ts";
import { mutation, type Step } from "../step.ts";
import { holdsLease, type Job } from "../world.ts";

/** Time passes: a lease expires. */
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

/** Time passes: a waiting job becomes due. */
export const waitEnds = mutation<{ readonly job: number }>("waitEnds", {
  expected: (world, { job: number }) => {
    const job = world.jobs[number];
    if (job) job.runAfter = "passed";
    return {};
  },
  actual: async (real, { job }) => {
    await real.passTime("run_after", job);
    return {};
  },
});

/** Time passes: a job that was sent back is no longer reserved for its worker. */
export const preferenceEnds = mutation<{ readonly job: number }>("preferenceEnds", {
  expected: (world, { job: number }) => {
    const job = world.jobs[number];
    if (job?.preferred) job.preferred = { ...job.preferred, isOver: true };
    return {};
  },
  actual: async (real, { job }) => {
    await real.passTime("preferred_until", job);
    return {};
  },
});

const waits = ({ state, runAfter }: Job): boolean => state === "QUEUED" && runAfter === "ahead";
const isKept = ({ state, preferred }: Job): boolean => state === "QUEUED" && preferred?.isOver === false;

export const leasesEnd: fc.Arbitrary<Draw> = fc.nat(11).map(
  (back): Draw =>
    ({ claims }) => {
      const claim = pickFrom(claims, { back, wild: 0 }, holdsLease);
      return claim === null ? null : leaseEnds({ claim });
    },
);

export const waitsEnd = ofJob(waits, waitEnds);
export const preferencesEnd = ofJob(isKept, preferenceEnds);

function ofJob(isSuitable: (job: Job) => boolean, make: (input: { readonly job: number }) => Step): fc.Arbitrary<Draw> {
  return fc.nat(11).map(
    (back): Draw =>
      ({ jobs }) => {
        const job = pickFrom(jobs, { back, wild: 0 }, isSuitable);
        return job === null ? null : make({ job });
      },
  );
}
