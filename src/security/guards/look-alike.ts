import unhomoglyph from "unhomoglyph";
import { charFolder, GAP } from "./char-fold.ts";
import { caseFold, invisible } from "./fold.ts";

/**
 * What a text looks like to a reader, coarser than `fold`: made for four disguises that the fold of the spec lets by.
 *
 * - Capitals: the spec folds case first, and the small forms of Greek Ν and Cyrillic М, Т, Н, В look like no Latin letter.
 *   Here the table is asked first, then case is folded, until nothing changes.
 * - I, l, 1 and |: the table says that I is l, case folding that it is i. Here the three are one letter.
 * - Marks: all are dropped, so ignoŕe, i̇gnore and ignøre are ignore.
 * - Invisible characters in the place of a space: they become a GAP, which a pattern may take for nothing or for a space.
 *
 * Folding the result again changes nothing.
 */
export const foldLookAlike: (text: string) => string = charFolder(lookAlikeOf);

function lookAlikeOf(char: string): string {
  if (isHidden(char)) return GAP;
  let before = char;
  // Three rounds suffice for every character of Unicode 17; the fourth is the proof, and a bound if a table changes.
  for (let round = 0; round < 4; round += 1) {
    const after = oneRound(before);
    if (after === before) break;
    before = after;
  }
  return before;
}

function oneRound(text: string): string {
  const letters = drawn(unhomoglyph(drawn(text)));
  return caseFold(letters)
    .replace(/\p{White_Space}+/gu, " ")
    .replaceAll("i", "l");
}

// With the alphabets that the confusables table does not know, decomposed, without marks. The alphabets come first,
// because NFKD would make three characters of a letter in brackets.
function drawn(text: string): string {
  const letters = Array.from(text, (char) => alphabets.get(char) ?? char).join("");
  return letters.normalize("NFKD").replace(/\p{M}/gu, "");
}

// Controls that are not whitespace, and the empty Braille cell, are as invisible as those that Unicode calls ignorable.
function isHidden(char: string): boolean {
  return char.search(invisible) === 0 || /^(?!\p{White_Space})[\p{Cc}\u2800]$/u.test(char);
}

// Small capitals (with what the table makes of Cyrillic к and м and of epsilon), and the letters in brackets, in
// circles, in squares and of flags, which NFKC leaves alone or gives brackets.
const smallCapitals = "aᴀbʙcᴄdᴅeᴇfꜰgɢhʜiɪjᴊkᴋlʟmᴍnɴoᴏpᴘrʀsꜱtᴛuᴜvᴠwᴡyʏzᴢkĸmʍeꞓ";
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

/** The text that a text carries in tag characters: nobody sees them, but models read them as the ASCII they stand for. */
export function hiddenText(text: string): string {
  if (!text.includes("\udb40")) return "";
  const tags = text.replace(/[^\u{e0020}-\u{e007e}]+/gu, "");
  return Array.from(tags, (tag) => String.fromCodePoint((tag.codePointAt(0) ?? 0xe0020) - 0xe0000)).join("");
}

/**
 * A search for a folded pattern in a folded text: the offset, or -1. Null for a pattern that this fold would make
 * mean something else: one that has marks itself, or is in a script where marks are part of the letter (か and が, Thai
 * and Indian vowels), would match words that are none of its own.
 */
export function lookAlikeSearch(pattern: string): ((folded: string) => number) | null {
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
  const expression = new RegExp(units.map((unit, index) => step(unit, units[index + 1])).join(""));
  return (folded) => folded.search(expression);
}

// Every step can go on in one way only, so an attempt costs at most twice the pattern's length and nothing backtracks.
function step(unit: string, next: string | undefined): string {
  if (unit === " ") return "[ \\u0001]";
  const exactly = `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return next === undefined || next === " " ? exactly : `${exactly}\\u0001?`;
}
