import { hash } from "node:crypto";
import { canonicalize } from "json-canonicalize";

/** @returns SHA-256, in hexadecimal, of the RFC 8785 canonical JSON of a value: equal values have equal hashes. */
export function canonicalHash(value: unknown): string {
  return hash("sha256", canonicalize(value), "hex");
}
