import { type GuardedText, textsOf } from "./guard.ts";

/** Stands in a text where no pattern may go across. A character for private use, which every fold keeps. */
export const WALL = "\ue000";
/** Stands in front of a JSON key; a wall is behind it. */
export const KEY = "\ue001";

/**
 * Puts walls into a text: at blank lines, around headings, and, where the text is a JSON document, around each key and value,
 * without what JSON escapes. Takes linear time.
 */
export function withWalls({ text, isKey = false }: Pick<GuardedText, "text" | "isKey">): string {
  if (isKey) return `${KEY}${withWallsAtLines(text)}${WALL}`;
  const parts = jsonParts(text);
  if (parts === null) return withWallsAtLines(text);
  return parts.map((part) => withWalls({ text: part.text, isKey: part.isKey ?? false })).join(WALL);
}

// A string of a JSON document may hold a JSON document again. Each level doubles the escapes, so the levels are few, and all of
// them together are no longer than twice the text.
function jsonParts(text: string): GuardedText[] | null {
  const trimmed = text.trim();
  if (!/^[[{]/.test(trimmed) || !/[\]}]$/.test(trimmed)) return null;
  try {
    return textsOf(JSON.parse(trimmed), "");
  } catch {
    return null;
  }
}

// A line break of any kind, and then lines with nothing but spaces.
const lineBreak = "(?:\\r\\n|\\r(?!\\n)|[\\n\\u0085\\u2028])";
const blankLines = new RegExp(`${lineBreak}(?:[^\\S\\r\\n\\u0085\\u2028]*${lineBreak})+|[\\f\\u2029]`, "g");
const heading = /^ {0,3}#{1,6}[ \t].*$/gm;
const underline = /^[=-]{3,}[ \t]*$/gm;

function withWallsAtLines(text: string): string {
  let walled = text.replace(blankLines, WALL);
  if (walled.includes("#")) walled = walled.replace(heading, `${WALL}$&${WALL}`);
  return walled.includes("---") || walled.includes("===") ? walled.replace(underline, WALL) : walled;
}
