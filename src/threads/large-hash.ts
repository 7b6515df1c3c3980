import { jsonTextOf, mayBeLarge } from "../json-document.ts";
import { inThread, inTurn, LARGE_CHARACTERS } from "./pool.ts";
import type { Client } from "./turns.ts";

/**
 * Computes the hash of a large object in a worker thread (`canonicalHash`): to sort the keys of a few megabytes takes a tenth of a
 * second, in which nobody else would be served.
 * @returns the hash; null where the object is small, and is hashed sooner than sent to a thread.
 * @throws TryAgainError where too much large content waits already.
 */
export async function largeHash(client: Client, object: object): Promise<string | null> {
  if (!Object.values(object).some((value) => mayBeLarge(value))) return null;
  const json = jsonOf(object);
  if (json.length < LARGE_CHARACTERS) return null;
  return inTurn(client, json.length, () => inThread("hashCanonically", json));
}

/** The JSON of an object, of the texts that its values are known by. */
function jsonOf(object: object): string {
  const fields = Object.entries(object).filter(([, value]) => value !== undefined);
  return `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${jsonTextOf(value)}`).join(",")}}`;
}
