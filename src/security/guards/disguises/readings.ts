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
 * text without escapes and without markup, as far as these change it, and the texts that are encoded in it, with their own readings.
 * @param budget how many characters all readings together may have. Encodings in one another at most four times the text;
 * a decoded text that does not fit is left out.
 * @returns after the last reading, how many decoded characters were left out because they are nested too deep or do not fit.
 */
export function* readingsOf(text: string, budget: number): Generator<Reading, number> {
  let left = budget;
  let leftOut = 0;
  const waiting: (Reading & { readonly depth: number })[] = [{ name: "", text, depth: 0 }];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const { name, text: parent, depth } = next;
    const named = (reading: string) => (name === "" ? reading : `${name}, ${reading}`);
    if (depth > 0) yield { name, text: parent };
    const plain = unescaped(parent);
    const others = [
      { name: named("hidden tags"), text: hiddenText(parent) },
      { name: named("names"), text: wordsOfIdentifiers(parent) },
      { name: named("unescaped"), text: plain.near },
      { name: named("without markup"), text: withoutMarkup(plain.text).near },
    ];
    for (const other of others) if (other.text !== "") yield other;
    for (const { encoding, text: decoded } of decodedTexts(plain.text)) {
      if (depth < maxDepth && decoded.length <= left) {
        left -= decoded.length;
        waiting.push({ name: named(encoding), text: decoded, depth: depth + 1 });
      } else leftOut += decoded.length;
    }
  }
  return leftOut;
}
