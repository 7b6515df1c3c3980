/** @returns the value of a key in what is perhaps an object; undefined where it has none. */
export function valueIn(payload: unknown, key: string): unknown {
  return typeof payload === "object" && payload !== null
    ? Object.entries(payload).find(([name]) => name === key)?.[1]
    : undefined;
}
