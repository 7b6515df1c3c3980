/** A text that was encoded in another one. */
export interface Decoded {
  readonly encoding: string;
  readonly text: string;
}

// None of these can match in two ways. Lines are joined, because mail breaks Base64 at 76 characters.
const base64Runs = /(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}(?:\r?\n[A-Za-z0-9+/_-]{16,})*/g;
const hexRuns = /(?<![0-9a-f])(?:(?:0x)?[0-9a-f]{2}[\s:,;-]{0,2}){8,}/gi;
const hexRunsInRot13 = /(?<![0-9n-s])(?:[0-9n-s]{2}[\s:,;-]{0,2}){8,}/gi;
const binaryRuns = /(?<![01])(?:[01]{8}[\s,]{0,2}){8,}/g;
// A run is decoded up to here first, to see whether it is a text at all: most long words are not. And a little further, because
// Base64 that is read backwards is decoded in fours from the other end.
const lookLength = 96;

/**
 * @returns the readable texts that are encoded in a text, in Base64 and hexadecimal (also backwards and in ROT13) and binary: those
 * of one encoding together, with blank lines between.
 */
export function decodedTexts(text: string): Decoded[] {
  const inBase64 = runsOf(text, base64Runs).map((run) => run.replace(/^[/+_-]+/, ""));
  const inHex = runsOf(text, hexRuns);
  return [
    decoded("Base64", inBase64, base64),
    decoded("ROT13, Base64", inBase64, (run) => base64(rot13(run))),
    decoded("backwards, Base64", inBase64, (run) => base64(backwards(run))),
    decoded("hexadecimal", inHex, hex),
    decoded("ROT13, hexadecimal", runsOf(text, hexRunsInRot13), (run) => hex(rot13(run))),
    decoded("backwards, hexadecimal", inHex, (run) => hex(backwards(run))),
    decoded("binary", runsOf(text, binaryRuns), binary),
  ].filter((each) => each.text !== "");
}

function backwards(run: string): string {
  return Array.from(run).reverse().join("");
}

function runsOf(text: string, pattern: RegExp): string[] {
  return Array.from(text.matchAll(pattern), ([run]) => run);
}

function decoded(encoding: string, runs: readonly string[], decode: (run: string) => Buffer): Decoded {
  const texts = runs
    .filter((run) => isReadable(decode(run.slice(0, lookLength + (run.length % 4))).toString("utf8")))
    .map((run) => decode(run).toString("utf8"));
  return { encoding, text: texts.filter(isReadable).join("\n\n") };
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
