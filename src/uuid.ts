/** UUIDs as texts. */

/** The pattern of a UUID, of any version, inside a longer text. */
export const UUID_PATTERN = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";

const UUID = new RegExp(`^${UUID_PATTERN}$`, "i");

/** The UUID that sorts before every other one, and that no row has: they are all version 7. */
export const NIL_UUID = "00000000-0000-0000-0000-000000000000";

/** A UUID as the database writes it, in lower case, so that equal ids are equal texts; undefined for anything else. */
export function asUuid(value: unknown): string | undefined {
  return typeof value === "string" && UUID.test(value) ? value.toLowerCase() : undefined;
}

/** The id itself where PostgreSQL would take it for a UUID, else the nil UUID: a look-up then finds nothing instead of failing. */
export function uuidOrNil(id: string): string {
  return asUuid(id) ?? NIL_UUID;
}
