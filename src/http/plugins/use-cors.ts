import type { Plugin } from "graphql-yoga";

const METHODS = "GET, POST, PUT, DELETE";
/** Seconds for which a browser remembers the answer to a preflight: as long as browsers do at most. */
const MAX_AGE = 7_200;
/** What a page may read of an answer, beside its type and length. */
const EXPOSED = "Retry-After, WWW-Authenticate";

/**
 * Lets pages of the configured origins call the server and read its answers, refusals included (CORS). Credentials of the browser,
 * such as a cookie, are never allowed to them: they send an Authorization header. What other pages send is refused by useSameSite,
 * which stands before this, and their answers have none of these headers.
 *
 * Written here because Yoga's plugin answers every preflight before any other plugin sees it, and names `null`, which is the origin of
 * sandboxed pages and files, as the one that is allowed.
 */
export function useCors(origins: readonly string[]): Plugin {
  const isAllowed = (origin: string | null): origin is string => origin !== null && origins.includes(origin);
  return {
    onRequest({ request: { method, headers }, fetchAPI, endResponse }) {
      if (method !== "OPTIONS" || !isAllowed(headers.get("origin"))) return;
      const asked = headers.get("access-control-request-headers");
      endResponse(
        new fetchAPI.Response(null, {
          status: 204,
          headers: {
            "access-control-allow-methods": METHODS,
            // All that was asked for: names of headers tell nothing, and clients have their own for tracing.
            ...(asked === null ? {} : { "access-control-allow-headers": asked }),
            "access-control-max-age": String(MAX_AGE),
            vary: "Access-Control-Request-Headers",
          },
        }),
      );
    },
    onResponse({ request: { headers }, response }) {
      if (origins.length === 0) return;
      // For every origin: a cache must not give one page the answer to another.
      response.headers.append("vary", "Origin");
      const origin = headers.get("origin");
      if (!isAllowed(origin)) return;
      response.headers.set("access-control-allow-origin", origin);
      response.headers.set("access-control-expose-headers", EXPOSED);
    },
  };
}
