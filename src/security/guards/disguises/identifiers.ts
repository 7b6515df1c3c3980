// Three words at least: an override has no fewer.
const camelCase = /(?<![A-Za-z])[A-Za-z][a-z]*(?:[A-Z][a-z]+){2,}/g;

/** @returns the words of the camel-case names in a text, a name a line, with blank lines between; empty when there are none. */
export function wordsOfIdentifiers(text: string): string {
  return Array.from(text.matchAll(camelCase), ([name]) => name.replace(/(?=[A-Z])/g, " ")).join("\n\n");
}
