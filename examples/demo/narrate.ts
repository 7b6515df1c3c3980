import { z } from "zod";
import type { RecorderEventType } from "../../test/generated/graphql.ts";

/** The keys of an event's payload that the demo shows; which of them exist depends on the event's type. */
const payloadWords = z
  .object({
    job_kind: z.string(),
    reason: z.string(),
    attempt: z.number(),
    steps: z.array(
      z.object({
        node_id: z.string(),
        node_type: z.string(),
        outcome: z.string(),
        error_message: z.string().nullable(),
      }),
    ),
    error_message: z.string().nullable(),
    capability: z.string(),
    guard_name: z.string(),
    ace_code: z.string(),
    trigger: z.string(),
  })
  .partial()
  .catch({});

export interface NarratedEvent {
  readonly type: RecorderEventType;
  readonly actorId: string;
  readonly payload: unknown;
}

/** Describes an event in one line. */
export function narrate({ type, actorId, payload }: NarratedEvent): string {
  const words = payloadWords.parse(payload);
  const fault = faultOf(words.error_message);
  switch (type) {
    case "JOB_SUBMITTED":
      return `submitted as ${words.job_kind}`;
    case "STATE_CHANGED":
      return words.attempt === undefined
        ? `${actorId}: ${words.reason}${fault}`
        : `${actorId} takes it, attempt ${words.attempt}`;
    case "NODE_CHANGED":
    case "LLM_INFERENCE":
      return (words.steps ?? [])
        .map(
          ({ node_id, node_type, outcome, error_message }) =>
            `${node_id} (${node_type}) ${outcome}${faultOf(error_message)}`,
        )
        .join(", ");
    case "METRICS_RECORDED":
      return `${actorId} is still at it`;
    case "CAPABILITY_ACTION":
      return `denied: it lacks the capability ${words.capability}`;
    case "DIAGNOSTIC":
      return `${words.guard_name} could not decide: ${words.reason}`;
    case "SECURITY_VIOLATION":
      return `${words.guard_name} (${words.ace_code}): ${words.trigger}`;
    case "WORKFLOW_RECOVERY":
      return "its worker's lease ran out";
  }
}

const faultOf = (message: string | null | undefined): string => (message ? `: ${message}` : "");
