import type { GuardedText } from "./guard.ts";

/** Stands in a text where no pattern may go across. A character for private use, which every fold keeps. */
export const BOUNDARY = "\ue000";
/** Stands in front of a JSON key; a boundary is behind it. */
export const KEY = "\ue001";

/**
 * Puts boundaries into a text: at blank lines, around headings, and, where the text is a JSON document, around each key and value,
 * without what JSON escapes. Takes linear time.
 */
export function withBoundaries({ text, isKey = false }: Pick<GuardedText, "text" | "isKey">): string {
  if (isKey) return `${KEY}${withBoundariesAtLines(text)}${BOUNDARY}`;
  return isJsonDocument(text) ? stringsOf(text).map(withBoundaries).join(BOUNDARY) : withBoundariesAtLines(text);
}

function isJsonDocument(text: string): boolean {
  if (!/^\s*[[{]/.test(text) || !/[\]}]\s{0,100}$/.test(text.slice(-101))) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

// Read from the text and not from the parsed value, which lacks all but the last value of a key that comes again. A string may hold
// a JSON document again: each level doubles the escapes, so the levels are few, and all together are no longer than twice the text.
function stringsOf(json: string): Pick<GuardedText, "text" | "isKey">[] {
  const strings: Pick<GuardedText, "text" | "isKey">[] = [];
  for (let start = json.indexOf('"'); start !== -1; ) {
    let end = start + 1;
    while (json[end] !== '"') end += json[end] === "\\" ? 2 : 1;
    const next = json.indexOf('"', end + 1);
    const between = json.slice(end + 1, next === -1 ? json.length : next);
    const text = String(JSON.parse(json.slice(start, end + 1)));
    strings.push({ text, isKey: between.trimStart().startsWith(":") });
    start = next;
  }
  return strings;
}

// A line break of any kind, and then lines with nothing but spaces.
const lineBreak = "(?:\\r\\n|\\r(?!\\n)|[\\n\\u0085\\u2028])";
const blankLines = new RegExp(`${lineBreak}(?:[^\\S\\r\\n\\u0085\\u2028]*${lineBreak})+|[\\f\\u2029]`, "g");
const heading = /^ {0,3}#{1,6}[ \t].*$/gm;
const underline = /^[=-]{3,}[ \t]*$/gm;

const marks = new RegExp(`[${BOUNDARY}${KEY}]`, "g");

function withBoundariesAtLines(text: string): string {
  // A text's own boundary characters would hide what stands around them.
  let marked = text.replace(marks, "\u200b").replace(blankLines, BOUNDARY);
  if (marked.includes("#")) marked = marked.replace(heading, `${BOUNDARY}$&${BOUNDARY}`);
  return marked.includes("---") || marked.includes("===") ? marked.replace(underline, BOUNDARY) : marked;
}
