import { type Level, levelOf } from "../../json-walk.ts";

/** ACE-014: a text tries to give the model orders. Poisons the job. */
export type PromptInjectionDetected = {
  readonly code: "ACE-014";
  readonly violationType: "PROMPT_INJECTION";
} & Finding;

/** ACE-013: a source may not leave for a cloud model. Poisons the job. */
export type CloudLeakageBlocked = {
  readonly code: "ACE-013";
  readonly violationType: "CLOUD_LEAKAGE" | "SENSITIVITY" | "UNKNOWN_SENSITIVITY" | "EXPORT";
} & Finding;

/** ACE-001: the job's metrics passed its token budget. Fails the job, never poisons it. */
export type BudgetExceeded = { readonly code: "ACE-001" } & Finding;

/** What a guard can raise: closed, told apart by `code`. Spec section 5. */
export type AceError = PromptInjectionDetected | CloudLeakageBlocked | BudgetExceeded;

/** The errors that the trap answers with `poisoned`. */
export type PoisoningError = PromptInjectionDetected | CloudLeakageBlocked;

interface Finding {
  /** What matched and where; never the scanned content, because it ends up in the flight recorder. */
  readonly trigger: string;
  readonly description: string;
  /** The snippet's source, or null where the finding is not about a snippet. */
  readonly sourceId: string | null;
}

/** Does this error poison the job? No `default:`, so that a new code does not compile until it has an answer here. */
export function isPoisoning(error: AceError): error is PoisoningError {
  switch (error.code) {
    case "ACE-013":
    case "ACE-014":
      return true;
    case "ACE-001":
      return false;
  }
}

/** One text to scan, and where it stood: a snippet has a `sourceId`, a text of job inputs has none. */
export interface GuardedText {
  readonly sourceId: string | null;
  /** For people and logs, such as `retrievedSnippets[0].content` or `jobInputs.document.text`. */
  readonly path: string;
  readonly text: string;
}

/** What guards look at: the texts, and the patterns that the job's profile adds to the built-in ones. */
export interface GuardContent {
  readonly texts: readonly GuardedText[];
  readonly patterns: readonly string[];
}

/**
 * A check of content: null when it passes. `signal` is aborted when the guard has run out of time; a guard that takes
 * turns with the event loop should stop then, one that does not may ignore it.
 */
export interface Guard {
  readonly name: string;
  readonly check: (content: GuardContent, signal?: AbortSignal) => AceError | null | Promise<AceError | null>;
}

/**
 * Every string in a JSON value, object keys included, in document order, as texts without a source. Empty strings are
 * left out: no pattern is empty. Linear, whatever its shape.
 */
export function textsOf(json: unknown, path: string): GuardedText[] {
  const texts: GuardedText[] = [];
  const add = (where: string, text: string) => texts.push({ sourceId: null, path: where, text });
  if (typeof json === "string" && json !== "") add(path, json);
  let level = levelOf(json, path);
  while (level) {
    const { values, keys, context: place, nextIndex: at }: Level<string> = level;
    if (at >= values.length) {
      level = level.parent;
      continue;
    }
    level.nextIndex += 1;
    const value = values[at];
    const key = keys?.[at];
    if (key !== undefined && key !== "") add(below(place, `[key ${at}]`), key);
    if (!holdsText(value)) continue;
    const where = below(place, key === undefined ? `[${at}]` : stepOf(key, at));
    if (typeof value === "string") add(where, value);
    else level = levelOf(value, where, level);
  }
  return texts;
}

function holdsText(value: unknown): boolean {
  return (typeof value === "string" && value !== "") || (typeof value === "object" && value !== null);
}

// A path is logged and a key is content: only what looks like a plain field name is shown, the rest by its position.
function stepOf(key: string, index: number): string {
  return /^[A-Za-z_][A-Za-z0-9_]{0,31}$/.test(key) ? `.${key}` : `[value ${index}]`;
}

const longestPath = 80;

// Without a limit, the paths of a deeply nested value would together be quadratic in its depth.
function below(path: string, step: string): string {
  if (path.length + step.length <= longestPath) return path + step;
  return path.endsWith("…") ? path : `${path}…`;
}
