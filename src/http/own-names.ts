import { isIP } from "node:net";
import { isLoopback } from "../loopback.ts";

/** By which names the server may be called, and from which web pages. */
export interface OwnNames {
  /** Where browsers and proxies find the server, beside this machine's own names. */
  readonly publicUrl?: URL | undefined;
  /** Origins of web pages that may call the server, beside its own. */
  readonly corsOrigins: readonly string[];
}

/**
 * Whether a page of this origin may call the server: true for the server's own origin, for configured ones, and for requests without
 * an Origin header, which do not come from a foreign page.
 */
export function isAllowedOrigin(
  origin: string | null | undefined,
  host: string | null | undefined,
  { publicUrl, corsOrigins }: OwnNames,
): boolean {
  if (origin == null || origin === publicUrl?.origin || corsOrigins.includes(origin)) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

/**
 * Whether a request's host name is one of the server's own. Any other name that resolves to it may be a foreign page's (DNS
 * rebinding), which a browser then takes for the server's own page.
 * @param hostname as in `URL.hostname`, so with brackets around IPv6.
 * @param hasAuth whether callers prove who they are. The server may then listen on any address, and an address is nobody's name.
 */
export function isOwnHost(hostname: string, { publicUrl }: OwnNames, hasAuth: boolean): boolean {
  const host = hostname.replace(/^\[|\]$/g, "");
  return isLoopback(host) || hostname === publicUrl?.hostname || (hasAuth && isIP(host) !== 0);
}
