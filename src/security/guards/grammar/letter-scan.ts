import { BOUNDARY } from "../boundaries.ts";
import { GAP } from "../char-fold.ts";
import { VETO } from "./grammar.ts";
import { type LazyDfa, lazyDfa } from "./lazy-dfa.ts";
import type { PhraseAutomaton, Rule } from "./phrase-automaton.ts";

/** What a scan found: the rule, and where in the text its last letter stands. */
export interface LetterMatch {
  readonly rule: Rule;
  readonly end: number;
}

/** Seeks the phrases of an automaton in a folded text. */
export interface LetterScan {
  /** @returns the first match, or null. */
  (folded: string): LetterMatch | null;
}

const separator = 0;
const letter = 1;
const letterOfScriptWithoutSpaces = 2;
const sentenceMark = 3;
const boundary = 4;
const quote = 5;

const kinds = Uint8Array.from({ length: 0x10000 }, (_, unit) => kindOf(String.fromCharCode(unit)));

function kindOf(char: string): number {
  if (char === BOUNDARY || char === "=") return boundary;
  if (char === GAP) return separator;
  if (/[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}\p{sc=Thai}\p{sc=Laoo}\p{sc=Khmr}\p{sc=Mymr}ー]/u.test(char)) {
    return letterOfScriptWithoutSpaces;
  }
  if (/[\p{L}\p{M}\p{N}$@]/u.test(char)) return letter;
  if (/[.?!;:。｡！？；：؟؛।॥]/.test(char)) return sentenceMark;
  return /["'`’]/.test(char) ? quote : separator;
}

/**
 * Makes a scan that reads letters and not words: whatever stands between two letters that is not the end of a sentence is
 * skipped. So spaced, dotted and hyphenated letters, markup within words, snake case, quotation marks and list marks in front of
 * each line are read as what they hide. But a match begins and ends where a word does.
 */
export function letterScan(automaton: PhraseAutomaton): LetterScan {
  const dfa = lazyDfa(automaton);
  return (folded) => scan(dfa, automaton, folded);
}

function scan(dfa: LazyDfa, { symbols, rules }: PhraseAutomaton, text: string): LetterMatch | null {
  let state = dfa.sentence;
  let wordLength = 0;
  let lastLetter = 0;
  let paused = true;
  let borderBehind = false;
  const matchAt = (end: number, pause: boolean): LetterMatch | null => {
    const rule = rules[dfa.ruleAt(state, pause)];
    if (rule === undefined) return null;
    if (rule.name !== VETO && !stands(rule.notBefore, text, end + 1)) return { rule, end };
    state = dfa.between;
    return null;
  };
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    const kind = isLeet(text, index) ? letter : (kinds[unit] ?? separator);
    if (kind === letter || kind === letterOfScriptWithoutSpaces) {
      const isBorder = kind === letterOfScriptWithoutSpaces || borderBehind;
      if (isBorder && !paused) {
        const match = matchAt(lastLetter, false);
        if (match !== null) return match;
      }
      if (isBorder || paused) state = dfa.word(state, paused);
      state = dfa.letter(state, symbols[unit] ?? 0);
      wordLength += 1;
      lastLetter = index;
      paused = false;
      borderBehind = kind === letterOfScriptWithoutSpaces;
      continue;
    }
    if (kind === quote && isWithinWord(text, index)) {
      state = dfa.word(state, false);
      continue;
    }
    if (!paused) {
      const match = matchAt(lastLetter, true);
      if (match !== null) return match;
    }
    if (kind === boundary || (kind !== separator && endsSentence(text, index, kind, wordLength))) state = dfa.sentence;
    wordLength = 0;
    paused = true;
    borderBehind = false;
  }
  return paused ? null : matchAt(lastLetter, true);
}

// Long enough for the longest of the phrases.
const lookAhead = 40;

/** @returns whether one of the phrases stands at this place of the text, in the same sentence. */
function stands(phrases: readonly string[], text: string, start: number): boolean {
  if (phrases.length === 0) return false;
  let words = " ";
  for (let index = start; index < Math.min(start + lookAhead, text.length); index += 1) {
    const kind = kinds[text.charCodeAt(index)];
    if (kind === sentenceMark || kind === boundary) break;
    if (kind === letter || kind === letterOfScriptWithoutSpaces) words += text[index];
    else if (!words.endsWith(" ")) words += " ";
  }
  return phrases.some((phrase) => `${words} `.startsWith(phrase));
}

// An exclamation mark in front of a letter stands for an i, as in prev!ous; one that ends a sentence has a space behind it.
function isLeet(text: string, index: number): boolean {
  return text[index] === "!" && kinds[text.charCodeAt(index + 1)] === letter;
}

// As in l'article, where the next word begins, and in Dan's, where this one does not end.
function isWithinWord(text: string, index: number): boolean {
  return kinds[text.charCodeAt(index - 1)] === letter && kinds[text.charCodeAt(index + 1)] === letter;
}

// Not after a single letter, and not between letters: those are dotted letters or a file's name. A quotation mark with a comma or
// colon behind it parts two strings of a list, or a key from its value.
function endsSentence(text: string, index: number, kind: number, wordLength: number): boolean {
  const next = text.charCodeAt(index + 1);
  if (kind === quote) return next === 0x2c || next === 0x3a;
  const nextKind = kinds[next] ?? boundary;
  return nextKind === boundary || (wordLength !== 1 && nextKind !== letter);
}
