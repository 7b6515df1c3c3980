import { fold, foldPlain } from "./fold.ts";
import type { AceError, Guard, GuardContent, GuardedText } from "./guard.ts";
import { foldLookAlike, hiddenText, lookAlikeSearch } from "./look-alike.ts";

const builtInPatterns = ["ignore previous", "new instructions", "system command", "developer mode"];

/**
 * Searches every text, in four forms, for the built-in patterns and those of the job's capability profile (section 7). A match
 * in any form raises ACE-014. A text that only quotes an injection matches, too: the guard compares strings and cannot know
 * what a text is meant for.
 */
export const promptInjectionGuard: Guard = { name: "PromptInjectionGuard", check };

/** Searches a folded text for one pattern. @returns the offset of the first match, or -1. */
type Search = (folded: string) => number;

/** One of the ways to fold texts and patterns before they are compared. */
interface Form {
  readonly name: string;
  readonly fold: (text: string) => string;
  /** @returns null for a pattern that cannot be searched for in this form. */
  readonly searchFor: (pattern: string) => Search | null;
}

const forms: readonly Form[] = [
  { name: "plain", fold: foldPlain, searchFor: (pattern) => substringSearch(foldPlain(pattern)) },
  { name: "folded", fold, searchFor: (pattern) => substringSearch(fold(pattern)) },
  { name: "look-alike", fold: foldLookAlike, searchFor: lookAlikeSearch },
  { name: "hidden tags", fold: (text) => foldLookAlike(hiddenText(text)), searchFor: lookAlikeSearch },
];

// A pattern that folds to nothing, or to spaces, would match almost every text, so it is not searched for.
function substringSearch(foldedPattern: string): Search | null {
  return foldedPattern.trim() === "" ? null : (folded) => folded.indexOf(foldedPattern);
}

/** A form with the searches for the patterns that can be searched for in it. */
interface FormSearches extends Form {
  readonly searches: readonly { readonly pattern: string; readonly search: Search }[];
}

const builtInForms = formsFor(builtInPatterns);

function formsFor(patterns: readonly string[]): readonly FormSearches[] {
  return forms.map((form) => ({
    ...form,
    searches: patterns.flatMap((pattern) => {
      const search = form.searchFor(pattern);
      return search === null ? [] : [{ pattern, search }];
    }),
  }));
}

// A scan yields to the event loop after this many characters, a few milliseconds of work. So another request waits at most for
// one such tick, or for one form of one long text.
const maxCharsPerTick = 64 * 1024;
// Scanning even a short text takes some time, and a request can bring a million texts: so each text counts as this many
// additional characters.
const charsPerTextOverhead = 30;

async function check(content: GuardContent, signal?: AbortSignal): Promise<AceError | null> {
  const searchedForms =
    content.patterns.length === 0 ? builtInForms : formsFor([...new Set([...builtInPatterns, ...content.patterns])]);
  let charsInTick = 0;
  for (const text of content.texts) {
    for (const form of searchedForms) {
      const error = findIn(text, form);
      if (error !== null) return error;
      charsInTick += text.text.length + charsPerTextOverhead;
      if (charsInTick < maxCharsPerTick) continue;
      charsInTick = 0;
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    }
  }
  return null;
}

function findIn(text: GuardedText, form: FormSearches): AceError | null {
  const folded = form.fold(text.text);
  for (const { pattern, search } of form.searches) {
    const offset = search(folded);
    if (offset !== -1) return injection(text, form.name, pattern, offset);
  }
  return null;
}

function injection(text: GuardedText, form: string, pattern: string, offset: number): AceError {
  const shortPattern = Array.from(pattern).slice(0, 40).join("");
  return {
    code: "ACE-014",
    violationType: "PROMPT_INJECTION",
    trigger: `pattern "${shortPattern}" at character ${offset} of the folded text (${form} form) of ${text.path}`,
    description: `The ${form} form of ${text.path} contains a pattern of the prompt injection list.`,
    sourceId: text.sourceId,
  };
}
