import { createPublicKey, createSecretKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { ConfigError } from "./config-error.ts";
import { isLoopback } from "./loopback.ts";

/** The settings of who may call (section 11). */
export interface AuthSettings {
  /** Whether callers must prove who they are; `unset`: they need not, unless the database has API keys. */
  readonly auth: "off" | "required" | "unset";
  /** The key of the operator, who may do everything; undefined where there is none. */
  readonly operatorKey: string | undefined;
  /** Whose JWTs are accepted; undefined for nobody's. */
  readonly jwt: JwtSettings | undefined;
}

/** Whose JWTs are accepted, and what in them says who it is (section 11). */
export interface JwtSettings {
  readonly issuer: string;
  readonly audience: string;
  readonly workspaceClaim: string;
  readonly rolesClaim: string;
  readonly key: JwtKey;
}

/** What proves a JWT: the key set of an issuer, or one key with the one algorithm that is accepted with it. */
export type JwtKey = { readonly jwksUrl: URL } | { readonly key: KeyObject; readonly algorithm: string };

/** The shortest and the longest key that an operator can have, in characters. */
export const OPERATOR_KEY_LENGTH = { min: 32, max: 200 };

const operatorKey = z
  .string()
  .min(OPERATOR_KEY_LENGTH.min, `must have at least ${OPERATOR_KEY_LENGTH.min} characters`)
  .max(OPERATOR_KEY_LENGTH.max)
  .regex(/^[\x21-\x7e]*$/, "must be of ASCII letters, digits and signs, without a space");
const name = z.string().max(500).optional();

/** The environment variables of these settings, as `z.object` takes them. */
export const AUTH_ENVIRONMENT = {
  AUTH: z.enum(["off", "required"]).optional(),
  OPERATOR_KEY: operatorKey.optional(),
  OPERATOR_KEY_FILE: name,
  JWT_ISSUER: name,
  JWT_AUDIENCE: name,
  JWT_JWKS_URL: z
    .url({ protocol: /^https?$/, error: "must be https://host/path" })
    .refine(isTrusted, { error: "must be https://…: whoever is on the way could put keys of their own in its place" })
    .optional(),
  JWT_PUBLIC_KEY_FILE: name,
  JWT_SECRET: z.string().min(32, "must have at least 32 characters").optional(),
  JWT_WORKSPACE_CLAIM: name,
  JWT_ROLES_CLAIM: name,
} as const;

const environment = z.object(AUTH_ENVIRONMENT);
type AuthEnvironment = z.infer<typeof environment>;

/**
 * Makes the settings of checked environment variables, and reads the files that they name.
 * @throws ConfigError where they do not fit together, or a file has not what it should.
 */
export function toAuthSettings(values: AuthEnvironment): AuthSettings {
  const operatorKey = values.OPERATOR_KEY_FILE === undefined ? values.OPERATOR_KEY : operatorKeyIn(values);
  const jwt = toJwtSettings(values);
  // Whoever sets one of these wants it to be asked for.
  const isAskedFor = operatorKey !== undefined || jwt !== undefined;
  return { auth: values.AUTH ?? (isAskedFor ? "required" : "unset"), operatorKey, jwt };
}

function operatorKeyIn({ OPERATOR_KEY, OPERATOR_KEY_FILE = "" }: AuthEnvironment): string {
  if (OPERATOR_KEY !== undefined) throw new ConfigError("OPERATOR_KEY_FILE: is set beside OPERATOR_KEY. Unset one.");
  const parsed = operatorKey.safeParse(readTextFile("OPERATOR_KEY_FILE", OPERATOR_KEY_FILE).trim());
  if (parsed.success) return parsed.data;
  throw new ConfigError(`OPERATOR_KEY_FILE: the key in it ${parsed.error.issues[0]?.message ?? "cannot be used"}`);
}

function toJwtSettings(values: AuthEnvironment): JwtSettings | undefined {
  const set = Object.entries(values).flatMap(([key, value]) =>
    key.startsWith("JWT_") && value !== undefined ? [key] : [],
  );
  if (set.length === 0) return undefined;
  const { JWT_ISSUER: issuer, JWT_AUDIENCE: audience } = values;
  if (issuer === undefined) throw new ConfigError(`JWT_ISSUER: is missing, which ${set.join(", ")} needs.`);
  if (audience === undefined) throw new ConfigError(`JWT_AUDIENCE: is missing, which ${set.join(", ")} needs.`);
  const { JWT_WORKSPACE_CLAIM: workspaceClaim = "workspace_id", JWT_ROLES_CLAIM: rolesClaim = "roles" } = values;
  return { issuer, audience, workspaceClaim, rolesClaim, key: toJwtKey(values) };
}

function toJwtKey({ JWT_JWKS_URL, JWT_PUBLIC_KEY_FILE, JWT_SECRET }: AuthEnvironment): JwtKey {
  const ways = { JWT_JWKS_URL, JWT_PUBLIC_KEY_FILE, JWT_SECRET };
  const set = Object.entries(ways).flatMap(([key, value]) => (value === undefined ? [] : [key]));
  if (set.length !== 1) {
    const problem =
      set.length === 0 ? `${Object.keys(ways).join(", ")}: one must be set` : `${set.join(", ")}: only one may be set`;
    throw new ConfigError(`${problem}, since it says which keys JWTs are signed with.`);
  }
  if (JWT_JWKS_URL !== undefined) return { jwksUrl: new URL(JWT_JWKS_URL) };
  if (JWT_SECRET !== undefined) return { key: createSecretKey(JWT_SECRET, "utf8"), algorithm: "HS256" };
  return publicKeyIn(JWT_PUBLIC_KEY_FILE ?? "");
}

function publicKeyIn(path: string): JwtKey {
  const text = readTextFile("JWT_PUBLIC_KEY_FILE", path);
  // Node would take the public half of it, and nobody would notice that the server can read what it must not.
  if (text.includes("PRIVATE KEY"))
    throw new ConfigError("JWT_PUBLIC_KEY_FILE: has a private key. Give the server the public one alone.");
  const key = parsePublicKey(text);
  const algorithm = key && algorithmOf(key);
  if (key && algorithm) return { key, algorithm };
  throw new ConfigError(
    "JWT_PUBLIC_KEY_FILE: must have a public key in PEM: RSA of at least 2,048 bits (RS256), P-256 (ES256) or Ed25519 (EdDSA).",
  );
}

function parsePublicKey(text: string): KeyObject | undefined {
  try {
    return createPublicKey(text);
  } catch {
    return undefined;
  }
}

/** @returns the algorithm with which a key signs JWTs; undefined where that is none that is accepted. */
function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | undefined {
  if (asymmetricKeyType === "rsa" && (asymmetricKeyDetails?.modulusLength ?? 0) >= 2048) return "RS256";
  if (asymmetricKeyType === "ec" && asymmetricKeyDetails?.namedCurve === "prime256v1") return "ES256";
  return asymmetricKeyType === "ed25519" ? "EdDSA" : undefined;
}

function readTextFile(setting: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : "an error";
    throw new ConfigError(`${setting}: the file cannot be read (${reason}).`);
  }
}

function isTrusted(url: string): boolean {
  return (
    !URL.canParse(url) ||
    new URL(url).protocol === "https:" ||
    isLoopback(new URL(url).hostname.replace(/^\[|\]$/g, ""))
  );
}
