import fc from "fast-check";
import { failUnansweredJobs } from "../../../src/review/user-input-timeout.ts";
import { requestUserInput } from "../../../src/runs/ask.ts";
import { HOSTILE } from "../../support/jobs.ts";
import { passAnswerLimit } from "../../support/review.ts";
import { type Draw, delta, mostly, pickFrom, reportId, reportStep } from "../draw.ts";
import { failByPolicy, mayWrite, poison } from "../endings.ts";
import { injectionIn, SOME_ID } from "../payload.ts";
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
  type Refusal,
  use,
} from "../rules.ts";
import { mutation, report } from "../step.ts";
import {
  agent,
  change,
  endRun,
  type Job,
  latestRun,
  type Metrics,
  type Run,
  SYSTEM_ACTOR,
  type World,
} from "../world.ts";

interface Ask extends Report {
  readonly isHostile: boolean;
  readonly options: readonly string[];
  readonly limited: boolean;
  readonly delta: Delta;
}

/** Section 13: a worker asks a person, and its lease ends. */
export const ask = report<Ask>("ask", { expected, actual });

function expected(world: World, input: Ask): Answer {
  const judged = admit(world, "ask", input, "AWAITING_USER", true);
  if (isRefusal(judged)) return judged;
  const { run, job, earlier: kept } = judged;
  if (!kept) {
    if (input.isHostile) {
      poison(world, job, injectionIn(null, "question"), guardsOver("hostile"));
      return { poisoned: job.number, version: job.version };
    }
    const outcome = decide(run, input);
    if (outcome === INVALID_INPUT) return outcome;
    const violation = isRefusal(outcome) ? outcome : null;
    remember(run, "ask", input, violation);
    if (violation) return violation;
  }
  return { asked: job.number, state: job.state, version: job.version };
}

function decide(run: Run, { options, limited, delta: more }: Ask): Metrics | Refusal {
  const { job } = run;
  if (!mayWrite(job, more.entitiesWritten ?? 0)) return failByPolicy.accessMode(run);
  const added = grow(job.metrics, more);
  if (!added) return INVALID_INPUT;
  const grown = countGuards(added, guardsOver("clean"));
  const cost = use(run, more);
  if (isOverBudget(job, grown)) return failByPolicy.budget(run, grown, cost);
  const taken = takeProgress(run);
  endRun(run, "AWAITING_USER", false);
  run.question = { options, limit: limited ? "ahead" : "none", answer: null };
  const set = {
    ...taken,
    state: "AWAITING_USER",
    reason: "user_input_requested",
    waitsFor: "USER_INPUT",
    hasError: false,
    metrics: grown,
  } as const;
  change(job, "STATE_CHANGED", agent(run), set, { request_id: SOME_ID, ...cost });
  return grown;
}

async function actual(real: Real, input: Ask): Promise<object> {
  const result = await requestUserInput(real.engine, {
    ...real.proof(input),
    question: input.isHostile ? HOSTILE : "Send it?",
    payload: null,
    options: input.options,
    answerSchema: null,
    expiresAt: input.limited ? LATER : null,
    metrics: metrics(input.delta),
  });
  return real.answer(result, (asked) => {
    const { version, state } = asked.job;
    return "request" in asked
      ? { asked: real.numberOf(asked.job), state, version }
      : { poisoned: real.numberOf(asked.job), version };
  });
}

const question = fc.record({
  reportId,
  isHostile: fc.constantFrom(...mostly(12, false, true)),
  options: fc.constantFrom<string[][]>([], ["yes", "no"]),
  limited: fc.boolean(),
  delta,
});

export const asks = reportStep(question, (proof, drawn) => ask({ ...proof, ...drawn }));

/** The answer did not come in time: the job fails. */
export function timeOut(job: Job): void {
  const run = latestRun(job);
  if (run) endRun(run, "FAILED", true, "user_input_timeout");
  const set = { state: "FAILED", reason: "user_input_timeout", hasError: true } as const;
  change(job, "STATE_CHANGED", SYSTEM_ACTOR, set);
}

const isOverdue = (job: Job): boolean => job.waitsFor === "USER_INPUT" && latestRun(job)?.question?.limit === "passed";

/** The sweep: every job whose time limit has passed fails. */
export const endWaits = mutation<null>("endWaits", {
  expected: (world) => {
    const overdue = world.jobs.filter(isOverdue);
    for (const job of overdue) timeOut(job);
    return { failed: overdue.length };
  },
  actual: async ({ engine }) => ({ failed: await failUnansweredJobs(engine) }),
});

/** Time passes: the time limit of a question comes. */
export const limitPasses = mutation<{ readonly job: number }>("limitPasses", {
  expected: (world, { job: number }) => {
    const run = latestRun(world.jobs[number] ?? { runs: [] });
    if (run?.question) run.question = { ...run.question, limit: "passed" };
    return {};
  },
  actual: async (real, { job }) => {
    await passAnswerLimit(real.engine, real.jobId(job));
    return {};
  },
});

const isLimited = (job: Job): boolean => job.waitsFor === "USER_INPUT" && latestRun(job)?.question?.limit === "ahead";

export const limitsPass: fc.Arbitrary<Draw> = fc.nat(11).map(
  (back): Draw =>
    ({ jobs }) => {
      const job = pickFrom(jobs, { back, wild: 0 }, isLimited);
      return job === null ? null : limitPasses({ job });
    },
);

/** Mostly when a limit has passed. */
export const endsWaits: fc.Arbitrary<Draw> = fc.nat(9).map(
  (wild): Draw =>
    ({ jobs }) =>
      wild === 0 || jobs.some(isOverdue) ? endWaits(null) : null,
);
