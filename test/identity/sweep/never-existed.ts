import { randomBytes } from "node:crypto";

/** Names of things that never existed, which look like those of things that do, and stand at the same place of a sorted list. */

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const LEASE_TOKEN = /^[\w-]{43}$/;

/**
 * @param word the word that stands in the texts of the workspace that the value is of.
 * @returns a value of the same form that names nothing.
 */
export function neverExisted(value: string, word: string): string {
  if (LEASE_TOKEN.test(value)) return randomBytes(32).toString("base64url");
  const changed = otherIds(value, word);
  if (changed !== value) return changed;
  // A global id or a cursor of a list: ids in other clothes.
  const encoding =
    value.endsWith("=") || Buffer.from(value, "base64").toString("base64") === value ? "base64" : "base64url";
  const decoded = Buffer.from(value, encoding).toString();
  const other = otherIds(decoded, word);
  if (other === decoded) throw new Error(`Nobody knows what of ${value} to change.`);
  return Buffer.from(other).toString(encoding);
}

function otherIds(text: string, word: string): string {
  return text
    .replaceAll(UUID, (id) => id.slice(0, -4) + otherDigits(id.slice(-4)))
    .replaceAll(word, `${word.slice(0, -1)}~`);
}

/** @returns as many other digits: by chance they may be drawn that are there. */
function otherDigits(digits: string): string {
  const drawn = randomBytes(digits.length / 2).toString("hex");
  return drawn === digits ? otherDigits(digits) : drawn;
}
