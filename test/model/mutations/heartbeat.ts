import fc from "fast-check";
import { heartbeatWorkflows } from "../../../src/workflow/heartbeat.ts";
import { metrics, type Real } from "../real.ts";
import { type Answer, admit, type Delta, grow, INVALID_INPUT, isRun, type Proof } from "../rules.ts";
import { byHolders, delta, mutation } from "../step.ts";
import { agent, change, type World } from "../world.ts";

type Heartbeat = Proof & { readonly delta: Delta };

/** Section 6, "Heartbeat": each judged by itself; one that adds nothing makes no version. */
export const heartbeat = mutation<readonly Heartbeat[]>("heartbeat", {
  expected: (world, batch) => batch.map((each) => expected(world, each)),
  actual,
});

function expected(world: World, beat: Heartbeat): Answer {
  const run = admit(world, beat, "RUNNING");
  if (!isRun(run)) return { told: run.directive, error: run };
  const { job } = run;
  const grown = grow(job.metrics, beat.delta);
  if (!grown) return { told: "CONTINUE", error: INVALID_INPUT };
  const adds = Object.values(beat.delta).some((value) => value !== 0);
  if (adds) change(job, "METRICS_RECORDED", agent(run), { metrics: grown });
  return { told: "CONTINUE", error: null };
}

async function actual(real: Real, batch: readonly Heartbeat[]): Promise<readonly object[]> {
  const answers = await heartbeatWorkflows(
    real.engine,
    batch.map((each) => ({ ...real.proof(each), leaseSeconds: 900, metrics: metrics(each.delta) })),
  );
  return answers.map(({ directive, error }) => ({ told: directive, error: error && real.refusal(error) }));
}

export const heartbeats = byHolders(3, fc.record({ delta }), heartbeat);
