import unhomoglyph from "unhomoglyph";
import { charFolder, GAP } from "./char-fold.ts";
import { caseFold, invisible } from "./fold.ts";

/**
 * Folds a text to what it looks like to a reader (section 7, "look-alike"). This form is coarser than `fold`, and defeats four
 * disguises that `fold` does not:
 *
 * - Capitals. `fold` folds case before it applies the confusables table, but the small forms of Greek Ν and Cyrillic М, Т, Н, В
 *   look like no Latin letter. Here the table is applied first and then case is folded, repeatedly until nothing changes.
 * - I, l, 1 and |. The table maps I to l, and case folding maps it to i. Here they are all the same letter.
 * - Combining marks. All are dropped, so that ignoŕe, i̇gnore and ignøre become ignore.
 * - Invisible characters instead of spaces. They become a GAP, which a search may match as nothing or as a space.
 *
 * The fold is idempotent.
 */
export const foldLookAlike: (text: string) => string = charFolder(lookAlikeOf);

function lookAlikeOf(char: string): string {
  if (isHidden(char)) return GAP;
  let folded = char;
  // With the tables of Unicode 17, no character changes after the third round; a fourth round confirms that. Four is also the
  // limit, so that the loop ends even if later tables never settle.
  for (let round = 0; round < 4; round += 1) {
    const next = foldOnce(folded);
    if (next === folded) break;
    folded = next;
  }
  return folded;
}

function foldOnce(text: string): string {
  const letters = baseLetters(unhomoglyph(baseLetters(text)));
  return caseFold(letters)
    .replace(/\p{White_Space}+/gu, " ")
    .replaceAll("i", "l");
}

// Replaces the letters of alphabets that the confusables table does not have, then decomposes and drops the marks. In this
// order, because NFKD would turn a letter in brackets into three characters.
function baseLetters(text: string): string {
  const letters = Array.from(text, (char) => alphabets.get(char) ?? char).join("");
  return letters.normalize("NFKD").replace(/\p{M}/gu, "");
}

// Besides the characters of `invisible`: control characters that are not whitespace, and the empty Braille cell.
function isHidden(char: string): boolean {
  return char.search(invisible) === 0 || /^(?!\p{White_Space})[\p{Cc}\u2800]$/u.test(char);
}

// Pairs of a letter and its small capital. The last three are pairs of a letter and the character to which the confusables
// table maps Cyrillic к and м and epsilon.
const smallCapitals = "aᴀbʙcᴄdᴅeᴇfꜰgɢhʜiɪjᴊkᴋlʟmᴍnɴoᴏpᴘrʀsꜱtᴛuᴜvᴠwᴡyʏzᴢkĸmʍeꞓ";
// The first letters of alphabets in brackets, circles and squares and of flags: NFKC keeps these letters or adds brackets.
const alphabetStarts = [0x249c, 0x1f110, 0x1f150, 0x1f170, 0x1f1e6];

const alphabets: ReadonlyMap<string, string> = new Map([
  ...Array.from(smallCapitals.matchAll(/(.)(.)/gu), ([, plain = "", small = ""]): [string, string] => [small, plain]),
  ...alphabetStarts.flatMap((start) =>
    Array.from("abcdefghijklmnopqrstuvwxyz", (letter, index): [string, string] => [
      String.fromCodePoint(start + index),
      letter,
    ]),
  ),
]);

/**
 * @returns the ASCII text that is encoded in a text's Unicode tag characters; empty when there are none. Readers do not see tag
 * characters, but models read them as the ASCII characters that they stand for. A flag that is made of tag characters is parted
 * from what is behind it and in front of it by a space.
 */
export function hiddenText(text: string): string {
  if (!text.includes("\udb40")) return "";
  const tags = text.replace(/[^\u{e0020}-\u{e007e}]+/gu, (others) => (flagEnds.test(others) ? "\u{e0020}" : ""));
  return Array.from(tags, (tag) => String.fromCodePoint((tag.codePointAt(0) ?? 0xe0020) - 0xe0000))
    .join("")
    .trim();
}

const flagEnds = /[\u{1f3f4}\u{e007f}]/u;

/**
 * Makes a search for a pattern in texts of the look-alike form.
 * @returns a function from a folded text and an offset to where the first match from there on begins and ends, or to null. Null for a pattern that this form would
 * distort so that it matched other words: one with combining marks, or in a script in which marks distinguish letters (か and
 * が, Thai and Indian vowels).
 */
export function lookAlikeSearch(
  pattern: string,
): ((folded: string, from: number) => readonly [start: number, end: number] | null) | null {
  const visible = pattern.replace(invisible, "").normalize("NFKD");
  if (
    !/^[\p{scx=Latn}\p{scx=Grek}\p{scx=Cyrl}\p{scx=Hebr}\p{scx=Arab}\p{scx=Hang}\p{scx=Hani}\p{sc=Zyyy}]+$/u.test(
      visible,
    )
  )
    return null;
  if (/\p{M}/u.test(visible)) return null;
  const units = foldLookAlike(pattern).replaceAll(GAP, "").split("");
  if (units.every((unit) => unit === " ")) return null;
  const expression = new RegExp(units.map((unit, index) => unitExpression(unit, units[index + 1])).join(""), "g");
  return (folded, from) => {
    expression.lastIndex = from;
    const match = expression.exec(folded);
    return match === null ? null : [match.index, expression.lastIndex];
  };
}

// A regular expression for one unit of a pattern. Each of these expressions can match in only one way, so the search never
// backtracks, and an attempt takes at most twice as many steps as the pattern has units.
function unitExpression(unit: string, next: string | undefined): string {
  if (unit === " ") return "[ \\u0001]";
  const exactUnit = `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return next === undefined || next === " " ? exactUnit : `${exactUnit}\\u0001?`;
}
