/**
 * The JSON texts of large documents. A document of a few megabytes takes some 10 ms to write as text, and is needed as text
 * several times on its way: to be measured, hashed and stored. So its text is remembered as long as the document lives.
 */
const texts = new WeakMap<object, string>();

/** Shorter texts are made again: that takes less than to remember them. */
const REMEMBERED_CHARACTERS = 16_000;

/** @returns the JSON text of a value. The value must not be changed afterwards. */
export function jsonTextOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const text = texts.get(value) ?? JSON.stringify(value);
  if (text.length >= REMEMBERED_CHARACTERS) texts.set(value, text);
  return text;
}
