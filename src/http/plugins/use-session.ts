import type { IncomingMessage } from "node:http";
import type { Plugin } from "graphql-yoga";
import { ForbiddenError, NotFoundError } from "../../errors.ts";
import { UNAUTHENTICATED } from "../../identity/authentication.ts";
import { type Authenticator, OPEN } from "../../identity/authenticator.ts";
import { type Caller, refusalOf } from "../authentication.ts";
import type { OwnNames } from "../own-names.ts";
import { endedCookie, isOfOwnPage, sessionCookie, sessionIn } from "../session-cookie.ts";
import { PATHS } from "./use-paths.ts";

const STATUS = { NOT_FOUND: 404, FORBIDDEN: 403 } as const;

/**
 * Serves sessions to pages of the server's own (section 11): POST exchanges the Authorization header for a cookie, DELETE ends the
 * session. A page's EventSource can send nothing but a cookie.
 */
export function useSession(
  authenticator: Authenticator,
  { publicUrl }: OwnNames,
): Plugin<object, Caller & { readonly req?: IncomingMessage }> {
  return {
    async onRequest({ request, url, serverContext: { req, principal }, fetchAPI: { Response }, endResponse }) {
      if (url.pathname !== PATHS.session || !req) return;
      const done = (cookie: string) =>
        endResponse(
          new Response(null, { status: 204, headers: { "set-cookie": cookie, "cache-control": "no-store" } }),
        );
      const refuse = ({ code, message }: NotFoundError | ForbiddenError) =>
        endResponse(Response.json({ errors: [{ message, extensions: { code } }] }, { status: STATUS[code] }));
      const refuseCaller = (error: Parameters<typeof refusalOf>[0]) => {
        const { status, headers, body } = refusalOf(error);
        endResponse(new Response(body, { status, headers }));
      };

      if (authenticator === OPEN) return refuse(new NotFoundError("session: the server asks nobody who they are"));
      // A page of another origin must neither end a session, nor give a browser one of its own choice.
      if (isOfPage(req) && !isOfOwnPage(req, publicUrl))
        return refuse(new ForbiddenError("Only a page of the server's own may begin or end a session."));
      if (request.method === "POST") {
        const { authorization } = req.headers;
        if (authorization === undefined || !principal) return refuseCaller(UNAUTHENTICATED);
        const session = await authenticator.beginSession(principal, authorization);
        if (session instanceof NotFoundError) return refuse(session);
        if ("code" in session) return refuseCaller(session);
        return done(sessionCookie(session.secret, session.expiresAt, publicUrl));
      }
      if (request.method === "DELETE") {
        const session = sessionIn(req.headers.cookie ?? "", publicUrl);
        const failure = session === undefined ? undefined : await authenticator.endSession(session);
        return failure ? refuseCaller(failure) : done(endedCookie(publicUrl));
      }
      endResponse(new Response(null, { status: 405, headers: { allow: "POST, DELETE" } }));
    },
  };
}

/** Whether a page sent the request, and not a program. */
function isOfPage({ headers }: IncomingMessage): boolean {
  return headers.origin !== undefined || headers["sec-fetch-site"] !== undefined;
}
