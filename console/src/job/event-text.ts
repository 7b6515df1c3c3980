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

/** A question that is still open: the record has its id alone, since what people and models say is not kept there. */
export interface OpenQuestion {
  readonly requestId: string;
  readonly question: string;
}

/** @returns why a job was cancelled, in the words of whoever did it; undefined where it was not, or nothing was said. */
export function whyCancelled(events: readonly EventFragment[]): string | undefined {
  const last = events.findLast(({ previousState, state }) => previousState !== state);
  return last?.state === "CANCELLED" ? saidIn(last.payload) : undefined;
}

/** @returns what somebody said with a decision or a cancellation. */
function saidIn(payload: unknown): string | undefined {
  const said = textIn(payload, "detail") ?? textIn(payload, "comment");
  return said === "" ? undefined : said;
}

/** Reasons of the server's that say more in words of people. */
const REASONS = {
  user_input_requested: "Asked somebody",
  user_input_timeout: "Nobody answered in time",
  revise: "Sent back",
} as const;

/** @returns the sentence. */
export function titleOf(
  { type, state, previousState, payload, capabilityId }: EventFragment,
  open: OpenQuestion | null = null,
): string {
  const reason = textIn(payload, "reason");
  switch (type) {
    case "JOB_SUBMITTED":
      return "Submitted.";
    case "STATE_CHANGED":
      return withWhatWasSaid(stateText(reason, state, previousState), payload, open);
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

function stateText(
  reason: string | undefined,
  state: EventFragment["state"],
  previousState: EventFragment["previousState"],
): string {
  if (reason !== undefined && reason !== state.toLowerCase())
    return Object.entries(REASONS).find(([name]) => name === reason)?.[1] ?? reasonText(reason);
  return previousState === state ? "Changed" : `Now ${stateWord(state).toLowerCase()}`;
}

function withWhatWasSaid(sentence: string, payload: unknown, open: OpenQuestion | null): string {
  const isOpen = open !== null && textIn(payload, "request_id") === open.requestId;
  const said = isOpen ? open.question : (saidIn(payload) ?? textIn(payload, "error_message"));
  return said === undefined ? sentence : `${sentence}: ${said}`;
}

function stepsIn(payload: unknown): readonly unknown[] {
  const steps = valueIn(payload, "steps");
  return Array.isArray(steps) ? steps : [];
}

function stepText(step: unknown): string {
  const failure = textIn(step, "error_message");
  return `${textIn(step, "node_id") ?? "a step"} ${textIn(step, "outcome") ?? "changed"}${failure ? `: ${failure}` : ""}`;
}
