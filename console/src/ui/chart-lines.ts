/** As many lines as a chart has colours: where there are more, the last line is that of all others together. */
const MAX_LINES = 7;
export const OTHERS = "all others";

/** @returns those of an ordered list that get a line of their own, and those that share the last one. */
export function splitLines<T>(ordered: readonly T[]): { readonly shown: readonly T[]; readonly others: readonly T[] } {
  const shown = ordered.slice(0, ordered.length > MAX_LINES ? MAX_LINES - 1 : MAX_LINES);
  return { shown, others: ordered.slice(shown.length) };
}
