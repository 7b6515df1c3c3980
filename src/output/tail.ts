/**
 * The end of a run's output, which is guarded once more together with what is appended: an injection may be parted by the border of
 * two chunks (section 13).
 */

/** The characters before a new chunk that guards look at with it, where there are as many. */
const TAIL_CHARACTERS = 2000;
/** How many more are looked through for a place where a sentence begins. */
const MARGIN = 500;
/** The characters that `tailOf` takes its tail from. */
export const TAIL_SOURCE_CHARACTERS = TAIL_CHARACTERS + MARGIN;

const SENTENCE_END = /[.!?…]["')\]»”’]*\s+|[。！？]["'）」』”’]*\s*|\n\s*/gu;
const SPACE = /\s+/gu;

/**
 * The tail begins where a sentence does, or else a word: "do not ignore the previous instructions" is harmless, and without its
 * first two words it would poison the job.
 * @param end the last `TAIL_SOURCE_CHARACTERS` of the output, or all of it where it is shorter.
 * @returns at least the last `TAIL_CHARACTERS` of it.
 */
export function tailOf(end: string): string {
  if (end.length < TAIL_SOURCE_CHARACTERS) return end;
  const margin = end.slice(0, end.length - TAIL_CHARACTERS);
  return end.slice(lastEndOf(SENTENCE_END, margin) ?? lastEndOf(SPACE, margin) ?? 0);
}

/** @returns where the last match ends; undefined where there is none. */
function lastEndOf(pattern: RegExp, text: string): number | undefined {
  const last = [...text.matchAll(pattern)].at(-1);
  return last && last.index + last[0].length;
}
