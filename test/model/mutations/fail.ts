import fc from "fast-check";
import { failWorkflow } from "../../support/reports.ts";
import { delta, reportId, reportStep } from "../draw.ts";
import { afterFailure, failByPolicy, mayWrite } from "../endings.ts";
import { redacted, SECRET, SOME_TEXT } from "../payload.ts";
import { takeProgress } from "../progress.ts";
import { metrics, type Real } from "../real.ts";
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
  use,
} from "../rules.ts";
import { report } from "../step.ts";
import { agent, change, endRun, type World } from "../world.ts";

interface Failure extends Report {
  readonly retryable: boolean;
  /** Hours ahead before when it is not tried again; null for no such time. */
  readonly retryAfter: number | null;
  readonly delta: Delta;
}

const ERROR_MESSAGE = `refused: ${SECRET}`;

/** A worker gives up a run: the job is retried if the failure is retryable and attempts are left. */
export const fail = report<Failure>("fail", { expected, actual });

function expected(world: World, input: Failure): Answer {
  const judged = admit(world, "fail", input, "FAILED", true);
  if (isRefusal(judged)) return judged;
  const { run, job, earlier: kept } = judged;
  if (!kept) {
    if (!mayWrite(job, input.delta.entitiesWritten ?? 0)) {
      const violation = failByPolicy.accessMode(run);
      remember(run, "fail", input, violation);
      return violation;
    }
    if ((input.retryAfter ?? 0) > 24) return INVALID_INPUT;
    const added = grow(job.metrics, input.delta);
    if (!added) return INVALID_INPUT;
    const grown = countGuards(added, guardsOver("clean"));
    const cost = use(run, input.delta);
    // A job over its budget is not retried. The report is answered as the failure that it is, not as a violation.
    const isOver = isOverBudget(job, grown);
    const after = afterFailure(job, input.retryable && !isOver, isOver ? "budget_exceeded" : "failed_by_worker");
    const taken = takeProgress(run);
    endRun(run, "FAILED", true);
    const why = { retryable: input.retryable, error_message: redacted(ERROR_MESSAGE) };
    const more = isOver ? { ace_code: "ACE-001", detail: SOME_TEXT } : {};
    const payload = { ...why, ...more, ...cost };
    change(job, "STATE_CHANGED", agent(run), { ...after, ...taken, hasError: true, metrics: grown }, payload);
    remember(run, "fail", input, null);
  }
  return { failed: job.number, state: job.state, version: job.version };
}

async function actual(real: Real, input: Failure): Promise<object> {
  const result = await failWorkflow(real.engine, {
    ...real.proof(input),
    errorMessage: ERROR_MESSAGE,
    retryable: input.retryable,
    retryAfter: input.retryAfter === null ? null : hoursAhead(input.retryAfter),
    metrics: metrics(input.delta),
  });
  return real.answer(result, ({ job }) => ({ failed: real.numberOf(job), state: job.state, version: job.version }));
}

/** The same for equal reports, which may be sent again: to the hour of this process's start. */
const STARTED = Date.now();
const hoursAhead = (hours: number) => new Date(STARTED + hours * 3_600_000);

const failure = fc.record({
  reportId,
  retryable: fc.constantFrom(true, true, false),
  retryAfter: fc.constantFrom(null, null, null, -1, 2, 48),
  delta,
});

export const fails = reportStep(failure, (proof, drawn) => fail({ ...proof, ...drawn }));
