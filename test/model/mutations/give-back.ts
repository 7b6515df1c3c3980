import fc from "fast-check";
import { releaseWorkflows } from "../../../src/runs/give-back.ts";
import { HOSTILE } from "../../support/jobs.ts";
import { delta, mostly, reportId, reportStep } from "../draw.ts";
import { failByPolicy, mayWrite, poison } from "../endings.ts";
import { injectionIn, redacted, SECRET, SOME_TIME } from "../payload.ts";
import { takeProgress } from "../progress.ts";
import { LATER, metrics, type Real } from "../real.ts";
import { admit, type Report, remember } from "../reports.ts";
import {
  type Answer,
  countGuards,
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
import { agent, change, endRun, type Metrics, type Run, type World } from "../world.ts";

interface GiveBack extends Report {
  readonly isHostile: boolean;
  readonly later: boolean;
  readonly untilChildrenEnd: boolean;
  readonly delta: Delta;
}

const REASON = `the deploy of ${SECRET}`;

/** Section 13: a worker gives a job back; the attempt is not charged. */
export const giveBack = report<GiveBack>("giveBack", { expected, actual });

function expected(world: World, input: GiveBack): Answer {
  const judged = admit(world, "giveBack", input, "QUEUED", true);
  if (isRefusal(judged)) return judged;
  const { run, job, earlier: kept } = judged;
  if (!kept) {
    if (input.isHostile) {
      poison(world, job, injectionIn(null, "reason"), guardsOver("hostile"));
      return jobPoisoned(job, "STOP_POISONED");
    }
    const outcome = decide(run, input);
    if (outcome === INVALID_INPUT) return outcome;
    const violation = isRefusal(outcome) ? outcome : null;
    remember(run, "giveBack", input, violation);
    if (violation) return violation;
  }
  return { givenBack: job.number, state: job.state, version: job.version };
}

function decide(run: Run, { later, untilChildrenEnd, delta: more }: GiveBack): Metrics | Refusal {
  const { job } = run;
  if (!mayWrite(job, more.entitiesWritten ?? 0)) return failByPolicy.accessMode(run);
  if (later && untilChildrenEnd) return INVALID_INPUT;
  const added = grow(job.metrics, more);
  if (!added) return INVALID_INPUT;
  const grown = countGuards(added, guardsOver("clean"));
  const cost = use(run, more);
  if (isOverBudget(job, grown)) return failByPolicy.budget(run, grown, cost);
  const taken = takeProgress(run);
  endRun(run, "CANCELLED", true, "released");
  change(
    job,
    "STATE_CHANGED",
    agent(run),
    {
      ...taken,
      state: "QUEUED",
      reason: "released",
      waitsFor: untilChildrenEnd ? "CHILDREN" : null,
      runAfter: later ? "ahead" : "none",
      releases: job.releases + 1,
      unchargedAttempts: job.unchargedAttempts + 1,
      hasError: false,
      metrics: grown,
    },
    {
      detail: redacted(REASON),
      ...cost,
      ...(later ? { run_after: SOME_TIME } : {}),
      ...(untilChildrenEnd ? { waits_for: "children" } : {}),
    },
  );
  return grown;
}

async function actual(real: Real, input: GiveBack): Promise<object> {
  const [result] = await releaseWorkflows(real.engine, [
    {
      ...real.proof(input),
      reason: input.isHostile ? HOSTILE : REASON,
      runAfter: input.later ? LATER : null,
      untilChildrenEnd: input.untilChildrenEnd,
      metrics: metrics(input.delta),
    },
  ]);
  if (!result) throw new Error("One report has one answer.");
  return real.answer(result, ({ job }) => ({ givenBack: real.numberOf(job), state: job.state, version: job.version }));
}

const release = fc.record({
  reportId,
  isHostile: fc.constantFrom(...mostly(12, false, true)),
  later: fc.constantFrom(...mostly(3, false, true)),
  untilChildrenEnd: fc.constantFrom(false, true),
  delta,
});

export const givesBack = reportStep(release, (proof, drawn) => giveBack({ ...proof, ...drawn }));
