/**
 * Takes a value for what it is said to be, without a look at it: for what somebody else vouches for, such as the server, which has
 * validated each operation against the schema that the types come from. The one place where the kit does so.
 */
export function trust<T>(value: unknown): T {
  assertTrusted<T>(value);
  return value;
}

function assertTrusted<T>(_value: unknown): asserts _value is T {}
