/** @returns the message of an error, in a length and form that the server accepts. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.slice(0, 2000).toWellFormed().replaceAll("\0", "") || "It failed without a word.";
}
