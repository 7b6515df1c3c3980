/**
 * Walks over a JSON value of any depth and width: without recursion, since it may be nested deeper than the stack, and
 * with one entry for each level that is open, since it may have a million items.
 */
export interface Level<Place> {
  readonly values: readonly unknown[];
  /** The keys of an object; undefined for an array. */
  readonly keys: readonly string[] | undefined;
  /** What the walk has to know of where this level stands. */
  readonly context: Place;
  /** The level that this one is a value of. */
  readonly parent: Level<Place> | undefined;
  /** The index of the value that comes next. */
  nextIndex: number;
}

/** The level that a value opens; undefined for one that is neither an array nor an object. */
export function levelOf<Place>(value: unknown, context: Place, parent?: Level<Place>): Level<Place> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (Array.isArray(value)) return { values: value, keys: undefined, context, parent, nextIndex: 0 };
  // Own ones only: reading `value["__proto__"]` is safe for JSON.parse's own keys, but not for an object without.
  return { values: Object.values(value), keys: Object.keys(value), context, parent, nextIndex: 0 };
}
