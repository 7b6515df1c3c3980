/** A text after a replacement. */
export interface Replaced {
  readonly text: string;
  /** The parts of the text around what was replaced, with blank lines between; empty when nothing was. */
  readonly near: string;
}

/** A part of a text to put something else into. */
interface Replacement {
  readonly index: number;
  readonly length: number;
  readonly by: string;
}

// How much of the text around a replacement is kept: more than an override is long.
const around = 400;
// A part is not cut within a word, unless the word is longer than this.
const longestWord = 64;

/** Makes replacements, which are in the order of the text and do not overlap. Takes linear time. */
export function replaced(text: string, replacements: Iterable<Replacement>): Replaced {
  const pieces: string[] = [];
  let length = 0;
  let from = 0;
  const places: number[] = [];
  const add = (piece: string): void => {
    pieces.push(piece);
    length += piece.length;
  };
  for (const { index, length: replacedLength, by } of replacements) {
    add(text.slice(from, index));
    places.push(length);
    add(by);
    places.push(length);
    from = index + replacedLength;
  }
  if (places.length === 0) return { text, near: "" };
  add(text.slice(from));
  const whole = pieces.join("");
  return { text: whole, near: partsAround(whole, places) };
}

function partsAround(text: string, places: readonly number[]): string {
  const parts: string[] = [];
  let start = -1;
  let end = -1;
  for (const place of places) {
    if (start !== -1 && place - around <= end) {
      end = place + around;
      continue;
    }
    if (start !== -1) parts.push(text.slice(start, wordEnd(text, end)));
    start = wordStart(text, Math.max(place - around, end));
    end = place + around;
  }
  parts.push(text.slice(start, wordEnd(text, end)));
  return parts.join("\n\n");
}

function wordStart(text: string, index: number): number {
  if (index <= 0) return 0;
  const space = text.slice(Math.max(index - longestWord, 0), index).search(/\s\S*$/);
  return space === -1 ? index : Math.max(index - longestWord, 0) + space;
}

function wordEnd(text: string, index: number): number {
  const space = text.slice(index, index + longestWord).search(/\s/);
  return space === -1 ? index : index + space;
}
