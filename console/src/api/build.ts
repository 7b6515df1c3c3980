import { addressOf } from "./place.ts";

/**
 * Asks the server which build of the console it has, which needs no key.
 * @throws where it does not answer.
 */
export async function readBuild(signal: AbortSignal): Promise<string> {
  const response = await fetch(addressOf("build.json"), { cache: "no-store", signal });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return response.text();
}
