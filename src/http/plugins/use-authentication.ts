import { GraphQLError } from "graphql";
import type { Plugin } from "graphql-yoga";
import { type AppError, TryAgainError, UnauthenticatedError } from "../../errors.ts";
import type { Authenticator } from "../../identity/authenticator.ts";
import type { Principal } from "../../identity/principal.ts";
import { PATHS } from "./use-paths.ts";

/** What a request's context has, once it is known who calls. */
export interface Authenticated {
  principal?: Principal;
}

/** Answered to anybody: whether the process runs, and whether it can serve. */
const OPEN_PATHS: readonly string[] = [PATHS.live, PATHS.ready];

/**
 * Finds out who calls before anything else of a request is looked at (section 11): no principal, no answer. The page of GraphiQL is
 * excepted, which is the same for everybody, and what tells a supervisor how the server is.
 */
export function useAuthentication(authenticator: Authenticator): Plugin<object, Authenticated> {
  return {
    async onRequest({ request, url, serverContext, fetchAPI, endResponse }) {
      if (OPEN_PATHS.includes(url.pathname) || isPage(request, url)) return;
      try {
        const authorization = request.headers.get("authorization") ?? undefined;
        serverContext.principal = await authenticator.authenticate(authorization);
      } catch (error) {
        const { status, headers, body } = refusalOf(error);
        endResponse(fetchAPI.Response.json(body, { status, headers }));
      }
    },
  };
}

function isPage({ method, headers }: Request, { pathname }: URL): boolean {
  const isHtml = headers.get("accept")?.includes("text/html") === true;
  return method === "GET" && isHtml && pathname === PATHS.graphql;
}

function refusalOf(error: unknown) {
  if (error instanceof UnauthenticatedError)
    return { status: 401, headers: { "www-authenticate": "Bearer" }, body: bodyOf(error) };
  if (error instanceof TryAgainError) return { status: 503, headers: { "retry-after": "1" }, body: bodyOf(error) };
  throw error;
}

function bodyOf({ code, message }: AppError) {
  return { errors: [new GraphQLError(message, { extensions: { code } }).toJSON()] };
}
