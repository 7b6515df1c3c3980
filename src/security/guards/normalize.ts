// The half-width kana voicing marks are letters by category, but NFKC makes them marks.
const mark = "[\\p{M}\\uff9e\\uff9f]";
const aMark = new RegExp(mark, "u");
const markRuns = new RegExp(`${mark}{1,30}`, "gu");
const longestRun = 30;
const joiner = "\u034f";

/**
 * Unicode normalisation in linear time. The plain one sorts each run of combining marks by insertion: 1 MB of two
 * alternating marks takes V8 minutes. No language stacks 30 marks, so longer runs are cut there by a combining
 * grapheme joiner, as Unicode's Stream-Safe Text Format does (UAX #15). In a text with such a run, marks beyond 30 keep
 * their order, and grapheme joiners, which nobody sees, are dropped.
 */
export function normalize(text: string, form: "NFC" | "NFKC"): string {
  if (!mayHaveLongRun(text)) return text.normalize(form);
  return text.replace(markRuns, `$&${joiner}`).normalize(form).replaceAll(joiner, "");
}

// Halves of surrogate pairs are taken for marks, some being: at worst, a text without long runs is cut for nothing.
const markUnits = Uint8Array.from({ length: 0x10000 }, (_, unit) =>
  (unit >= 0xd800 && unit <= 0xdfff) || aMark.test(String.fromCharCode(unit)) ? 1 : 0,
);

// A loop, because a regular expression looks 30 characters ahead from each mark of each run.
function mayHaveLongRun(text: string): boolean {
  let run = 0;
  for (let index = 0; index < text.length; index += 1) {
    run = markUnits[text.charCodeAt(index)] === 1 ? run + 1 : 0;
    if (run > longestRun) return true;
  }
  return false;
}
