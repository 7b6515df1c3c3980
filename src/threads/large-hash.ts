import { jsonTextOf, mayBeLarge } from "../json-document.ts";
import { inThread, inTurn, LARGE_CHARACTERS } from "./pool.ts";
import type { Client } from "./turns.ts";

/**
 * Computes the hash of a large value in a worker thread (`canonicalHash`): to sort the keys of a few megabytes takes a tenth of a
 * second, in which nobody else would be served.
 * @returns the hash; null where the value is small, and is hashed sooner than sent to a thread.
 * @throws TryAgainError where too much large content waits already.
 */
export async function largeHash(client: Client, value: unknown): Promise<string | null> {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (isObject ? !Object.values(value).some((inner) => mayBeLarge(inner)) : !mayBeLarge(value)) return null;
  const json = isObject ? jsonOf(value) : jsonTextOf(value);
  if (json.length < LARGE_CHARACTERS) return null;
  return inTurn(client, json.length, () => inThread("hashCanonically", json));
}

/** The JSON of an object, of the texts that its values are known by. */
function jsonOf(object: object): string {
  const fields = Object.entries(object).filter(([, value]) => value !== undefined);
  return `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${jsonTextOf(value)}`).join(",")}}`;
}
