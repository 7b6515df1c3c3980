/** @returns the value of a key in what is perhaps an object; undefined where it has none. */
export function valueIn(payload: unknown, key: string): unknown {
  return typeof payload === "object" && payload !== null
    ? Object.entries(payload).find(([name]) => name === key)?.[1]
    : undefined;
}

/** @returns the same, where it is a text. */
export function textIn(payload: unknown, key: string): string | undefined {
  const value = valueIn(payload, key);
  return typeof value === "string" ? value : undefined;
}
