import { styleText } from "node:util";

/** A cell of a table: its text, and the colour that it has where a terminal shows colours. */
export type Cell = string | { readonly text: string; readonly color: Color };
export type Color = "red" | "green" | "yellow" | "cyan" | "gray" | "magenta";

/** @returns rows in columns as wide as their longest text; the first row is the head. */
export function table(rows: readonly (readonly Cell[])[]): string {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === "string" ? { text: cell } : cell)));
  const texts = cells.map((row) => row.map((cell) => ({ ...cell, text: inOneLine(cell.text) })));
  const widths =
    texts[0]?.map((_, column) => texts.reduce((most, row) => Math.max(most, row[column]?.text.length ?? 0), 0)) ?? [];
  return texts
    .map((row) => row.map((cell, at) => painted(cell, widths[at], at === row.length - 1)).join("  "))
    .join("\n");
}

function painted(cell: { text: string; color?: Color }, width = 0, isLast: boolean): string {
  const text = isLast ? cell.text : cell.text.padEnd(width);
  return cell.color ? colored(cell.color, text) : text;
}

/** Colours only where people read: not in a pipe, nor where NO_COLOR is set. */
export function colored(color: Color, text: string): string {
  return styleText(color, text, { stream: process.stdout });
}

/** Text is somebody else's: it must not move the cursor, nor turn the direction of writing. */
export function inOneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, "\ufffd");
}
