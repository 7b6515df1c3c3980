import type { Plugin } from "graphql-yoga";
import { isLoopback } from "../../config.ts";
import type { ErrorCode } from "../../errors.ts";

/**
 * Until identities exist, whoever reaches the server may use it; so a web page of somebody else must not reach it.
 * - A body must be JSON: a form, or plain text, is what a foreign page may send without asking first.
 * - The name in the Host header must be this machine's: a foreign name that resolves to it is DNS rebinding.
 * - A foreign origin must be a configured one; the browser's preflight alone would let simple requests through.
 */
export function useSameSite(origins: readonly string[]): Plugin {
  return {
    onRequest({ request, url, fetchAPI, endResponse }) {
      const refuse = (status: number, message: string, code: ErrorCode = "FORBIDDEN") =>
        endResponse(fetchAPI.Response.json({ errors: [{ message, extensions: { code } }] }, { status }));
      if (!isAllowedOrigin(request.headers.get("origin"), request.headers.get("host"), origins)) {
        return refuse(403, "This origin may not call the server. Add it to CORS_ORIGINS.");
      }
      if (!isOwnHost(url.hostname)) return refuse(403, "Call the server by a name of this machine, such as localhost.");
      const type = request.headers.get("content-type") ?? "";
      if (request.method === "POST" && !/^application\/json\s*(;|$)/i.test(type)) {
        return refuse(415, "Send the operation as application/json.", "INVALID_INPUT");
      }
    },
  };
}

/** Whether a page of this origin may call: pages of this server itself, and those that are configured. */
export function isAllowedOrigin(
  origin: string | null | undefined,
  host: string | null | undefined,
  origins: readonly string[],
): boolean {
  if (origin == null || origins.includes(origin)) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

/** Whether a request's Host names this machine. `url.hostname` has brackets around an IPv6 address. */
export function isOwnHost(hostname: string): boolean {
  return isLoopback(hostname.replace(/^\[|\]$/g, ""));
}
