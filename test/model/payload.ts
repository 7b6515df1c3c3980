import { expect } from "vitest";
import { HOSTILE } from "../support/jobs.ts";
import type { Job } from "./world.ts";

/** The parts of event payloads that several mutations have in common. */

/** Texts and times that the server chooses: the model knows only their shape. */
export const SOME_TEXT: unknown = expect.stringMatching(/./);
export const SOME_TIME: unknown = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

/** An id that the server makes. */
export const SOME_ID: unknown = expect.stringMatching(/^[0-9a-f-]{36}$/);

/** A job in a payload; the server has its id there. */
export const theJob = ({ number }: Pick<Job, "number">): string => `job ${number}`;

/** A text that must be redacted in every event (section 9). */
export const SECRET = "Bearer abcdefgh12345678";

export const redacted = (text: string | null): string | null => text && text.replaceAll(SECRET, "[redacted]");

/** A security violation in a payload (section 5). */
export interface Finding {
  readonly violation_type: string;
  readonly description: unknown;
  readonly source_id: string | null;
  readonly trigger: unknown;
  readonly guard_name: string;
  readonly ace_code: "ACE-013" | "ACE-014";
}

/** An injection in the source. The trigger must name the pattern and the place, and nothing else of the text. */
export function injectionIn(source: string | null, place: string): Finding {
  const rest = HOSTILE.slice(-12);
  return {
    violation_type: "prompt_injection",
    description: SOME_TEXT,
    source_id: source,
    trigger: expect.stringMatching(RegExp(`^(?!.*${rest}).*"ignore previous".*${place}`)),
    guard_name: "PromptInjectionGuard",
    ace_code: "ACE-014",
  };
}
