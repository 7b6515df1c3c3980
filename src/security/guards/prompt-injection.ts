import { fold, foldPlain } from "./fold.ts";
import type { AceError, Guard, GuardContent, GuardedText } from "./guard.ts";
import { foldLookAlike, hiddenText, lookAlikeSearch } from "./look-alike.ts";

const builtInPatterns = ["ignore previous", "new instructions", "system command", "developer mode"];

/**
 * Looks for the built-in patterns and those of the job's profile in every text, in four forms; a hit in any of them is
 * an ACE-014. A quotation of an injection is a hit: the rule is a substring, not an intention. Spec section 7.
 */
export const promptInjectionGuard: Guard = { name: "PromptInjectionGuard", check };

type Search = (folded: string) => number;

interface Form {
  readonly name: string;
  readonly of: (text: string) => string;
  readonly searchFor: (pattern: string) => Search | null;
}

const forms: readonly Form[] = [
  { name: "plain", of: foldPlain, searchFor: (pattern) => substringSearch(foldPlain(pattern)) },
  { name: "folded", of: fold, searchFor: (pattern) => substringSearch(fold(pattern)) },
  { name: "look-alike", of: foldLookAlike, searchFor: lookAlikeSearch },
  { name: "hidden tags", of: (text) => foldLookAlike(hiddenText(text)), searchFor: lookAlikeSearch },
];

// A pattern of which the fold leaves nothing, or blanks, would be found in every text.
function substringSearch(needle: string): Search | null {
  return needle.trim() === "" ? null : (folded) => folded.indexOf(needle);
}

interface SoughtForm extends Form {
  readonly sought: readonly { readonly pattern: string; readonly search: Search }[];
}

const builtInForms = formsFor(builtInPatterns);

function formsFor(patterns: readonly string[]): readonly SoughtForm[] {
  return forms.map((form) => ({
    ...form,
    sought: patterns.flatMap((pattern) => {
      const search = form.searchFor(pattern);
      return search === null ? [] : [{ pattern, search }];
    }),
  }));
}

// A few milliseconds of work. A request waits behind a scan for one such turn, or for one form of one long text. A text
// costs a little even when it is short, and a request can bring a million of them.
const charsPerTurn = 64 * 1024;
const charsWorthOneText = 30;

async function check(content: GuardContent, signal?: AbortSignal): Promise<AceError | null> {
  const soughtForms =
    content.patterns.length === 0 ? builtInForms : formsFor([...new Set([...builtInPatterns, ...content.patterns])]);
  let charsInTurn = 0;
  for (const text of content.texts) {
    for (const form of soughtForms) {
      const error = findIn(text, form);
      if (error !== null) return error;
      charsInTurn += text.text.length + charsWorthOneText;
      if (charsInTurn < charsPerTurn) continue;
      charsInTurn = 0;
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    }
  }
  return null;
}

function findIn(text: GuardedText, form: SoughtForm): AceError | null {
  const folded = form.of(text.text);
  for (const { pattern, search } of form.sought) {
    const offset = search(folded);
    if (offset !== -1) return injection(text, form.name, pattern, offset);
  }
  return null;
}

function injection(text: GuardedText, form: string, pattern: string, offset: number): AceError {
  const shown = Array.from(pattern).slice(0, 40).join("");
  return {
    code: "ACE-014",
    violationType: "PROMPT_INJECTION",
    trigger: `pattern "${shown}" at character ${offset} of the folded text (${form} form) of ${text.path}`,
    description: `The ${form} form of ${text.path} contains a pattern of the prompt injection list.`,
    sourceId: text.sourceId,
  };
}
