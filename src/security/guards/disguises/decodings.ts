/** A text that was encoded in another one. */
export interface Decoded {
  readonly encoding: string;
  readonly text: string;
}

// None of these can match in two ways. Lines are joined, because mail breaks Base64 at 76 characters.
const base64Runs = /(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}(?:\r?\n[A-Za-z0-9+/_-]{16,})*/g;
const hexRuns = /(?<![0-9a-f])(?:(?:0x)?[0-9a-f]{2}[\s:,;-]{0,2}){8,}/gi;
const binaryRuns = /(?<![01])(?:[01]{8}[\s,]{0,2}){8,}/g;
// A run is decoded up to here first, to see whether it is a text at all: most long words are not.
const lookLength = 96;

/** @returns the readable texts that are encoded in a text, in Base64 (also turned by ROT13), hexadecimal and binary. */
export function decodedTexts(text: string): Decoded[] {
  const found: Decoded[] = [];
  const add = (encoding: string, run: string, decode: (run: string) => Buffer): void => {
    if (!isReadable(decode(run.slice(0, lookLength)).toString("utf8"))) return;
    const decoded = decode(run).toString("utf8");
    if (isReadable(decoded)) found.push({ encoding, text: decoded });
  };
  for (const [run] of text.matchAll(base64Runs)) {
    add("Base64", run.replace(/^[/+_-]+/, ""), base64);
    add("ROT13, Base64", run, (each) => base64(rot13(each)));
  }
  for (const [run] of text.matchAll(hexRuns)) add("hexadecimal", run, hex);
  for (const [run] of text.matchAll(binaryRuns)) add("binary", run, binary);
  return found;
}

function base64(run: string): Buffer {
  return Buffer.from(run, "base64");
}

function hex(run: string): Buffer {
  return Buffer.from(run.replace(/0x|[^0-9a-f]/gi, ""), "hex");
}

function binary(run: string): Buffer {
  return Buffer.from(run.match(/[01]{8}/g)?.map((byte) => Number.parseInt(byte, 2)) ?? []);
}

/** @returns the text with each of the 26 letters replaced by the one 13 places on. */
export function rot13(text: string): string {
  return text.replace(/[a-z]/gi, (letter) => {
    const start = letter <= "Z" ? 0x41 : 0x61;
    return String.fromCharCode(((letter.charCodeAt(0) - start + 13) % 26) + start);
  });
}

// The end of a part, or of a run that goes on with something else, may be unreadable.
function isReadable(text: string): boolean {
  const unreadable = text.match(/(?!\s)[\p{Cc}\ufffd]/gu)?.length ?? 0;
  return text.length > 4 && unreadable * 10 <= text.length;
}
