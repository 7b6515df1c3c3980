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

/** Lets the browser save a text as a file. */
export function save(text: string, name: string, type: string): void {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser has taken it by then.
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
