import { decodeHTML } from "entities";

// Each alternative begins with another character than it can go on with, so nothing is read twice. In order: percent encoding,
// quoted-printable, its soft line break, the escapes of JavaScript and JSON.
const escapes =
  /(?:%[0-9a-f]{2})+|(?:=[0-9a-f]{2})+|=\r?\n|(?:\\x[0-9a-f]{2})+|\\u\{[0-9a-f]{1,6}\}|\\u[0-9a-f]{4}|\\[nrt]/gi;

/**
 * Replaces what stands for other characters: HTML entities, percent encoding, quoted-printable, escapes of JavaScript and JSON.
 * @returns the text itself when it has none.
 */
export function unescaped(text: string): string {
  const plain = text.includes("&") ? decodeHTML(text) : text;
  return /[%=\\]/.test(plain) ? plain.replace(escapes, charactersOf) : plain;
}

function charactersOf(escape: string): string {
  if (/^=\r?\n$/.test(escape)) return "";
  if (/^\\[nrt]$/.test(escape)) return "\n";
  if (escape.startsWith("\\u") || escape.startsWith("\\U")) {
    const codePoint = Number.parseInt(escape.replace(/[^0-9a-f]/gi, ""), 16);
    return codePoint <= 0x10ffff ? String.fromCodePoint(codePoint) : escape;
  }
  const bytes = Buffer.from(escape.replace(/[%=\\x]/gi, ""), "hex");
  const utf8 = bytes.toString("utf8");
  return utf8.includes("\ufffd") ? bytes.toString("latin1") : utf8;
}
