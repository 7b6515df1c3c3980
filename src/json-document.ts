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

/** Items of a list, and characters of a text, with which a value may be large. */
const FEW_ITEMS = 10;
const SHORT_TEXT = 2_000;
/** Levels that are looked at: a report's list, its items, and their texts. */
const LEVELS = 3;

/**
 * Tells at once, without writing it as text, whether a value may be large. The documents in it that a client sent have been
 * measured, and are remembered if they are large (`jsonTextOf`); what is deeper in a small one is small.
 */
export function mayBeLarge(value: unknown, levels = LEVELS): boolean {
  if (typeof value === "string") return value.length > SHORT_TEXT;
  if (typeof value !== "object" || value === null || levels === 0) return false;
  if (texts.has(value) || (Array.isArray(value) && value.length > FEW_ITEMS)) return true;
  return Object.values(value).some((inner) => mayBeLarge(inner, levels - 1));
}
