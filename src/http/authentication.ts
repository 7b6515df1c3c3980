import type { IncomingMessage, ServerResponse } from "node:http";
import { AppError, UnauthenticatedError } from "../errors.ts";
import type { Authentication, Refusal } from "../identity/authentication.ts";
import type { Login } from "../identity/login.ts";
import type { Principal } from "../identity/principal.ts";
import { isOfConsole } from "./console.ts";
import type { OwnNames } from "./own-names.ts";
import { PATHS } from "./plugins/use-paths.ts";
import type { Proxies } from "./proxies.ts";
import { credentialOf } from "./session-cookie.ts";

/** What is known of who sends a request. Neither is there where the answer is the same for everybody. */
export interface Caller {
  readonly principal?: Principal;
  /** Why the request is not answered. */
  readonly refusal?: Refusal;
}

/** Answered to anybody: whether the process runs, whether it can serve, and what there is. */
const OPEN_PATHS: ReadonlySet<string> = new Set(["/", PATHS.live, PATHS.ready]);

interface AuthenticationOptions extends Pick<OwnNames, "publicUrl"> {
  readonly proxies: Pick<Proxies, "clientAddress">;
  /** Whether the page of GraphiQL is the same for everybody, and so there for everybody. */
  readonly hasPage: boolean;
}

/**
 * Finds out who calls before anything else of a request is looked at (section 11): no principal, no answer. Here and not in Yoga's
 * pipeline, so that what somebody costs who only tries is no more than what Node's own server takes to say no.
 * @param answer answers the request of a principal, or one that anybody may send. It is given a refusal where the answer to that
 *   takes more than this knows: a page of another origin may read it only where CORS allows that.
 */
export function authenticated(
  login: Login,
  { publicUrl, proxies, hasPage }: AuthenticationOptions,
  answer: (request: IncomingMessage, response: ServerResponse, caller: Caller) => void,
): (request: IncomingMessage, response: ServerResponse) => void {
  const go = (request: IncomingMessage, response: ServerResponse, found: Authentication) => {
    if (!(found instanceof AppError)) answer(request, response, { principal: found });
    else if (request.headers.origin !== undefined) answer(request, response, { refusal: found });
    else refuse(request, response, found);
  };
  return (request, response) => {
    if (isOpen(request) || isOfConsole(request) || (hasPage && isPage(request))) return answer(request, response, {});
    const found = login(credentialOf(request, publicUrl), () => proxies.clientAddress(request));
    if (!(found instanceof Promise)) return go(request, response, found);
    void found.then((late) => {
      // Whoever has gone meanwhile would not be noticed any more.
      if (!request.socket.destroyed) go(request, response, late);
    });
  };
}

/** Whether the answer is the same for everybody. Who ends a session may do it again, when it is nobody any more. */
function isOpen({ method, url = "" }: IncomingMessage): boolean {
  const [path = ""] = url.split("?", 1);
  return OPEN_PATHS.has(path) || (path === PATHS.session && method === "DELETE");
}

function isPage({ method, url = "", headers: { accept } }: IncomingMessage): boolean {
  const [path] = url.split("?", 1);
  return path === PATHS.graphql && method === "GET" && accept?.includes("text/html") === true;
}

/** The status, headers and body with which a request is refused. */
export function refusalOf(refusal: Refusal) {
  const { code, message } = refusal;
  const seconds = "retryAfterSeconds" in refusal ? { retryAfterSeconds: refusal.retryAfterSeconds } : {};
  const body = JSON.stringify({ errors: [{ message, extensions: { code, ...seconds } }] });
  const headers = { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) };
  switch (refusal.code) {
    case "UNAUTHENTICATED":
      return { status: 401, headers: { ...headers, "www-authenticate": "Bearer" }, body };
    case "RATE_LIMITED":
      return { status: 429, headers: { ...headers, "retry-after": String(refusal.retryAfterSeconds) }, body };
    case "TRY_AGAIN":
      return { status: 503, headers: { ...headers, "retry-after": "1" }, body };
  }
}

const UNAUTHENTICATED_ANSWER = refusalOf(new UnauthenticatedError());

function refuse({ headers: { accept }, socket }: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
  // A browser's EventSource never connects again after an error status, but does after a broken connection.
  if (refusal.code === "TRY_AGAIN" && accept?.includes("text/event-stream")) {
    socket.destroy();
    return;
  }
  const { status, headers, body } = refusal.code === "UNAUTHENTICATED" ? UNAUTHENTICATED_ANSWER : refusalOf(refusal);
  response.writeHead(status, headers);
  response.end(body);
}
