import type { Plugin } from "graphql-yoga";

/** What the server answers at, for who calls another path. */
export const PATHS = {
  graphql: "/graphql",
  schema: "/schema.graphql",
  health: "/health",
  ready: "/ready",
  live: "/live",
  session: "/session",
} as const;
const SERVED: readonly string[] = Object.values(PATHS);

/** Whether a browser's address bar asks for the page of GraphiQL. */
export function isPage({ method, headers }: Request, { pathname }: URL): boolean {
  return pathname === PATHS.graphql && method === "GET" && headers.get("accept")?.includes("text/html") === true;
}

/**
 * Answers every path but the server's own: `/` with a list of them, any other with 404 and a sentence. A browser that asks for a page gets
 * the console there, before this. Yoga would serve the API under every path that ends like its own, and the rest would be empty.
 */
export function usePaths(): Plugin {
  return {
    onRequest({ url, fetchAPI, endResponse }) {
      if (SERVED.includes(url.pathname)) return;
      if (url.pathname === "/") {
        const headers = { vary: "Accept" };
        return endResponse(fetchAPI.Response.json(PATHS, { headers }));
      }
      const message = `There is nothing at this path. The API is at ${PATHS.graphql}.`;
      endResponse(
        fetchAPI.Response.json({ errors: [{ message, extensions: { code: "NOT_FOUND" } }] }, { status: 404 }),
      );
    },
    onResponse({ response, fetchAPI, setResponse }) {
      if (response.status !== 406) return;
      const message =
        "This operation cannot be answered in a format that the request accepts. A subscription is a stream: send `accept: " +
        "text/event-stream`, or connect with graphql-ws. Anything else is application/json.";
      const body = { errors: [{ message, extensions: { code: "INVALID_INPUT" } }] };
      setResponse(fetchAPI.Response.json(body, { status: 406, headers: response.headers }));
    },
  };
}
