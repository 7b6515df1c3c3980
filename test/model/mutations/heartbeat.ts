import fc from "fast-check";
import { heartbeatWorkflows } from "../../../src/runs/heartbeat.ts";
import { delta, progress, reportBatchStep, reportId } from "../draw.ts";
import { failByPolicy, mayWrite, poison } from "../endings.ts";
import { injectionIn } from "../payload.ts";
import { isHostile, isVersion, takeProgress } from "../progress.ts";
import { metrics, type Real } from "../real.ts";
import { admit, type Report, remember } from "../reports.ts";
import {
  type Answer,
  type Delta,
  grow,
  guardsOver,
  INVALID_INPUT,
  isOverBudget,
  isRefusal,
  jobPoisoned,
  type Refusal,
  use,
} from "../rules.ts";
import { report } from "../step.ts";
import { agent, change, type Progress, type Run, type World } from "../world.ts";

type Heartbeat = Report & { readonly delta: Delta; readonly progress: Progress | null };

/** Sections 6 and 13: heartbeats. Each is decided on its own; one that adds no metrics and says nothing new makes no version. */
export const heartbeat = report<readonly Heartbeat[]>("heartbeat", {
  expected: (world, batch) => {
    // All are guarded before any is stored.
    const poisoned = batch.map((each) => poisonedBy(world, each));
    return batch.map((each, index) => toAnswer(poisoned[index] ?? expected(world, each)));
  },
  actual,
});

/** The answer to a heartbeat whose message poisons its job; null for any other. */
function poisonedBy(world: World, beat: Heartbeat): Refusal | null {
  if (!isHostile(beat.progress)) return null;
  const judged = admit(world, "heartbeat", beat, "RUNNING", false);
  if (judged === INVALID_INPUT) return null;
  if (isRefusal(judged)) return judged;
  if (judged.earlier) return null;
  poison(world, judged.job, injectionIn(null, "progress.message"), guardsOver("hostile"));
  return jobPoisoned(judged.job, "STOP_POISONED");
}

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
  if (adds || (beat.progress && isVersion(run, beat.progress))) {
    const set = { metrics: grown, ...takeProgress(run, beat.progress) };
    change(job, "METRICS_RECORDED", agent(run), set, adds ? { delta: added, ...cost } : {});
  }
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
    batch.map((each) => ({
      ...real.proof(each),
      leaseSeconds: 900,
      metrics: metrics(each.delta),
      ...(each.progress === null ? {} : { progress: each.progress }),
    })),
  );
  return answers.map(({ directive, error }) => ({ directive, error: error && real.refusal(error) }));
}

export const heartbeats = reportBatchStep(3, fc.record({ reportId, delta, progress }), heartbeat);
