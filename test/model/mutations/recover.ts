import fc from "fast-check";
import { recoverStalledRuns } from "../../../src/runs/recover.ts";
import type { Draw } from "../draw.ts";
import { afterFailure } from "../endings.ts";
import { SOME_TIME } from "../payload.ts";
import { takeProgress } from "../progress.ts";
import { mutation } from "../step.ts";
import { change, endRun, type Run, SYSTEM_ACTOR, type World } from "../world.ts";

/** Section 6, "Recovery": every running run without a lease is stalled; its job is queued again or fails. */
export const recover = mutation<null>("recover", {
  expected: (world) => ({ recovered: stall(world) }),
  actual: async ({ engine }) => ({ recovered: await recoverStalledRuns(engine) }),
});

const isLost = ({ state, leaseIsOver }: Run): boolean => state === "RUNNING" && leaseIsOver;

function stall(world: World): number {
  const lost = world.claims.filter(isLost);
  for (const run of lost) {
    const { job } = run;
    const taken = takeProgress(run);
    endRun(run, "STALLED", true, "lease_expired");
    const payload = {
      worker_id: run.worker,
      attempt: run.attempt,
      lease_expired_at: SOME_TIME,
      last_heartbeat: SOME_TIME,
    };
    change(
      job,
      "WORKFLOW_RECOVERY",
      SYSTEM_ACTOR,
      { ...taken, state: "STALLED", reason: "lease_expired", hasError: true },
      payload,
    );
    change(job, "STATE_CHANGED", SYSTEM_ACTOR, afterFailure(job, true, "lease_expired"));
  }
  return lost.length;
}

/** Mostly when a lease has expired. */
export const recovers: fc.Arbitrary<Draw> = fc.nat(9).map(
  (wild): Draw =>
    ({ claims }) =>
      wild === 0 || claims.some(isLost) ? recover(null) : null,
);
