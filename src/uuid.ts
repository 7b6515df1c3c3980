/** The source of a regular expression for a UUID of any version, in lower case and without anchors. */
export const UUID_PATTERN = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";

const UUID = new RegExp(`^${UUID_PATTERN}$`, "i");

/** The nil UUID: it sorts before every other UUID, and no row has it, because all ids are version 7. */
export const NIL_UUID = "00000000-0000-0000-0000-000000000000";

/** Whether a text is a UUID, in upper or lower case. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/**
 * @returns the UUID in lower case, as the database writes it, so that equal ids are equal strings; undefined for
 * anything else.
 */
export function asUuid(value: unknown): string | undefined {
  return typeof value === "string" && UUID.test(value) ? value.toLowerCase() : undefined;
}

/**
 * @returns the id if it is a UUID, otherwise the nil UUID: a query then finds nothing, instead of failing on a bad
 * value.
 */
export function uuidOrNil(id: string): string {
  return asUuid(id) ?? NIL_UUID;
}
