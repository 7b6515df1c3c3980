import { BOUNDARY, KEY } from "./boundaries.ts";
import { fold, foldPlain } from "./fold.ts";
import { foldLookAlike, hiddenText, lookAlikeSearch } from "./look-alike.ts";

/** What every job's texts are searched for, as whole words (section 7). */
const builtInPatterns: readonly string[] = ["ignore previous", "new instructions", "system command", "developer mode"];

/** Searches a folded text for a pattern from an offset on. @returns where it begins and ends, or null. */
export type Search = (folded: string, from: number) => readonly [start: number, end: number] | null;

/** One of the ways to fold texts and patterns before they are compared. */
export interface Form {
  readonly name: string;
  readonly fold: (text: string) => string;
  /** The patterns that can be searched for in this form. */
  readonly searches: readonly { readonly pattern: string; readonly search: Search }[];
}

/** A pattern that a text has, and where. */
export interface PatternMatch {
  readonly pattern: string;
  readonly start: number;
}

const forms = [
  { name: "plain", fold: foldPlain, searchFor: (pattern: string) => substringSearch(foldPlain(pattern)) },
  { name: "folded", fold, searchFor: (pattern: string) => substringSearch(fold(pattern)) },
  { name: "look-alike", fold: foldLookAlike, searchFor: lookAlikeSearch },
  { name: "hidden tags", fold: (text: string) => foldLookAlike(hiddenText(text)), searchFor: lookAlikeSearch },
] as const;

// A pattern that folds to nothing, or to spaces, would match almost every text, so it is not searched for.
function substringSearch(foldedPattern: string): Search | null {
  if (foldedPattern.trim() === "") return null;
  return (folded, from) => {
    const start = folded.indexOf(foldedPattern, from);
    return start === -1 ? null : [start, start + foldedPattern.length];
  };
}

/** @returns the four forms of section 7, with the searches for the built-in patterns and for these. */
export function formsFor(patterns: readonly string[]): readonly Form[] {
  const all = [...new Set([...builtInPatterns, ...patterns])];
  return forms.map(({ name, fold: foldText, searchFor }) => ({
    name,
    fold: foldText,
    searches: all.flatMap((pattern) => {
      const search = searchFor(pattern);
      return search === null ? [] : [{ pattern, search }];
    }),
  }));
}

/** @returns the first pattern of a form that a folded text has as whole words, or null. */
export function patternIn(folded: string, { searches }: Form): PatternMatch | null {
  for (const { pattern, search } of searches) {
    for (let match = search(folded, 0); match !== null; match = search(folded, match[0] + 1)) {
      const [start, end] = match;
      if (!isWholeWords(folded, start, end)) continue;
      if (builtInPatterns.includes(pattern) && isKey(folded, start, end)) continue;
      return { pattern, start };
    }
  }
  return null;
}

const inWord = /[\p{L}\p{M}\p{N}_]/u;
// Words of these scripts have no spaces between them.
const withoutSpaces = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}\p{sc=Thai}\p{sc=Laoo}\p{sc=Khmr}\p{sc=Mymr}ー]/u;

// Words that hyphens join are one word: a check-system command is no system command.
function isWholeWords(text: string, start: number, end: number): boolean {
  if (text[start - 1] === "-" && inWord.test(text[start - 2] ?? "")) return false;
  if (text[end] === "-" && inWord.test(text[end + 1] ?? "")) return false;
  return isBorder(text[start - 1], text[start]) && isBorder(text[end - 1], text[end]);
}

function isBorder(before: string | undefined, behind: string | undefined): boolean {
  if (before === undefined || behind === undefined) return true;
  if (!inWord.test(before) || !inWord.test(behind)) return true;
  return withoutSpaces.test(before) || withoutSpaces.test(behind);
}

// A key that is nothing but the pattern names a setting, such as {"Developer mode": false}.
function isKey(text: string, start: number, end: number): boolean {
  if (text[start - 1] === KEY && text[end] === BOUNDARY) return true;
  return /["'`]/.test(text[start - 1] ?? "") && /^["'`]+ ?:/.test(text.slice(end, end + 4));
}
