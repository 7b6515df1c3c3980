import fc from "fast-check";
import { SYSTEM_ACTOR as SERVER } from "../../../src/log/event.ts";
import { aceCodeOf, reportSecurityViolation } from "../../../src/security/poison.ts";
import { FOUND } from "../../support/jobs.ts";
import { aboutJob } from "../draw.ts";
import { descendantsOf, poison, RECORDED_ONLY, transition } from "../endings.ts";
import { type Finding, redacted, SECRET } from "../payload.ts";
import type { Real } from "../real.ts";
import { type Answer, NOT_FOUND } from "../rules.ts";
import { mutation } from "../step.ts";
import { change, SYSTEM_ACTOR, type World } from "../world.ts";

interface Report {
  readonly job: number;
  readonly type: "EXPORT" | "PROMPT_INJECTION" | "UNKNOWN_SENSITIVITY";
}

/**
 * Section 5, reported from outside: only recorded on a job that has completed or been cancelled; no change if poisoned.
 */
export const reportViolation = mutation<Report>("reportViolation", { expected, actual });

function expected(world: World, { job: number, type }: Report): Answer {
  const job = world.jobs[number];
  if (!job) return NOT_FOUND;
  if (job.state === "POISONED") return { action: "ALREADY_POISONED", version: job.version, event: job.version };
  const stands = RECORDED_ONLY.includes(job.state);
  const found = findingOf(type);
  const payload = { ...found, action_taken: "recorded", job_state_transition: transition(job.state, job.state) };
  if (stands) change(job, "SECURITY_VIOLATION", SYSTEM_ACTOR, {}, payload);
  else poison(world, job, found, 0);
  return { action: stands ? "RECORDED" : "POISONED", version: job.version, event: job.version };
}

/** Texts that are longer than what is stored, and contain a secret. */
const SAID = { trigger: "paragraph 3, ".repeat(20), description: `It was read with ${SECRET} in it.` };

function findingOf(type: Report["type"]): Finding {
  return {
    violation_type: type.toLowerCase(),
    description: redacted(SAID.description),
    source_id: FOUND.sourceId,
    trigger: SAID.trigger.slice(0, 200),
    guard_name: FOUND.guardName,
    ace_code: type === "PROMPT_INJECTION" ? "ACE-014" : "ACE-013",
  };
}

async function actual(real: Real, { job, type }: Report): Promise<object> {
  const violation = { ...FOUND, ...SAID, violationType: type, aceCode: aceCodeOf(type) };
  const own = real.workspaceOf(job);
  const outcome = await reportSecurityViolation(real.engine, own, SERVER, real.jobId(job), violation);
  return real.answer(outcome, (handled) => ({
    action: handled.action,
    version: handled.job.version,
    event: handled.event.version,
  }));
}

const type = fc.constantFrom<Report["type"][]>("EXPORT", "PROMPT_INJECTION", "UNKNOWN_SENSITIVITY");

export const violations = aboutJob(
  fc.record({ type, spreads: fc.constantFrom(true, true, false) }),
  // Mostly in a job with descendants.
  (job, world, { spreads }) =>
    !spreads || descendantsOf(world, job).some(({ state }) => !RECORDED_ONLY.includes(state)),
  (job, { type: found }) => reportViolation({ job, type: found }),
);
