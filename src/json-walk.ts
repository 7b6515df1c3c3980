/**
 * One level of a depth-first walk over a JSON value: an array or object whose values are being visited. The levels are
 * linked instead of recursive calls, because a value may be nested deeper than the stack allows. Only open levels
 * exist, so that the walk over a value with a million items needs no list of them.
 */
export interface Level<Context> {
  readonly values: readonly unknown[];
  /** The keys of an object; undefined for an array. */
  readonly keys: readonly string[] | undefined;
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
  if (Array.isArray(value)) return { values: value, keys: undefined, context, parent, nextIndex: 0 };
  // Own properties only: a lookup such as `value["__proto__"]` would find the prototype of an object without that key.
  return { values: Object.values(value), keys: Object.keys(value), context, parent, nextIndex: 0 };
}
