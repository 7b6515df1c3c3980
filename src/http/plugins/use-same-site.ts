import type { Plugin } from "graphql-yoga";
import type { ErrorCode } from "../../errors.ts";
import { isAllowedOrigin, isOwnHost, type OwnNames } from "../own-names.ts";
import { PATHS } from "./use-paths.ts";

/**
 * Keeps foreign web pages from calling the server through a user's browser. Without auth (section 11), everybody
 * who reaches the server may use it, so three checks stand in for a login:
 * - A body must be JSON. Forms and plain text are what a browser sends for a foreign page without a preflight.
 * - The Host header must name this machine, or PUBLIC_URL's host. Another name that resolves to it is a DNS rebinding attack; but who
 *   shows a credential is no such page, and may call the server by any name that a network has for it.
 * - The origin must be the server's own or a configured one. CORS alone would let simple requests through.
 */
export function useSameSite(names: OwnNames, hasAuth: boolean): Plugin {
  return {
    onRequest({ request: { headers, method }, url, fetchAPI, endResponse }) {
      const refuse = (status: number, message: string, code: ErrorCode = "FORBIDDEN") =>
        endResponse(fetchAPI.Response.json({ errors: [{ message, extensions: { code } }] }, { status }));
      if (!isAllowedOrigin(headers.get("origin"), headers.get("host"), names)) {
        return refuse(403, "This origin may not call the server. To allow it, add it to CORS_ORIGINS.");
      }
      const showsCredential = hasAuth && headers.has("authorization");
      if (!showsCredential && !isOwnHost(url.hostname, names, hasAuth))
        return refuse(403, "The server is not known by this name. Call it by localhost, or set PUBLIC_URL.");
      const type = headers.get("content-type") ?? "";
      // Whoever begins a session sends an Authorization header, which no form does.
      if (method === "POST" && url.pathname !== PATHS.session && !/^application\/json\s*(;|$)/i.test(type)) {
        return refuse(415, "Send the operation as application/json.", "INVALID_INPUT");
      }
    },
  };
}
