import { replaced } from "./replaced.ts";

const minLength = 7;
const maxLength = 20;

/**
 * Makes a function that corrects typing errors: a word that is one error away from one of `words` (a letter more, one less,
 * another one, or two next to each other exchanged) becomes that word. Words of fewer than seven letters are left alone, and so
 * are a word's first letter and its end: other words and other forms of the same word begin and end in another way.
 * @param words each with the number of letters at its end that are left alone, 1 at least.
 * @returns a function from a folded text to the parts of the corrected text around the corrections, empty when there are none. It
 * takes time linear in its input.
 */
export function corrector(words: ReadonlyMap<string, number>): (folded: string) => string {
  const byDeletion = new Map<string, string>();
  const outlines = new Uint8Array(outlineCount);
  for (const word of words.keys()) {
    if (word.length < minLength || word.length > maxLength) continue;
    for (const shorter of [word, ...deletions(word)]) if (!byDeletion.has(shorter)) byDeletion.set(shorter, word);
    for (const length of [word.length - 1, word.length, word.length + 1]) {
      outlines[startOutline(word, 0, word.length, length)] = 1;
      outlines[endOutline(word, 0, word.length, length)] = 1;
    }
  }
  const mayHaveCorrection = (text: string, start: number, length: number): boolean =>
    outlines[startOutline(text, start, length, length)] === 1 ||
    outlines[endOutline(text, start, length, length)] === 1;
  const correction = (word: string): string | null => {
    if (words.has(word)) return null;
    for (const shorter of [word, ...deletions(word)]) {
      const candidate = byDeletion.get(shorter);
      if (candidate === undefined) continue;
      if (isOneErrorApart(word, candidate, words.get(candidate) ?? 1)) return candidate;
    }
    return null;
  };
  function* corrections(folded: string) {
    let length = 0;
    for (let end = 0; end <= folded.length; end += 1) {
      if (letters[folded.charCodeAt(end)] === 1) {
        length += 1;
        continue;
      }
      if (length >= minLength - 1 && length <= maxLength + 1 && mayHaveCorrection(folded, end - length, length)) {
        const by = correction(folded.slice(end - length, end));
        if (by !== null) yield { index: end - length, length, by };
      }
      length = 0;
    }
  }
  return (folded) => replaced(folded, corrections(folded)).near;
}

const letters = Uint8Array.from({ length: 0x10000 }, (_, unit) => (/\p{L}/u.test(String.fromCharCode(unit)) ? 1 : 0));

// An error in the first half of a word leaves its end alone, and the other way round. So a word of which neither the beginning nor
// the end is that of a known word of nearly the same length has no correction, and most words are told so at once.
const outlineCount = 1 << 20;

function startOutline(text: string, start: number, wordLength: number, length: number): number {
  const last = text.charCodeAt(start + wordLength - 1);
  return outline(text.charCodeAt(start), text.charCodeAt(start + 1), text.charCodeAt(start + 2), last, length);
}

function endOutline(text: string, start: number, wordLength: number, length: number): number {
  const last = start + wordLength - 1;
  const first = text.charCodeAt(start);
  return outline(text.charCodeAt(last), text.charCodeAt(last - 1), text.charCodeAt(last - 2), first, length + 32);
}

function outline(a: number, b: number, c: number, d: number, e: number): number {
  return (
    (Math.imul(Math.imul(Math.imul(Math.imul(a, 31) + b, 31) + c, 37) + d, 41) + Math.imul(e, 7919)) &
    (outlineCount - 1)
  );
}

function* deletions(word: string): Generator<string> {
  for (let index = 1; index < word.length - 1; index += 1) yield word.slice(0, index) + word.slice(index + 1);
}

// Two words with a deletion in common may still be two errors apart.
function isOneErrorApart(one: string, other: string, end: number): boolean {
  if (one[0] !== other[0] || one.slice(-end) !== other.slice(-end)) return false;
  let start = 0;
  while (start < one.length && one[start] === other[start]) start += 1;
  const [rest, otherRest] = [one.slice(start), other.slice(start)];
  if (rest.slice(1) === otherRest || rest === otherRest.slice(1) || rest.slice(1) === otherRest.slice(1)) return true;
  return rest[0] === otherRest[1] && rest[1] === otherRest[0] && rest.slice(2) === otherRest.slice(2);
}
