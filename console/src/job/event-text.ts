import type { EventFragment } from "@ai-job-server/sdk/client";
import { textIn, valueIn } from "../ui/payload.ts";
import { stateWord } from "../ui/states.ts";
import { saidIn } from "./record.ts";

/** What an event says, in a sentence. Its payload is what the server recorded; what it lacks is not said. */

export function toneOf({ type, state }: EventFragment): string {
  if (type === "SECURITY_VIOLATION") return "poison";
  return type === "WORKFLOW_RECOVERY" || state === "FAILED" ? "bad" : "plain";
}

/** Reasons of the server that people call something else. */
const REASONS: ReadonlyMap<string, string> = new Map([
  ["user_input_requested", "Asked somebody"],
  ["user_input_timeout", "Nobody answered in time"],
  ["revise", "Sent back"],
]);

/** @returns why something is as it is, for people. The server's own reasons are words with underscores; others are a person's sentences. */
export function reasonText(reason: string): string {
  const known = REASONS.get(reason);
  if (known !== undefined) return known;
  const text = /^[a-z_]+$/.test(reason) ? reason.replaceAll("_", " ") : reason;
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** A question that is still open: the record has its id alone, since what people and models say is not kept there. */
export interface OpenQuestion {
  readonly requestId: string;
  readonly question: string;
}

/** @returns the sentence. */
export function titleOf(
  { type, state, previousState, payload, capabilityId }: EventFragment,
  open: OpenQuestion | null = null,
): string {
  const reason = textIn(payload, "reason");
  switch (type) {
    case "JOB_SUBMITTED":
      return "Submitted";
    case "STATE_CHANGED":
      return withWhatWasSaid(stateText(reason, state, previousState), payload, open);
    case "NODE_CHANGED":
    case "LLM_INFERENCE":
      return stepsIn(payload).map(stepText).join("; ") || "A step changed";
    case "METRICS_RECORDED":
      return "Usage was recorded";
    case "CAPABILITY_ACTION":
      return `It was not allowed: ${textIn(payload, "capability") ?? capabilityId ?? "a capability"} is not in its profile`;
    case "DIAGNOSTIC":
      return reason ? reasonText(reason) : "A note of the server's";
    case "SECURITY_VIOLATION":
      return `A guard found: ${textIn(payload, "description") ?? "a violation"}`;
    case "WORKFLOW_RECOVERY":
      return `The worker ${textIn(payload, "worker_id") ?? ""} was not heard of any more; its run was taken back`;
  }
}

function stateText(
  reason: string | undefined,
  state: EventFragment["state"],
  previousState: EventFragment["previousState"],
): string {
  if (reason !== undefined && reason !== state.toLowerCase()) return reasonText(reason);
  return previousState === state ? "Changed" : `Now ${stateWord(state).toLowerCase()}`;
}

function withWhatWasSaid(sentence: string, payload: unknown, open: OpenQuestion | null): string {
  const isOpen = open !== null && textIn(payload, "request_id") === open.requestId;
  const said = isOpen ? open.question : (saidIn(payload) ?? textIn(payload, "error_message"));
  if (said !== undefined) return `${sentence}: ${said}`;
  return textIn(payload, "request_id") === undefined ? sentence : `${sentence}; what was said is not recorded`;
}

function stepsIn(payload: unknown): readonly unknown[] {
  const steps = valueIn(payload, "steps");
  return Array.isArray(steps) ? steps : [];
}

function stepText(step: unknown): string {
  const failure = textIn(step, "error_message");
  return `${textIn(step, "node_id") ?? "a step"} ${textIn(step, "outcome") ?? "changed"}${failure ? `: ${failure}` : ""}`;
}
