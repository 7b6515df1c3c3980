import type { IncomingMessage } from "node:http";
import type { Credential } from "../identity/authenticator.ts";
import type { OwnNames } from "./own-names.ts";

/** The cookie of a session (section 11), and when it counts: a browser sends it with whatever a page of any origin asks for. */

type PublicUrl = OwnNames["publicUrl"];

/** What a request has of who sends it. */
export function credentialOf(request: IncomingMessage, publicUrl: PublicUrl): Credential {
  const { authorization, cookie } = request.headers;
  if (authorization !== undefined || cookie === undefined) return { authorization };
  return { authorization, session: isOfOwnPage(request, publicUrl) ? sessionIn(cookie, publicUrl) : undefined };
}

/** Whether a page of the server's own sent the request. Where nothing says so, as with an older browser, it did not. */
export function isOfOwnPage({ headers }: IncomingMessage, publicUrl: PublicUrl): boolean {
  const { origin, host } = headers;
  if (headers["sec-fetch-site"] === "same-origin") return true;
  if (origin === undefined) return false;
  if (publicUrl) return origin === publicUrl.origin;
  return URL.canParse(origin) && new URL(origin).host === host;
}

/** @returns the secret of a session in the Cookie header; undefined where it has none. */
export function sessionIn(cookie: string, publicUrl: PublicUrl): string | undefined {
  const prefix = `${nameOf(publicUrl)}=`;
  const found = cookie.split(";").find((pair) => pair.trimStart().startsWith(prefix));
  return found?.trim().slice(prefix.length);
}

/** @returns the value of Set-Cookie that gives a browser a session. */
export function sessionCookie(secret: string, expiresAt: Date, publicUrl: PublicUrl): string {
  const seconds = Math.max(0, Math.floor((expiresAt.getTime() - Date.now()) / 1000));
  return `${nameOf(publicUrl)}=${secret}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${isSecure(publicUrl) ? "; Secure" : ""}`;
}

/** @returns the value of Set-Cookie that takes it away. */
export function endedCookie(publicUrl: PublicUrl): string {
  return sessionCookie("", new Date(0), publicUrl);
}

/** With the prefix, a browser takes the cookie from no other host, and over TLS alone. */
function nameOf(publicUrl: PublicUrl): string {
  return isSecure(publicUrl) ? "__Host-ajs_session" : "ajs_session";
}

function isSecure(publicUrl: PublicUrl): boolean {
  return publicUrl?.protocol === "https:";
}
