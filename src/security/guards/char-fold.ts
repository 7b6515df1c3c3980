/** Replaces an invisible character in a folded text. A search may match it as nothing or as a space. */
export const GAP = "\u0001";

const gapUnit = 1;
const spaceUnit = 0x20;

/**
 * Makes a function that folds texts out of one that folds single characters (code points; a lone surrogate counts as one).
 *
 * The returned function loops over a lookup table instead of calling `String.replace` with a function: that would cost one
 * call for each non-ASCII character, and a request may have 5 MB of them.
 * @param foldChar may return an empty string or several characters. Its results are cached without limit, so they must
 * depend on the character alone.
 * @returns a function that folds each character of a text, and then replaces every run of spaces and GAPs by one character: a
 * space if the run contains one, else a GAP. It takes time linear in its input and output.
 */
export function charFolder(foldChar: (char: string) => string): (text: string) => string {
  const table = charTable(foldChar);
  const buffer = new Uint16Array(8192);
  return (text) => {
    let folded = "";
    let bufferLength = 0;
    // The pending run of spaces and GAPs: 0 for none, else the one unit that will replace it.
    let blankUnit = 0;
    for (let index = 0; index < text.length; index += 1) {
      const singleUnit = table.units[text.charCodeAt(index)] ?? notOneUnit;
      let foldedChar = "";
      if (singleUnit === notOneUnit) {
        const codePoint = text.codePointAt(index) ?? 0;
        if (codePoint > 0xffff) index += 1;
        foldedChar = table.foldCodePoint(codePoint);
      }
      const unitCount = singleUnit === notOneUnit ? foldedChar.length : 1;
      for (let unitIndex = 0; unitIndex < unitCount; unitIndex += 1) {
        const unit = singleUnit === notOneUnit ? foldedChar.charCodeAt(unitIndex) : singleUnit;
        if (unit === spaceUnit || unit === gapUnit) {
          if (blankUnit !== spaceUnit) blankUnit = unit;
          continue;
        }
        if (bufferLength + 2 > buffer.length) {
          folded += textOf(buffer.subarray(0, bufferLength));
          bufferLength = 0;
        }
        if (blankUnit !== 0) buffer[bufferLength++] = blankUnit;
        blankUnit = 0;
        buffer[bufferLength++] = unit;
      }
    }
    // The last blank is appended directly, because the buffer may be full.
    return folded + textOf(buffer.subarray(0, bufferLength)) + (blankUnit === 0 ? "" : String.fromCharCode(blankUnit));
  };
}

const notOneUnit = -1;

interface CharTable {
  /** By code unit, the single code unit that it folds to; or `notOneUnit`, and then `foldCodePoint` is to be called. */
  readonly units: Int32Array;
  /** @returns what a code point folds to. */
  foldCodePoint(codePoint: number): string;
}

// Filled when a character first occurs: most of Unicode never does, and folding all of it would take a second at start-up.
function charTable(foldChar: (char: string) => string): CharTable {
  const units = new Int32Array(0x10000).fill(notOneUnit);
  const foldedChars = new Map<number, string>();
  const foldCodePoint = (codePoint: number): string => {
    const cached = foldedChars.get(codePoint);
    if (cached !== undefined) return cached;
    const folded = foldChar(String.fromCodePoint(codePoint));
    foldedChars.set(codePoint, folded);
    // Not for a surrogate: with an entry in `units`, the surrogate pairs that begin with it would no longer be recognised.
    if (folded.length === 1 && codePoint <= 0xffff && !isSurrogate(codePoint)) units[codePoint] = folded.charCodeAt(0);
    return folded;
  };
  return { units, foldCodePoint };
}

function isSurrogate(codePoint: number): boolean {
  return codePoint >= 0xd800 && codePoint <= 0xdfff;
}

// `Reflect.apply` takes half the time of spreading the units into arguments. A UTF-16 decoder would depend on the machine's
// byte order.
function textOf(units: Uint16Array): string {
  return String(Reflect.apply(String.fromCharCode, undefined, units));
}
