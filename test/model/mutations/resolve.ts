import fc from "fast-check";
import type { JobState } from "../../../src/db/generated/client/enums.ts";
import type { JsonValue } from "../../../src/db/rows.ts";
import { resolveUserReview } from "../../../src/review/user-review.ts";
import { resolveValidation } from "../../../src/review/verdict.ts";
import { SOMEBODY } from "../../support/engine.ts";
import { aboutJob, mostly } from "../draw.ts";
import { endActive } from "../endings.ts";
import { redacted, SECRET, SOME_ID } from "../payload.ts";
import type { Real } from "../real.ts";
import {
  type Answer,
  deny,
  findNamedJob,
  INVALID_INPUT,
  illegal,
  isRefusal,
  missingCapability,
  requirementOf,
} from "../rules.ts";
import { mutation } from "../step.ts";
import { type Changes, change, type Job, latestRun, PERSON, type Question, type World } from "../world.ts";
import { timeOut } from "./ask.ts";

/** Section 6, "Validation and review": verdicts, and the decisions of a person. */

interface Verdict {
  readonly job: number;
  readonly verdict: "APPROVED" | "NEEDS_USER" | "REJECTED";
  readonly comment: string | null;
}

export const verdict = mutation<Verdict>("verdict", {
  expected: (world, { job: number, verdict: value, comment }) => {
    const to = ({ APPROVED: "COMPLETED", NEEDS_USER: "AWAITING_USER", REJECTED: "FAILED" } as const)[value];
    const made = { decision: value, comment };
    return resolve(world, number, "AWAITING_VALIDATION", to, (job) => {
      if (value === "NEEDS_USER") return settle(job, made, "AWAITING_USER", { waitsFor: "USER_REVIEW" });
      if (value === "APPROVED")
        return accept(world, job, made, job.issues.length === 0 ? "COMPLETED" : "COMPLETED_WITH_ISSUES");
      return settle(job, made, "FAILED", { reason: "rejected", outputs: null, hasError: true }, true, "rejected");
    });
  },
  actual: async (real, { job, verdict: value, comment }) => {
    const input = { jobId: real.jobId(job), verdict: value, comment };
    return answerOf(real, await resolveValidation(real.engine, real.workspaceOf(job), SOMEBODY, input));
  },
});

interface Review {
  readonly job: number;
  readonly decision: "ACCEPT" | "ACCEPT_WITH_ISSUES" | "REVISE" | "CANCEL" | "ANSWER";
  readonly comment: string | null;
  readonly answer: JsonValue;
}

const TO = {
  ACCEPT: "COMPLETED",
  ACCEPT_WITH_ISSUES: "COMPLETED_WITH_ISSUES",
  REVISE: "QUEUED",
  CANCEL: "CANCELLED",
  ANSWER: "QUEUED",
} as const;

/** What is open, by what the job waits for (section 13). */
const OPEN = {
  USER_REVIEW: ["ACCEPT", "ACCEPT_WITH_ISSUES", "REVISE", "CANCEL"],
  USER_INPUT: ["ANSWER", "CANCEL"],
} as const;

export const review = mutation<Review>("review", {
  expected: (world, { job: number, decision, comment, answer }) => {
    if ((answer !== null) !== (decision === "ANSWER")) return INVALID_INPUT;
    const asked = latestRun(world.jobs[number] ?? NO_JOB)?.question ?? null;
    const isWaiting = world.jobs[number]?.waitsFor === "USER_INPUT";
    // The answer is looked at before the job is locked.
    if (decision === "ANSWER" && isWaiting && asked && !fits(asked, answer)) return INVALID_INPUT;
    return resolve(world, number, "AWAITING_USER", TO[decision], (job) => {
      const made = { decision, comment };
      const hasWhy = comment !== null;
      const open: readonly string[] = job.waitsFor === "USER_INPUT" ? OPEN.USER_INPUT : OPEN.USER_REVIEW;
      if (!open.includes(decision)) return INVALID_INPUT;
      if (decision === "ANSWER") return settleAnswer(job, made, answer);
      if (decision === "REVISE") return settle(job, made, "QUEUED", sentBack(job), hasWhy, "revised");
      if (decision === "CANCEL") return settle(job, made, "CANCELLED", { outputs: null }, hasWhy);
      return accept(world, job, made, TO[decision]);
    });
  },
  actual: async (real, { job, decision, comment, answer }) => {
    const input = { jobId: real.jobId(job), decision, comment, answer };
    return answerOf(real, await resolveUserReview(real.engine, real.workspaceOf(job), SOMEBODY, input));
  },
});

