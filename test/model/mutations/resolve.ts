import fc from "fast-check";
import type { JobState } from "../../../src/db/generated/client/enums.ts";
import { resolveUserReview } from "../../../src/review/user-review.ts";
import { resolveValidation } from "../../../src/review/verdict.ts";
import { SOMEBODY } from "../../support/engine.ts";
import { aboutJob } from "../draw.ts";
import { endActive } from "../endings.ts";
import { redacted, SECRET } from "../payload.ts";
import type { Real } from "../real.ts";
import { type Answer, deny, findNamedJob, illegal, isRefusal, missingCapability, requirementOf } from "../rules.ts";
import { mutation } from "../step.ts";
import { type Changes, change, type Job, latestRun, PERSON, type World } from "../world.ts";

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
      if (value === "NEEDS_USER") return settle(job, made, "AWAITING_USER", {});
      if (value === "APPROVED")
        return accept(world, job, made, job.issues.length === 0 ? "COMPLETED" : "COMPLETED_WITH_ISSUES");
      return settle(job, made, "FAILED", { reason: "rejected", outputs: null, hasError: true }, true);
    });
  },
  actual: async (real, { job, verdict: value, comment }) => {
    const input = { jobId: real.jobId(job), verdict: value, comment };
    return answerOf(real, await resolveValidation(real.engine, real.workspaceOf(job), SOMEBODY, input));
  },
});

interface Review {
  readonly job: number;
  readonly decision: "ACCEPT" | "ACCEPT_WITH_ISSUES" | "REVISE" | "CANCEL";
  readonly comment: string | null;
}

const TO = {
  ACCEPT: "COMPLETED",
  ACCEPT_WITH_ISSUES: "COMPLETED_WITH_ISSUES",
  REVISE: "QUEUED",
  CANCEL: "CANCELLED",
} as const;

export const review = mutation<Review>("review", {
  expected: (world, { job: number, decision, comment }) =>
    resolve(world, number, "AWAITING_USER", TO[decision], (job) => {
      const made = { decision, comment };
      const hasWhy = comment !== null;
      if (decision === "REVISE") return settle(job, made, "QUEUED", sentBack(job), hasWhy);
      if (decision === "CANCEL") return settle(job, made, "CANCELLED", { outputs: null }, hasWhy);
      return accept(world, job, made, TO[decision]);
    }),
  actual: async (real, { job, decision, comment }) => {
    const input = { jobId: real.jobId(job), decision, comment };
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

/** Applies the outputs if the capabilities still suffice. */
function accept(world: World, job: Job, made: Made, state: "COMPLETED" | "COMPLETED_WITH_ISSUES"): Answer {
  const missing = missingCapability(world, job);
  if (missing === null) return settle(job, made, state, {}, false, requirementOf(job.submit.kind).capability);
  endActive(job, "FAILED", true);
  return deny(job, missing, "completion");
}

/** Sends the job back: it is reserved for the same worker for a while, and the attempt is not charged. */
function sentBack(job: Job): Changes {
  const preferred = { worker: latestRun(job)?.worker ?? "", isOver: false };
  return { reason: "revise", outputs: null, issues: [], runAfter: "none", revisions: job.revisions + 1, preferred };
}

function settle(
  job: Job,
  { decision, comment }: Made,
  state: JobState,
  set: Changes,
  runHasError = false,
  capability: string | null = null,
): Answer {
  endActive(job, state === "QUEUED" ? "CANCELLED" : state, runHasError);
  const payload = { decision: decision.toLowerCase(), comment: redacted(comment) };
  change(job, "STATE_CHANGED", PERSON, { state, reason: state.toLowerCase(), ...set }, payload, capability);
  return { resolved: job.number, state, version: job.version };
}

type Result = Awaited<ReturnType<typeof resolveValidation>>;

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
    comment,
  }),
  ({ state }) => state === "AWAITING_USER",
  (job, drawn) => review({ job, ...drawn }),
);
