import fc from "fast-check";
import { heartbeatWorkflows } from "../../../src/runs/heartbeat.ts";
import { delta, reportBatchStep, reportId } from "../draw.ts";
import { failByPolicy, mayWrite } from "../endings.ts";
import { metrics, type Real } from "../real.ts";
import { admit, type Report, remember } from "../reports.ts";
import { type Answer, type Delta, grow, INVALID_INPUT, isOverBudget, isRefusal, type Refusal, use } from "../rules.ts";
import { report } from "../step.ts";
import { agent, change, type Run, type World } from "../world.ts";

type Heartbeat = Report & { readonly delta: Delta };

/** Section 6: heartbeats. Each is decided on its own; one that adds no metrics makes no version. */
export const heartbeat = report<readonly Heartbeat[]>("heartbeat", {
  expected: (world, batch) => batch.map((each) => toAnswer(expected(world, each))),
  actual,
});

function expected(world: World, beat: Heartbeat): Refusal | null {
  const judged = admit(world, "heartbeat", beat, "RUNNING", false);
  if (isRefusal(judged)) return judged;
  const { run, job, earlier } = judged;
  if (earlier) return null;
  if (!mayWrite(job, beat.delta.entitiesWritten ?? 0)) return counted(run, beat, failByPolicy.accessMode(run));
  const grown = grow(job.metrics, beat.delta);
  if (!grown) return INVALID_INPUT;
  const adds = Object.values(beat.delta).some((value) => value !== 0);
  const cost = use(run, beat.delta);
  const { usage: _calls, ...added } = metrics(beat.delta);
  if (adds) change(job, "METRICS_RECORDED", agent(run), { metrics: grown }, { delta: added, ...cost });
  return counted(run, beat, adds && isOverBudget(job, grown) ? failByPolicy.budget(run, grown) : null);
}

function counted(run: Run, beat: Heartbeat, violation: Refusal | null): Refusal | null {
  remember(run, "heartbeat", beat, violation);
  return violation;
}

/** Invalid metrics, or a report id of another report, are an error but no reason to stop. */
function toAnswer(error: Refusal | null): Answer {
  return { directive: error === null || error === INVALID_INPUT ? "CONTINUE" : error.directive, error };
}

async function actual(real: Real, batch: readonly Heartbeat[]): Promise<readonly object[]> {
  const answers = await heartbeatWorkflows(
    real.engine,
    batch.map((each) => ({ ...real.proof(each), leaseSeconds: 900, metrics: metrics(each.delta) })),
  );
  return answers.map(({ directive, error }) => ({ directive, error: error && real.refusal(error) }));
}

export const heartbeats = reportBatchStep(3, fc.record({ reportId, delta }), heartbeat);
