import { tell } from "../output.ts";
import { inOneLine } from "../table.ts";

/** What people are told of a stream that breaks off: until it is mended, what they see is old. */

export function brokenText(since: Date, reason: unknown): string {
  const why = inOneLine(reason instanceof Error ? reason.message : String(reason)).replace(/\.$/, "");
  return `Disconnected since ${since.toISOString()}; reconnecting. ${why}.`;
}

/** On standard error: whatever reads standard output gets each change once, whether the stream broke off or not. */
export function tellConnection(isConnected: boolean, reason?: unknown): void {
  const now = new Date();
  tell(isConnected ? `Connected again at ${now.toISOString()}; nothing is missing.` : brokenText(now, reason));
}
