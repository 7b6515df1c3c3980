import { hiddenText } from "../look-alike.ts";
import { decodedTexts } from "./decodings.ts";
import { unescaped } from "./escapes.ts";
import { wordsOfIdentifiers } from "./identifiers.ts";
import { withoutMarkup } from "./markup.ts";

/** What a text says when a disguise is taken off. */
export interface Reading {
  /** How it was got, such as `Base64, without markup`. */
  readonly name: string;
  readonly text: string;
}

/** How many encodings within one another are decoded. */
const maxDepth = 3;

/**
 * Gives the readings of a text beside the text itself: the text of its tag characters, the words of its names in camel case, the
 * text without escapes and without markup, as far as these change it, and the texts that are encoded in it, with their own
 * readings.
 * @param budget how many characters all decoded texts together may have.
 * @returns after the last reading, how many decoded characters were left out: nested too deep, or too many.
 */
export function* readingsOf(text: string, budget: number): Generator<Reading, number> {
  let left = budget;
  let leftOut = 0;
  const waiting: (Reading & { readonly depth: number })[] = [{ name: "", text, depth: 0 }];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const { name, text: parent, depth } = next;
    if (depth > 0) yield { name, text: parent };
    const plain = unescaped(parent);
    for (const { encoding, text: decoded } of decodedTexts(plain.text)) {
      if (depth < maxDepth && decoded.length <= left) {
        left -= decoded.length;
        waiting.push({ name: nameWithin(name, encoding), text: decoded, depth: depth + 1 });
      } else leftOut += decoded.length;
    }
    const others: readonly Reading[] = [
      { name: "hidden tags", text: hiddenText(parent) },
      { name: "names", text: wordsOfIdentifiers(parent) },
      { name: "unescaped", text: plain.near },
      { name: "without markup", text: withoutMarkup(plain.text).near },
    ];
    for (const other of others) {
      if (other.text !== "") yield { name: nameWithin(name, other.name), text: other.text };
    }
  }
  return leftOut;
}

function nameWithin(name: string, reading: string): string {
  return name === "" ? reading : `${name}, ${reading}`;
}
