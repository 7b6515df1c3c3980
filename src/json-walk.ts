/**
 * One level of a depth-first walk over a JSON value: an array or object whose values are being visited. The levels are
 * linked instead of recursive calls, because a value may be nested deeper than the stack allows. Only open levels
 * exist, so that the walk over a value with a million items needs no list of them.
 */
export interface Level<Context> {
  /** The keys of an object; undefined for an array. */
  readonly keys: readonly string[] | undefined;
  readonly size: number;
  /** The value at an index: of an object, that of the key with this index. */
  readonly valueAt: (index: number) => unknown;
  /** What the walk keeps for this level, such as its depth or its path. */
  readonly context: Context;
  /** The level that contains this one; undefined for the root. */
  readonly parent: Level<Context> | undefined;
  /** The index of the next value to visit; the walk increases it. */
  nextIndex: number;
}

/** @returns the level of an array or object; undefined for any other value. */
export function levelOf<Context>(
  value: unknown,
  context: Context,
  parent?: Level<Context>,
): Level<Context> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const rest = { context, parent, nextIndex: 0 };
  if (Array.isArray(value)) {
    const items: readonly unknown[] = value;
    return { keys: undefined, size: items.length, valueAt: (index) => items[index], ...rest };
  }
  // Looked up one by one: `Object.values` takes three times as long for an object of 100,000 keys. Only own keys are looked up, so a
  // key such as `__proto__` gives the object's own value.
  const keys = Object.keys(value);
  return { keys, size: keys.length, valueAt: (index) => ownValue(value, keys[index] ?? ""), ...rest };
}

function ownValue(object: object, key: string): unknown {
  return Reflect.get(object, key);
}
