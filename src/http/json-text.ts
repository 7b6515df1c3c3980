/** Characters of a GraphQL document: more than anybody writes by hand. Large values belong in variables. */
export const MAX_DOCUMENT_LENGTH = 100_000;

/** Limits of a JSON text from outside, which are checked before it is parsed. */
export interface JsonLimits {
  /** Lists and objects inside each other. */
  readonly maxDepth: number;
  /** Values, those inside lists and objects included. */
  readonly maxValues: number;
  /** The level at which a request's GraphQL document stands, under the key `query`; left out, none is looked for. */
  readonly queryDepth?: number;
}

/**
 * Characters of a document as JSON writes it, beyond which it has too many whatever it says: six for each character, as in \u0041.
 * A longer one is not parsed, which would take as long as for the largest request that is of use.
 */
const MAX_QUERY_TEXT = 6 * MAX_DOCUMENT_LENGTH;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
/** What stands before the document. */
const QUERY_KEY = /"query"\s*:\s*$/;
const OPENING: ReadonlySet<number> = new Set([0x5b, 0x7b]);
const CLOSING: ReadonlySet<number> = new Set([0x5d, 0x7d]);

/**
 * Counts the levels and values of a JSON text without parsing it. A text of a few megabytes may be a million empty lists, or a list
 * a million levels deep: to parse one, and to walk over it afterwards, takes a second in which nobody else is served. The
 * count takes a few milliseconds. A text that is not JSON is counted, too, and refused by the parser.
 * @returns what the text has too much of; undefined where it is within the limits.
 */
export function excessOf(
  text: string,
  { maxDepth, maxValues, queryDepth }: JsonLimits,
): "maxDepth" | "maxValues" | "maxQuery" | undefined {
  let depth = 0;
  let values = 1;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const start = at;
      at = endOfString(text, at);
      if (
        depth === queryDepth &&
        at - start > MAX_QUERY_TEXT &&
        QUERY_KEY.test(text.slice(Math.max(0, start - 40), start))
      )
        return "maxQuery";
    } else if (code === COMMA) values += 1;
    else if (OPENING.has(code)) {
      depth += 1;
      values += 1;
      if (depth > maxDepth) return "maxDepth";
    } else if (CLOSING.has(code)) depth -= 1;
    if (values > maxValues) return "maxValues";
  }
  return undefined;
}

/** @returns the place of the quote that ends the string which begins at `start`; the end of the text where there is none. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end === -1 ? text.length : end;
}

/** Whether an odd number of backslashes stands before a place. */
function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text.charCodeAt(first - 1) === BACKSLASH) first -= 1;
  return (at - first) % 2 === 1;
}
