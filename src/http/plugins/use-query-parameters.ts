import type { Plugin } from "graphql-yoga";
import type { ErrorCode } from "../../errors.ts";
import { quote } from "../../quote.ts";
import { WORKSPACE_PARAMETER } from "../viewer.ts";
import { readsOnlyEvents } from "./use-event-stream.ts";
import { isPage, PATHS } from "./use-paths.ts";

/** The parameter of the single connection mode (graphql-sse) that names the stream. */
const TOKEN = "token";

/**
 * Refuses query parameters of the API that it does not know, or that are there twice: what is passed over in silence is not what
 * the client meant. The page of GraphiQL is excepted, which executes nothing.
 */
export function useQueryParameters(): Plugin {
  return {
    onRequest({ request, url, fetchAPI, endResponse }) {
      if (url.search === "" || url.pathname !== PATHS.graphql || isPage(request, url)) return;
      const names = [...url.searchParams.keys()];
      const known = parametersOf(request, url.searchParams);
      const refused = names.filter((name, index) => !known.includes(name) || names.indexOf(name) !== index);
      if (refused.length === 0) return;
      const message =
        `These query parameters are not known here, or are there twice: ${quoted(refused)}. ` +
        `A ${request.method} may have ${known.length === 0 ? "none" : known.join(", ")}.`;
      const code: ErrorCode = "INVALID_INPUT";
      endResponse(fetchAPI.Response.json({ errors: [{ message, extensions: { code } }] }, { status: 400 }));
    },
  };
}

function parametersOf(request: Request, sent: URLSearchParams): readonly string[] {
  switch (request.method) {
    case "GET":
    case "HEAD": {
      const operation = ["query", "variables", "operationName", "extensions"];
      // A stream that was reserved has many operations, each of which names its workspace by itself.
      if (sent.has(TOKEN)) return [TOKEN, ...operation];
      // A page's EventSource cannot send the header. Everybody else can.
      return readsOnlyEvents(request) ? [...operation, WORKSPACE_PARAMETER] : operation;
    }
    case "POST":
      return [TOKEN];
    case "DELETE":
      return [TOKEN, "operationId"];
    default:
      return [];
  }
}

/** Some of the names, shortened: a client may send thousands, of any length. */
function quoted(names: readonly string[]): string {
  const shown = names.slice(0, 5).map((name) => JSON.stringify(quote(name)));
  return names.length > shown.length ? `${shown.join(", ")} and ${names.length - shown.length} more` : shown.join(", ");
}
