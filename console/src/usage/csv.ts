/** Tables for spreadsheets, in the format of RFC 4180. */

/** What makes a spreadsheet take a cell for a formula, which may send what stands beside it to somebody. */
const FORMULA = /^[=+\-@\t\r]/;
const NEEDS_QUOTES = /[",\r\n]|^\s|\s$/;

/** @returns the text of a table. A cell that a spreadsheet would calculate gets an apostrophe before it, and is a text then. */
export function csvOf(rows: readonly (readonly string[])[]): string {
  return rows.map((cells) => `${cells.map((cell) => cellOf(cell)).join(",")}\r\n`).join("");
}

function cellOf(text: string): string {
  const tame = FORMULA.test(text) ? `'${text}` : text;
  return NEEDS_QUOTES.test(tame) ? `"${tame.replaceAll('"', '""')}"` : tame;
}
