import { isIP } from "node:net";

/** Whether a host name or address is a loopback one, which only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
