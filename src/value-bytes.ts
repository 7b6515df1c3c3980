/** Bytes of what is not a text: a number, a reference, the header of an object. */
const WORD = 16;

/**
 * Estimates the memory that a value takes, with everything in it, as V8 keeps it: one byte for each character of a text, or two, and
 * a few words for all else. For bounds of what is kept; it takes a few milliseconds for the largest documents.
 */
export function bytesOf(root: unknown): number {
  let bytes = 0;
  const pending: unknown[] = [root];
  while (pending.length > 0) {
    const value = pending.pop();
    bytes += WORD;
    if (typeof value === "string") bytes += 2 * value.length;
    else if (ArrayBuffer.isView(value)) bytes += value.byteLength;
    else if (typeof value === "object" && value !== null && !(value instanceof Date)) {
      const parts: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
      // One by one: so many arguments of one call could overflow the stack.
      for (const part of parts) pending.push(part);
    }
  }
  return bytes;
}
