import { METRIC_NAMES } from "../db/job-columns.ts";
import { type JsonValue, snakeCase } from "../db/rows.ts";

/** A JSON value that may become an event's payload. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
interface JsonObject {
  readonly [key: string]: Json;
}

const MASK = "[redacted]";

/** Keys whose values are masked whatever they look like. */
const SECRET_KEY =
  /(^|[_\-. ])(password|passwd|pwd|passphrase|secret|token|api[_\- ]?key|authorization|cookie|credential|private[_\- ]?key|access[_\- ]?key)s?($|[_\-. ])/i;

/** The names of metrics, such as `input_tokens`: SECRET_KEY would mask them because of `token`. */
const COUNTERS: ReadonlySet<string> = new Set(METRIC_NAMES.flatMap((name) => [name, snakeCase(name)]));

/**
 * Texts that are masked under any key: bearer tokens, JWTs, private keys, and the key formats of well-known services.
 */
const SECRET_VALUES: readonly RegExp[] = [
  /\bbearer\s+[a-z0-9._~+/=-]{8,}/gi,
  // Base64 only: it must contain a digit, a symbol or a capital inside a word, unlike ordinary words after "basic".
  /\b[Bb](asic|ASIC)\s+(?=[A-Za-z]*([0-9+/=]|[a-z][A-Z]))[A-Za-z0-9+/=]{8,}/g,
  /\beyJ[A-Za-z0-9_-]{5,2000}\.[A-Za-z0-9_-]{5,4000}\.[A-Za-z0-9_-]{0,2000}/g,
  /\b(sk|pk|rk)[-_](live|test|proj|ant|or)?[-_]?[A-Za-z0-9_-]{16,200}/g,
  /\b(ghp|gho|ghu|ghs|ghr|github_pat|glpat|xox[abprs])[-_][A-Za-z0-9_-]{10,250}/g,
  /\b(AKIA|ASIA)[A-Z0-9]{16}\b/g,
  /\bAIza[A-Za-z0-9_-]{30,50}/g,
  /-----BEGIN [A-Z ]{0,30}PRIVATE KEY( BLOCK)?-----([^]{0,10000}?-----END [A-Z ]{0,30}PRIVATE KEY( BLOCK)?-----|[^]{0,10000})/g,
  /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s/:@]{0,200}:[^\s/@]{1,200}@/gi,
];

/**
 * Masks what must never be recorded (section 9): the values of keys that name secrets, and every text that looks like a
 * credential.
 * @returns a copy of the value; each secret in it is replaced by `[redacted]`.
 */
export function redact(value: Json): JsonValue {
  if (typeof value === "string") return redactText(value);
  if (value === null || typeof value !== "object") return value;
  if (isArray(value)) return value.map(redact);
  return redactObject(value);
}

/** `redact` for a whole payload, which is always an object. */
export function redactObject(value: JsonObject): Record<string, JsonValue> {
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, isSecret(key, item) ? MASK : redact(item)]),
  );
}

/** `redact` for free text, such as a worker's error message. */
export function redactText(text: string): string {
  return SECRET_VALUES.reduce((masked, pattern) => masked.replace(pattern, MASK), text);
}

/** The same, and then at most `maxChars` characters of it: masking can make a text longer, and a cut secret would not look like one. */
export function redactBounded(text: string, maxChars: number): string {
  return truncate(redactText(text), maxChars);
}

/** Cuts between code points: half of a surrogate pair could not be stored. */
function truncate(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text;
  // A code point has at most two code units, so this prefix has enough of them without splitting a long text as a whole.
  const prefix = text.slice(0, maxChars * 2);
  return Array.from(prefix).slice(0, maxChars).join("");
}

function isSecret(key: string, item: Json): boolean {
  if (item === null || (typeof item === "number" && COUNTERS.has(key))) return false;
  return SECRET_KEY.test(key.replace(/([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])/g, "$1$3_$2$4"));
}

/** `Array.isArray` does not recognise readonly arrays as arrays in its type. */
function isArray(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
