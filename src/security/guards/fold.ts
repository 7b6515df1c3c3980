import unhomoglyph from "unhomoglyph";
import { charFolder } from "./char-fold.ts";
import { normalize } from "./normalize.ts";

/**
 * Characters that are invisible by the Unicode standard (zero-width, soft hyphen, bidi, tags, variation selectors, fillers),
 * and the interlinear annotation characters, which are invisible in practice.
 */
export const invisible = /[\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]/gu;

/**
 * Case-folds a text, each character independently of its neighbours, so that a folded pattern is a substring of a folded text.
 *
 * - To upper case and back to lower case, because lower case alone keeps ß distinct from SS, ſ from s, and ı from I.
 * - To lower case first, because ẞ is upper case already and would stay distinct from ß.
 * - ς to σ, because lower-casing gives either, depending on the neighbours.
 */
export function caseFold(text: string): string {
  return text.toLowerCase().toUpperCase().toLowerCase().replaceAll("ς", "σ");
}

/** @returns the plain form of a text (section 7): NFC, case-fold. Unlike the other forms it keeps m distinct from rn. */
export function foldPlain(text: string): string {
  return caseFold(normalize(text, "NFC"));
}

/**
 * Fold a pattern in the same way before searching for it: the confusables table turns m into rn.
 * @returns the folded form of a text (section 7): NFKC; invisible characters dropped; every run of Unicode whitespace replaced
 * by one space; case-fold; confusables table; case-fold.
 */
export function fold(text: string): string {
  return foldChars(withoutInvisible(normalize(text, "NFKC")));
}

// Dropping a character can bring a letter and its combining mark together, which NFKC composes. Without the second NFKC, é
// would have two different folds.
function withoutInvisible(text: string): string {
  const visible = text.replace(invisible, "");
  return visible === text ? text : normalize(visible, "NFKC");
}

// Folding each character by itself gives the same as folding the whole text: neither the case fold nor the confusables table
// depends on neighbouring characters.
const foldChars = charFolder((char) => caseFold(unhomoglyph(caseFold(char))).replace(/\p{White_Space}+/gu, " "));
