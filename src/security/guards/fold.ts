import unhomoglyph from "unhomoglyph";
import { charFolder } from "./char-fold.ts";
import { normalize } from "./normalize.ts";

/** Invisible by the Unicode standard (zero-width, soft hyphen, bidi, tags, variation selectors, fillers), or in effect. */
export const invisible = /[\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]/gu;

/**
 * Case folding, context-free, so that a folded pattern is found inside a folded text. By way of upper case, because
 * lower case alone keeps ß apart from SS, ſ from s and the Turkish ı from I; lower case before it, because ẞ is upper
 * case already. Both small sigmas are one letter.
 */
export function caseFold(text: string): string {
  return text.toLowerCase().toUpperCase().toLowerCase().replaceAll("ς", "σ");
}

/** The plain form: NFC and case folding. It keeps what the other folds take away, such as m apart from rn. */
export function foldPlain(text: string): string {
  return caseFold(normalize(text, "NFC"));
}

/**
 * The fold of spec section 7: NFKC; invisible characters dropped; every run of Unicode whitespace one space; case-fold;
 * confusables; case-fold. A pattern is folded the same way before it is sought: the table turns m into rn.
 */
export function fold(text: string): string {
  return foldChars(withoutInvisible(normalize(text, "NFKC")));
}

// What stood between a letter and its mark may have gone now: without the second NFKC, é would have two folds.
function withoutInvisible(text: string): string {
  const visible = text.replace(invisible, "");
  return visible === text ? text : normalize(visible, "NFKC");
}

// Character by character gives what the whole text would: neither the case fold nor the table looks at neighbours.
const foldChars = charFolder((char) => caseFold(unhomoglyph(caseFold(char))).replace(/\p{White_Space}+/gu, " "));
