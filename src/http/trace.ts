import { randomUUID } from "node:crypto";

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;

/**
 * @param traceparent the header of W3C Trace Context, if there is one.
 * @returns the id of the trace that a request belongs to, in 32 hexadecimal digits; a new one where it names none.
 */
export function traceIdOf(traceparent: unknown): string {
  const [, sent] = (typeof traceparent === "string" && TRACEPARENT.exec(traceparent)) || [];
  return sent ?? randomUUID().replaceAll("-", "");
}
