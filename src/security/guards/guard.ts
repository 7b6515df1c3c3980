import { type Level, levelOf } from "../../json-walk.ts";

/** ACE-014: a text contains instructions to the model. Poisons the job. */
export type PromptInjectionDetected = {
  readonly code: "ACE-014";
  readonly violationType: "PROMPT_INJECTION";
} & Finding;

/** ACE-013: content must not be sent to a cloud model. Poisons the job. */
export type CloudLeakageBlocked = {
  readonly code: "ACE-013";
  readonly violationType: "CLOUD_LEAKAGE" | "SENSITIVITY" | "UNKNOWN_SENSITIVITY" | "EXPORT";
} & Finding;

/** ACE-001: the job's metrics exceed its token budget. Never poisons the job. */
export type BudgetExceeded = { readonly code: "ACE-001" } & Finding;

/** The errors that a guard can raise, discriminated by `code` (section 5). */
export type AceError = PromptInjectionDetected | CloudLeakageBlocked | BudgetExceeded;

/** The errors that poison the job (section 5). */
export type PoisoningError = PromptInjectionDetected | CloudLeakageBlocked;

interface Finding {
  /** What matched and where. Never the scanned content, because the trigger is recorded in the flight recorder. */
  readonly trigger: string;
  readonly description: string;
  /** The retrieved snippet's source; null when the finding is not about a snippet. */
  readonly sourceId: string | null;
}

/** Tells whether an error poisons the job. Without a `default`, so that a new code does not compile until it is added here. */
export function isPoisoning(error: AceError): error is PoisoningError {
  switch (error.code) {
    case "ACE-013":
    case "ACE-014":
      return true;
    case "ACE-001":
      return false;
  }
}

/** A text to scan, and where it comes from. */
export interface GuardedText {
  /** The retrieved snippet's source; null for a text of the job's inputs. */
  readonly sourceId: string | null;
  /** The text's path in the request, for messages and logs, such as `retrievedSnippets[0].content` or `jobInputs.document.text`. */
  readonly path: string;
  readonly text: string;
  /** The text is a key of a JSON object. */
  readonly isKey?: boolean;
}

/** The content that guards check. */
export interface GuardContent {
  readonly texts: readonly GuardedText[];
  /** The patterns that the job's capability profile adds to the built-in ones of PromptInjectionGuard (section 7). */
  readonly patterns: readonly string[];
}

/**
 * A check of content (section 7). `check` returns null when the content passes, else the error to raise; it may also throw,
 * and then fails closed. `signal` is aborted when the guard has run out of time: a guard that yields to the event loop should
 * stop then. A guard that does not yield cannot observe the signal, and may ignore it.
 */
export interface Guard {
  /** Recorded in events and shown in errors. */
  readonly name: string;
  readonly check: (content: GuardContent, signal?: AbortSignal) => AceError | null | Promise<AceError | null>;
}

/**
 * Collects the strings of a JSON value, object keys included, for the guards. Takes linear time, whatever the value's shape.
 * @param path the path of the value itself; each text's path begins with it.
 * @returns the texts in document order, without a source. Empty strings are left out, because no pattern matches them.
 */
export function textsOf(json: unknown, path: string): GuardedText[] {
  const texts: GuardedText[] = [];
  const add = (textPath: string, text: string) => texts.push({ sourceId: null, path: textPath, text });
  if (typeof json === "string" && json !== "") add(path, json);
  let level = levelOf(json, path);
  while (level) {
    const { values, keys, context: levelPath, nextIndex: index }: Level<string> = level;
    if (index >= values.length) {
      level = level.parent;
      continue;
    }
    level.nextIndex += 1;
    const value = values[index];
    const key = keys?.[index];
    if (key !== undefined && key !== "") {
      texts.push({ sourceId: null, path: appendStep(levelPath, `[key ${index}]`), text: key, isKey: true });
    }
    if (!mayContainText(value)) continue;
    const valuePath = appendStep(levelPath, key === undefined ? `[${index}]` : keyStep(key, index));
    if (typeof value === "string") add(valuePath, value);
    else level = levelOf(value, valuePath, level);
  }
  return texts;
}

function mayContainText(value: unknown): boolean {
  return (typeof value === "string" && value !== "") || (typeof value === "object" && value !== null);
}

// A path is logged, but a key is content, which must not be. So only a key that looks like a plain field name appears in a
// path; other keys appear as their position.
function keyStep(key: string, index: number): string {
  return /^[A-Za-z_][A-Za-z0-9_]{0,31}$/.test(key) ? `.${key}` : `[value ${index}]`;
}

const maxPathLength = 80;

// Limits the length: the paths of all levels of a deeply nested value would together be quadratic in its depth.
function appendStep(path: string, step: string): string {
  if (path.length + step.length <= maxPathLength) return path + step;
  return path.endsWith("…") ? path : `${path}…`;
}
