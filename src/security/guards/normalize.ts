// A combining mark. U+FF9E and U+FF9F, the half-width kana voicing marks, are letters by category, but NFKC turns them into
// combining marks.
const mark = "[\\p{M}\\uff9e\\uff9f]";
const markPattern = new RegExp(mark, "u");
const maxRunLength = 30;
const markRuns = new RegExp(`${mark}{1,${maxRunLength}}`, "gu");
const graphemeJoiner = "\u034f";

/**
 * Normalises a text in linear time. `String.normalize` sorts each run of combining marks by insertion sort, so that 1 MB of two
 * alternating marks takes V8 minutes. No language uses runs of 30 marks. Longer runs are therefore divided by combining
 * grapheme joiners, as Unicode's Stream-Safe Text Format does (UAX #15).
 * @returns the normalised text. It differs from that of `String.normalize` only for a text with a run of more than 30 marks:
 * the marks are then sorted in groups of 30, and the grapheme joiners, which are invisible, are removed from the text.
 */
export function normalize(text: string, form: "NFC" | "NFKC"): string {
  if (!mayHaveLongRun(text)) return text.normalize(form);
  return text.replace(markRuns, `$&${graphemeJoiner}`).normalize(form).replaceAll(graphemeJoiner, "");
}

// 1 for each code unit that is, or may belong to, a mark. Surrogates count as marks, because some surrogate pairs are marks. At
// worst, a text without long runs is divided needlessly.
const markUnits = Uint8Array.from({ length: 0x10000 }, (_, unit) =>
  (unit >= 0xd800 && unit <= 0xdfff) || markPattern.test(String.fromCharCode(unit)) ? 1 : 0,
);

// A loop, because a regular expression would look 30 characters ahead from each mark of each run.
function mayHaveLongRun(text: string): boolean {
  let runLength = 0;
  for (let index = 0; index < text.length; index += 1) {
    runLength = markUnits[text.charCodeAt(index)] === 1 ? runLength + 1 : 0;
    if (runLength > maxRunLength) return true;
  }
  return false;
}
