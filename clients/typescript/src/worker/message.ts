/** What is thrown may be anything, and its message, too. */
function textOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return "";
  }
}

/** @returns the message of an error, in a length and form that the server accepts. */
export function messageOf(error: unknown): string {
  return textOf(error).slice(0, 2000).toWellFormed().replaceAll("\0", "") || "It failed without a word.";
}