interface Made {
  readonly decision: Verdict["verdict"] | Review["decision"];
  readonly comment: string | null;
}

function resolve(world: World, number: number, state: JobState, to: JobState, decide: (job: Job) => Answer): Answer {
  const job = findNamedJob(world, number);
  if (isRefusal(job)) return job;
  return job.state === state ? decide(job) : illegal(job, to);
}

const NO_JOB = { runs: [] };

const fits = ({ options }: Question, answer: JsonValue) =>
  options.length === 0 || options.some((option) => option === answer);

/** Section 13: the job goes back to its worker with the answer; past the limit it fails instead. */
function settleAnswer(job: Job, made: Made, answer: JsonValue): Answer {
  const run = latestRun(job);
  if (!run?.question) return INVALID_INPUT;
  if (run.question.limit === "passed") {
    timeOut(job);
    return { code: "ILLEGAL_TRANSITION", from: "FAILED", to: "QUEUED" };
  }
  run.question = { ...run.question, answer };
  const set = { ...sentBack(job), reason: "answered" };
  return settle(job, made, "QUEUED", set, made.comment !== null, "answered", null, { request_id: SOME_ID });
}

/** Applies the outputs if the capabilities still suffice. */
function accept(world: World, job: Job, made: Made, state: "COMPLETED" | "COMPLETED_WITH_ISSUES"): Answer {
  const missing = missingCapability(world, job);
  if (missing === null)
    return settle(job, made, state, {}, false, undefined, requirementOf(job.submit.kind).capability);
  endActive(job, "FAILED", true, "capability_denied");
  return deny(job, missing, "completion");
}

/** Sends the job back: it is reserved for the same worker for a while, and the attempt is not charged. */
function sentBack(job: Job): Changes {
  const preferred = { worker: latestRun(job)?.worker ?? "", isOver: false };
  return {
    reason: "revise",
    outputs: null,
    issues: [],
    runAfter: "none",
    unchargedAttempts: job.unchargedAttempts + 1,
    preferred,
  };
}

function settle(
  job: Job,
  { decision, comment }: Made,
  state: JobState,
  set: Changes,
  runHasError = false,
  why?: string,
  capability: string | null = null,
  more: object = {},
): Answer {
  endActive(job, state === "QUEUED" ? "CANCELLED" : state, runHasError, why);
  const payload = { decision: decision.toLowerCase(), comment: redacted(comment), ...more };
  change(job, "STATE_CHANGED", PERSON, { state, reason: state.toLowerCase(), ...set }, payload, capability);
  return { resolved: job.number, state, version: job.version };
}

type Result = Awaited<ReturnType<typeof resolveUserReview>>;

function answerOf(real: Real, result: Result): object {
  return real.answer(result, (job) => ({ resolved: real.numberOf(job), state: job.state, version: job.version }));
}

const comment = fc.constantFrom(null, "the dates are wrong", `ask with ${SECRET}`);

export const verdicts = aboutJob(
  fc.record({
    verdict: fc.constantFrom<Verdict["verdict"][]>("NEEDS_USER", "NEEDS_USER", "NEEDS_USER", "APPROVED", "REJECTED"),
    comment,
  }),
  ({ state }) => state === "AWAITING_VALIDATION",
  (job, drawn) => verdict({ job, ...drawn }),
);

export const reviews = aboutJob(
  fc.record({
    decision: fc.constantFrom<Review["decision"][]>("REVISE", "REVISE", "ACCEPT", "ACCEPT_WITH_ISSUES", "CANCEL"),
    answer: fc.constantFrom<JsonValue[]>("yes", "yes", "no", { send: true }, null),
    comment,
    /** Decides also what is not open, or with an answer where there is none. */
    hasty: fc.constantFrom(...mostly(6, false, true)),
  }),
  ({ state }) => state === "AWAITING_USER",
  (job, { hasty, ...drawn }) => (hasty ? review({ job, ...drawn }) : review({ job, ...drawn, answer: null })),
);

/** Mostly of a job that waits for an answer. */
export const answers = aboutJob(
  fc.record({ answer: fc.constantFrom<JsonValue[]>("yes", "yes", "yes", "no", { send: true }, null), comment }),
  ({ waitsFor }) => waitsFor === "USER_INPUT",
  (job, drawn) => review({ job, decision: "ANSWER", ...drawn }),
);
