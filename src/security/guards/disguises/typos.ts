const minLength = 7;
const maxLength = 20;

/**
 * Makes a function that corrects typing errors: a word that is one letter away from one of `words` (a letter more, one less,
 * another one, or two next to each other exchanged) becomes that word. Words of fewer than seven letters are left alone, and so
 * are a word's first and last letter: other words and other forms of the same word begin and end in another way.
 * @param realWords words that are one letter away and no errors.
 * @returns a function from a folded text to the corrected one, or to null when nothing was corrected. It takes time linear in
 * its input.
 */
export function corrector(words: Iterable<string>, realWords: Iterable<string>): (folded: string) => string | null {
  const known = new Set([...words, ...realWords]);
  const byDeletion = new Map<string, string>();
  for (const word of words) {
    if (word.length < minLength || word.length > maxLength) continue;
    for (const shorter of deletions(word)) if (!byDeletion.has(shorter)) byDeletion.set(shorter, word);
    byDeletion.set(word, word);
  }
  const correction = (word: string): string | null => {
    if (known.has(word)) return null;
    const direct = byDeletion.get(word);
    if (direct !== undefined) return checked(word, direct);
    for (const shorter of deletions(word)) {
      const candidate = byDeletion.get(shorter);
      if (candidate !== undefined) return checked(word, candidate);
    }
    return null;
  };
  return (folded) => {
    let corrected = "";
    let from = 0;
    for (const match of folded.matchAll(longWords)) {
      const better = correction(match[0]);
      if (better === null) continue;
      corrected += folded.slice(from, match.index) + better;
      from = match.index + match[0].length;
    }
    return from === 0 ? null : corrected + folded.slice(from);
  };
}

const longWords = /(?<![\p{L}\p{N}])\p{L}{6,21}(?![\p{L}\p{N}])/gu;

function* deletions(word: string): Generator<string> {
  for (let index = 1; index < word.length - 1; index += 1) yield word.slice(0, index) + word.slice(index + 1);
}

// Two words with a deletion in common may still be two errors apart.
function checked(word: string, candidate: string): string | null {
  const sameEnds = word[0] === candidate[0] && word.at(-1) === candidate.at(-1);
  return sameEnds && isOneErrorApart(word, candidate) ? candidate : null;
}

function isOneErrorApart(one: string, other: string): boolean {
  let start = 0;
  while (start < one.length && one[start] === other[start]) start += 1;
  const [rest, otherRest] = [one.slice(start), other.slice(start)];
  if (rest.slice(1) === otherRest || rest === otherRest.slice(1) || rest.slice(1) === otherRest.slice(1)) return true;
  return rest[0] === otherRest[1] && rest[1] === otherRest[0] && rest.slice(2) === otherRest.slice(2);
}
