/**
 * Returns a value as it is; does not compile where the value has a property that `Shape` has not. An object that is built
 * by a spread (`{ ...input, priority }`) carries such a property along in silence: a new field of a GraphQL input would
 * compile, be accepted from clients, and be read by nothing.
 * @typeParam Shape what the receiver reads.
 */
export function exact<Shape>() {
  return <Given extends Shape>(given: Given & Record<Exclude<keyof Given, keyof Shape>, never>): Shape => given;
}
