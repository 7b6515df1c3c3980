import { charFolder, GAP } from "./char-fold.ts";
import { caseFold, invisible } from "./fold.ts";
import { normalize } from "./normalize.ts";

// Hebrew to the last of the Indian and South East Asian scripts, Hangul, and everything that East Asia writes.
const otherScripts = /[\u0590-\u10ff\u1100-\u11ff\u2e80-\ud7ff\uf900-\ufaff\ufb1d-\ufdff\ufe70-\ufeff\uff66-\uffdc]/;

/** @returns whether a text has letters for which the look-alike form is too coarse: see `foldCompatible`. */
export function hasOtherScripts(text: string): boolean {
  return otherScripts.test(text);
}

/**
 * Folds a text to the form "compatible" (section 7), for the scripts in which marks tell words apart, and for Arabic, whose letters
 * the confusables table mixes with Latin ones: NFKC, case-fold, invisible characters become a GAP, Arabic vowel marks and the
 * stretching bar dropped, and Arabic letters that are often written for one another made one.
 */
export function foldCompatible(text: string): string {
  return foldChars(normalize(text, "NFKC"));
}

const foldChars = charFolder((char) => {
  if (char.search(invisible) === 0) return GAP;
  if (/[\u0640\u064b-\u065f\u0670]/.test(char)) return "";
  if (/\p{White_Space}/u.test(char)) return " ";
  return arabicLetters.get(char) ?? caseFold(char);
});

const arabicLetters: ReadonlyMap<string, string> = new Map([
  ["أ", "ا"],
  ["إ", "ا"],
  ["آ", "ا"],
  ["ٱ", "ا"],
  ["ى", "ي"],
  ["ة", "ه"],
  ["ک", "ك"],
  ["ی", "ي"],
]);
