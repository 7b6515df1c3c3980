import { expect } from "vitest";
import { HOSTILE } from "../support/jobs.ts";
import type { Job } from "./world.ts";

/** What events tell beside the job as it then is: the parts of payloads that several mutations have. */

/** Words and moments that are the server's own: only their shape is known. */
export const SOME_TEXT: unknown = expect.stringMatching(/./);
export const SOME_TIME: unknown = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

/** How payloads name a job. */
export const theJob = ({ number }: Pick<Job, "number">): string => `job ${number}`;

/** What nobody may ever read in an event (section 9), in whatever somebody writes. */
export const SECRET = "Bearer abcdefgh12345678";

export const redacted = (text: string | null): string | null => text && text.replaceAll(SECRET, "[redacted]");

/** Section 5: what was found, and where. */
export interface Finding {
  readonly violation_type: string;
  readonly description: unknown;
  readonly source_id: string | null;
  readonly trigger: unknown;
  readonly guard_name: string;
  readonly ace_code: "ACE-013" | "ACE-014";
}

/** The hostile text of a source: the trigger names pattern and place, and tells nothing else of it. */
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
