import { decodeHTML } from "entities";
import { type Replaced, replaced } from "./replaced.ts";

// Each alternative begins with another character than it can go on with, so nothing is read twice. In order: HTML entities,
// percent encoding, quoted-printable, its soft line break, the escapes of JavaScript and JSON.
const escapes =
  /&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});?|(?:%[0-9a-f]{2})+|(?:=[0-9a-f]{2})+|=\r?\n|(?:\\x[0-9a-f]{2})+|\\u\{[0-9a-f]{1,6}\}|\\u[0-9a-f]{4}|\\[nrt]/gi;

// An escape may be escaped again, as %2520 is.
const maxRounds = 3;

/** Replaces what stands for other characters: HTML entities, percent encoding, quoted-printable, escapes of JavaScript and JSON. */
export function unescaped(text: string): Replaced {
  let plain = text;
  const parts: string[] = [];
  for (let round = 0; round < maxRounds && /[&%=\\]/.test(plain); round += 1) {
    const next = replaced(plain, replacements(plain));
    if (next.near === "") break;
    parts.push(next.near);
    plain = next.text;
  }
  return { text: plain, near: parts.join("\n\n") };
}

function* replacements(text: string) {
  for (const { 0: escape, index } of text.matchAll(escapes)) {
    const by = charactersOf(escape);
    if (by !== escape) yield { index, length: escape.length, by };
  }
}

function charactersOf(escape: string): string {
  if (escape.startsWith("&")) return decodeHTML(escape);
  if (/^=\r?\n$/.test(escape)) return "";
  if (/^\\[nrt]$/i.test(escape)) return "\n";
  if (/^\\u/i.test(escape)) {
    const codePoint = Number.parseInt(escape.replace(/[^0-9a-f]/gi, ""), 16);
    return codePoint <= 0x10ffff ? String.fromCodePoint(codePoint) : escape;
  }
  const bytes = Buffer.from(escape.replace(/[%=\\x]/gi, ""), "hex");
  const utf8 = bytes.toString("utf8");
  return utf8.includes("\ufffd") ? bytes.toString("latin1") : utf8;
}
