import { isIP } from "node:net";

/** Groups of an IPv6 address, and those of them that name the network of one customer: 64 bits. */
const GROUPS = 8;
const NETWORK_GROUPS = 4;

/**
 * Who an address belongs to, as far as one can tell: an IPv4 address to one line; of IPv6 everybody has at least 2^64 addresses, so
 * that only the first half says something.
 * @param address of a client; one of IPv4 not mapped into IPv6.
 * @returns the IPv4 address, or the IPv6 network, such as `2001:db8:0:1::/64`.
 */
export function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = "", tail] = address.split("::");
  const left = groupsOf(head);
  const right = groupsOf(tail ?? "");
  const zeros = tail === undefined ? 0 : GROUPS - left.length - right.length;
  const groups = [...left, ...Array.from({ length: zeros }, () => "0"), ...right];
  return `${groups.slice(0, NETWORK_GROUPS).join(":")}::/${NETWORK_GROUPS * 16}`;
}

/** The groups, without leading zeros. An IPv4 address at the end stands for two, of which none names a network. */
function groupsOf(part: string): string[] {
  if (part === "") return [];
  return part
    .split(":")
    .flatMap((group) => (group.includes(".") ? ["0", "0"] : [Number.parseInt(group, 16).toString(16)]));
}
