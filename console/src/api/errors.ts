import { JobServerError, UnansweredError } from "@ai-job-server/sdk/client";

/** What may be answered if it is asked again. */
export function isTransientError(error: unknown): boolean {
  return error instanceof UnansweredError || codeOf(error) === "TRY_AGAIN" || codeOf(error) === "RATE_LIMITED";
}

/** @returns the server's code of a refusal; undefined for what is none. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof JobServerError ? error.code : undefined;
}

/** @returns why something could not be read, as a sentence for people: nothing was asked for that might have been done. */
export function readErrorOf(error: unknown): string {
  if (error instanceof UnansweredError)
    return "The server did not answer. The page tries again as soon as the server is back.";
  return messageOf(error);
}

/** @returns why something was not done, as a sentence for people. */
export function messageOf(error: unknown): string {
  if (error instanceof UnansweredError) return "The server did not answer. Nobody knows whether it did what was asked.";
  return error instanceof Error ? error.message : String(error);
}

/** @returns what the server found wrong, by the field of the input that it is about; what is wrong within a field stands at the field. */
export function faultsOf(error: unknown): ReadonlyMap<string, string> {
  const faults = new Map<string, string>();
  if (!(error instanceof JobServerError)) return faults;
  const { issues = [], path } = error.details;
  const all = issues.length > 0 ? issues : path ? [{ path, message: error.message }] : [];
  for (const { path: place, message } of all) {
    const [name, ...rest] = place[0] === "input" ? place.slice(1) : place;
    if (name === undefined) continue;
    const said = rest.length > 0 ? `${rest.map(placeText).join(" ")}: ${message}` : message;
    const before = faults.get(name);
    faults.set(name, before === undefined ? said : `${before} ${said}`);
  }
  return faults;
}

/** @returns a part of a place: people count from 1. */
function placeText(part: string): string {
  return /^\d+$/.test(part) ? `no. ${Number(part) + 1}` : part;
}
