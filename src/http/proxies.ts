import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import proxyAddr from "proxy-addr";

/** What is known of the client of a request that may have come through proxies. */
export interface Proxies {
  /**
   * The address of the client: the last one of which a trusted proxy, or the connection itself, tells. What a client wrote into
   * `X-Forwarded-For` stands before it, and is not believed.
   * @returns an IPv4 or IPv6 address, without a port; an IPv4 address that is mapped into IPv6 as IPv4.
   */
  clientAddress(request: IncomingMessage): string;
  /** Whether the client speaks TLS with a trusted proxy (`X-Forwarded-Proto`). This server itself speaks none. */
  isSecure(request: IncomingMessage): boolean;
}

/** @param trusted addresses, ranges in CIDR notation, and names of ranges, as TRUSTED_PROXIES has them. */
export function trustProxies(trusted: readonly string[]): Proxies {
  const isTrusted = trusted.length === 0 ? () => false : proxyAddr.compile([...trusted]);
  return {
    clientAddress(request) {
      const own = withoutMapping(request.socket.remoteAddress ?? "");
      if (!isTrusted(own, 0)) return own;
      // Beginning with the connection's. A proxy may also have passed on what is no address, such as "unknown".
      const addresses = proxyAddr.all(request, isTrusted);
      return withoutMapping(addresses.findLast((address) => isIP(address) !== 0) ?? own);
    },
    isSecure(request) {
      if (!isTrusted(withoutMapping(request.socket.remoteAddress ?? ""), 0)) return false;
      const [scheme] = String(request.headers["x-forwarded-proto"] ?? "").split(",");
      return scheme?.trim().toLowerCase() === "https";
    },
  };
}

function withoutMapping(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}
