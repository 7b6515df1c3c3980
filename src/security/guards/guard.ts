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

/** Something to guard: a text, or JSON whose texts are guarded, its keys included. */
export interface GuardedSource {
  /** The retrieved snippet's source; null for everything else. */
  readonly sourceId: string | null;
  /** The place in the request, for messages and logs, such as `retrievedSnippets[0].content` or `jobInputs`. */
  readonly path: string;
  readonly value: unknown;
}

/** A text of a source, and where it stands. */
export interface GuardedText {
  readonly sourceId: string | null;
  /** The path of the source with the way to the text, such as `jobInputs.document.text`. */
  readonly path: string;
  readonly text: string;
  /** The text is a key of a JSON object. */
  readonly isKey?: boolean;
}

/** The content that guards check. */
export interface GuardContent {
  readonly sources: readonly GuardedSource[];
  /** The patterns that the job's capability profile adds to the built-in ones of PromptInjectionGuard (section 7). */
  readonly patterns: readonly string[];
}

/**
 * A part of the content that a guard passed was not looked at, such as what is encoded too often. No error: the content is used,
 * and an event says so.
 */
export interface PartlyChecked {
  readonly code: "PARTLY_CHECKED";
  /** What was not looked at, without quoting it. */
  readonly reason: string;
}

/** What a guard answers: null where the content passes, else the error to raise, or what of the content it did not look at. */
export type GuardAnswer = AceError | PartlyChecked | null;

/**
 * A check of content (section 7). `check` may throw, and then fails closed. `signal` is aborted when the guard has run out of
 * time: a guard that yields to the event loop should stop then. One that does not yield cannot observe it, and may ignore it.
 */
export interface Guard {
  /** Recorded in events and shown in errors. */
  readonly name: string;
  readonly check: (content: GuardContent, signal?: AbortSignal) => GuardAnswer | Promise<GuardAnswer>;
}

/** @returns the texts of all sources (`textsOfSource`). */
export function* textsOf({ sources }: Pick<GuardContent, "sources">): Generator<GuardedText> {
  for (const source of sources) yield* textsOfSource(source);
}

/**
 * Gives the strings of a source, object keys included. Takes linear time, whatever the shape of its JSON.
 * @returns the texts in document order. Empty strings are left out, because no pattern matches them.
 */
function* textsOfSource({ sourceId, path, value: root }: GuardedSource): Generator<GuardedText> {
  if (typeof root === "string" && root !== "") yield { sourceId, path, text: root };
  let level = levelOf(root, path);
  while (level) {
    const { keys, context: levelPath, nextIndex: index }: Level<string> = level;
    if (index >= level.size) {
      level = level.parent;
      continue;
    }
    level.nextIndex += 1;
    const value: unknown = level.valueAt(index);
    const key = keys?.[index];
    if (key !== undefined && key !== "") {
      yield { sourceId, path: appendStep(levelPath, `[key ${index}]`), text: key, isKey: true };
    }
    if (!mayContainText(value)) continue;
    const valuePath = appendStep(levelPath, key === undefined ? `[${index}]` : keyStep(key, index));
    if (typeof value === "string") yield { sourceId, path: valuePath, text: value };
    else level = levelOf(value, valuePath, level);
  }
}

/** What a text costs beside its characters, which a request can bring 100,000 of: as much as so many characters more. */
const CHARACTERS_PER_TEXT = 30;

/**
 * Adds up what it costs to look at all texts, in characters, and stops where that is `enough`: so large content costs no more to
 * measure.
 * @returns 0 where there is no text.
 */
export function costOf(content: Pick<GuardContent, "sources">, enough: number): number {
  let cost = 0;
  for (const { text } of textsOf(content)) {
    cost += text.length + CHARACTERS_PER_TEXT;
    if (cost >= enough) break;
  }
  return cost;
}

const jsonOfContent = new WeakMap<GuardContent, string>();

/** @returns the content as JSON, for a worker thread. It is made once, and kept as long as the content is. */
export function toJson(content: GuardContent): string {
  const json = jsonOfContent.get(content) ?? JSON.stringify(content);
  jsonOfContent.set(content, json);
  return json;
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
