/** The character that stands for an invisible one in a folded text: it may be nothing, and it may be a space. */
export const GAP = "\u0001";

const gap = 1;
const space = 0x20;

/**
 * Makes a fold of texts out of a fold of single characters (code points; a lone surrogate counts as one). What
 * `foldChar` returns is kept for ever, so it must depend on nothing else; it may be empty, or longer than a character.
 * A run of spaces and gaps becomes one: a space if there is a space in it. Linear in the text and in what it becomes.
 *
 * A loop over a table, and not `String.replace` with a function: that costs a call for each character of a text in
 * another script, and 5 MB of them arrive in one request.
 */
export function charFolder(foldChar: (char: string) => string): (text: string) => string {
  const table = charTable(foldChar);
  const buffer = new Uint16Array(8192);
  return (text) => {
    let folded = "";
    let used = 0;
    let blank = 0;
    for (let index = 0; index < text.length; index += 1) {
      const one = table.units[text.charCodeAt(index)] ?? unknown;
      let many = "";
      if (one === unknown) {
        const point = text.codePointAt(index) ?? 0;
        if (point > 0xffff) index += 1;
        many = table.textFor(point);
      }
      const count = one === unknown ? many.length : 1;
      for (let at = 0; at < count; at += 1) {
        const unit = one === unknown ? many.charCodeAt(at) : one;
        if (unit === space || unit === gap) {
          if (blank !== space) blank = unit;
          continue;
        }
        if (used + 2 > buffer.length) {
          folded += textOf(buffer.subarray(0, used));
          used = 0;
        }
        if (blank !== 0) buffer[used++] = blank;
        blank = 0;
        buffer[used++] = unit;
      }
    }
    // Not by way of the buffer, which may be full.
    return folded + textOf(buffer.subarray(0, used)) + (blank === 0 ? "" : String.fromCharCode(blank));
  };
}

const unknown = -1;

interface CharTable {
  /** By code unit: the one code unit that it becomes, or `unknown`: then `textFor` tells what its code point becomes. */
  readonly units: Int32Array;
  textFor(point: number): string;
}

// Filled as characters are met: most of Unicode never is, and looking up all of it would take a second at start-up.
function charTable(foldChar: (char: string) => string): CharTable {
  const units = new Int32Array(0x10000).fill(unknown);
  const texts = new Map<number, string>();
  const textFor = (point: number): string => {
    const known = texts.get(point);
    if (known !== undefined) return known;
    const text = foldChar(String.fromCodePoint(point));
    texts.set(point, text);
    // Never for a surrogate: it would hide the pair that it may begin.
    if (text.length === 1 && point <= 0xffff && !isSurrogate(point)) units[point] = text.charCodeAt(0);
    return text;
  };
  return { units, textFor };
}

function isSurrogate(point: number): boolean {
  return point >= 0xd800 && point <= 0xdfff;
}

// Not spread into arguments, which takes twice the time; nor decoded as UTF-16, which depends on the byte order.
function textOf(units: Uint16Array): string {
  return String(Reflect.apply(String.fromCharCode, undefined, units));
}
