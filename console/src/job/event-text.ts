import type { EventFragment } from "@ai-job-server/sdk/client";
import { valueIn } from "../ui/payload.ts";
import { stateWord } from "../ui/states.ts";

/** What an event says, in a sentence. Its payload is what the server recorded; what it lacks is not said. */

/** @returns the value of a payload's key, where it is a text. */
export function textIn(payload: unknown, key: string): string | undefined {
  const value = valueIn(payload, key);
  return typeof value === "string" ? value : undefined;
}

export function toneOf({ type, state }: EventFragment): string {
  if (type === "SECURITY_VIOLATION") return "poison";
  return type === "WORKFLOW_RECOVERY" || state === "FAILED" ? "bad" : "plain";
}

/** @returns why something is as it is; a reason that the server has a word for is one with underscores. */
export function reasonText(reason: string): string {
  const text = /^[a-z_]+$/.test(reason) ? reason.replaceAll("_", " ") : reason;
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** @returns whether the worker of the last run that failed said that another try would not help. */
export function isSaidToBeFinal(events: readonly EventFragment[]): boolean {
  const failure = events.findLast(({ type, state }) => type === "STATE_CHANGED" && state === "FAILED");
  return valueIn(failure?.payload, "retryable") === false;
}

/** @returns the sentence. */
export function titleOf({ type, state, previousState, payload, capabilityId }: EventFragment): string {
  const reason = textIn(payload, "reason");
  switch (type) {
    case "JOB_SUBMITTED":
      return "Submitted.";
    case "STATE_CHANGED":
      return reason === undefined || reason === state.toLowerCase()
        ? previousState === state
          ? "Changed."
          : `Now ${stateWord(state).toLowerCase()}.`
        : reasonText(reason);
    case "NODE_CHANGED":
    case "LLM_INFERENCE":
      return stepsIn(payload).map(stepText).join("; ") || "A step changed.";
    case "METRICS_RECORDED":
      return "Usage was recorded.";
    case "CAPABILITY_ACTION":
      return `It was not allowed: ${textIn(payload, "capability") ?? capabilityId ?? "a capability"} is not in its profile.`;
    case "DIAGNOSTIC":
      return reason ? reasonText(reason) : "A note of the server's.";
    case "SECURITY_VIOLATION":
      return `A guard found: ${textIn(payload, "description") ?? "a violation."}`;
    case "WORKFLOW_RECOVERY":
      return `The worker ${textIn(payload, "worker_id") ?? ""} was not heard of any more; its run was taken back.`;
  }
}

function stepsIn(payload: unknown): readonly unknown[] {
  const steps = valueIn(payload, "steps");
  return Array.isArray(steps) ? steps : [];
}

function stepText(step: unknown): string {
  const failure = textIn(step, "error_message");
  return `${textIn(step, "node_id") ?? "a step"} ${textIn(step, "outcome") ?? "changed"}${failure ? `: ${failure}` : ""}`;
}
