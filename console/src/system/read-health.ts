import { addressOf } from "../api/place.ts";
import { type Health, healthIn } from "./health.ts";

export interface Answer {
  /** Null where it says nothing that can be read. */
  readonly health: Health | null;
  readonly raw: unknown;
}

/** Who asks may not. */
export class NotAllowed extends Error {}

/** @throws NotAllowed, and an Error where there is no answer that can be read. */
export async function readHealth(signal: AbortSignal): Promise<Answer> {
  const response = await fetch(addressOf("health"), { signal, cache: "no-store" });
  if (response.status === 401 || response.status === 403)
    throw new NotAllowed(`The server tells its health to others (HTTP ${response.status}).`);
  const raw: unknown = await response.json().catch(() => {
    throw new Error(`The server answered HTTP ${response.status}, and nothing that is JSON.`);
  });
  return { health: healthIn(raw), raw };
}
