import type { Plugin } from "graphql-yoga";
import { isLoopback } from "../../config.ts";
import type { ErrorCode } from "../../errors.ts";

/**
 * Keeps foreign web pages from calling the server through a user's browser. Without auth (section 11), everybody
 * who reaches the server may use it, so three checks stand in for a login:
 * - A body must be JSON. Forms and plain text are what a browser sends for a foreign page without a preflight.
 * - The Host header must name this machine. Another name that resolves to it is a DNS rebinding attack.
 * - The origin must be the server's own or a configured one. CORS alone would let simple requests through.
 */
export function useSameSite(origins: readonly string[]): Plugin {
  return {
    onRequest({ request, url, fetchAPI, endResponse }) {
      const refuse = (status: number, message: string, code: ErrorCode = "FORBIDDEN") =>
        endResponse(fetchAPI.Response.json({ errors: [{ message, extensions: { code } }] }, { status }));
      if (!isAllowedOrigin(request.headers.get("origin"), request.headers.get("host"), origins)) {
        return refuse(403, "This origin may not call the server. To allow it, add it to CORS_ORIGINS.");
      }
      if (!isOwnHost(url.hostname)) return refuse(403, "Call the server by a loopback name, such as localhost.");
      const type = request.headers.get("content-type") ?? "";
      if (request.method === "POST" && !/^application\/json\s*(;|$)/i.test(type)) {
        return refuse(415, "Send the operation as application/json.", "INVALID_INPUT");
      }
    },
  };
}

/**
 * Whether a page of this origin may call the server: true for the server's own origin, for configured ones, and for
 * requests without an Origin header, which do not come from a foreign page.
 */
export function isAllowedOrigin(
  origin: string | null | undefined,
  host: string | null | undefined,
  origins: readonly string[],
): boolean {
  if (origin == null || origins.includes(origin)) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

/**
 * Whether a request's host name is a loopback name.
 * @param hostname as in `URL.hostname`, so with brackets around IPv6.
 */
export function isOwnHost(hostname: string): boolean {
  return isLoopback(hostname.replace(/^\[|\]$/g, ""));
}
