import { isIP } from "node:net";
import { z } from "zod";
import type { DatabaseLocation } from "./db/database.ts";
import type { Backoff } from "./runs/backoff.ts";

/** The settings of one server process; docs/configuration.md describes the environment variables. */
export interface Config {
  readonly database: DatabaseLocation;
  /** The Redis server for notify hints to other servers; undefined to use PostgreSQL's NOTIFY. */
  readonly redisUrl: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  /** Origins of web pages that may call the server, beside its own. */
  readonly corsOrigins: readonly string[];
  /** Milliseconds from the end of one recovery of lost leases to the start of the next. */
  readonly recoveryIntervalMs: number;
  /** How long a job waits after a failed attempt before the next one. */
  readonly backoff: Backoff;
  /** Milliseconds for which a job that was sent back is reserved for the worker that had it. */
  readonly revisePreferenceMs: number;
  /** Whether callers must prove who they are (section 11); `unset`: they need not, unless the database has API keys. */
  readonly auth: "off" | "required" | "unset";
  /** The key of the operator, who may do everything; undefined where there is none. */
  readonly operatorKey: string | undefined;
  /** The largest request body, and the largest WebSocket message, in bytes. */
  readonly maxBodyBytes: number;
  /** The most tokens of a GraphQL document. */
  readonly maxDocumentTokens: number;
  /** The most levels of lists and objects in a JSON value. */
  readonly maxJsonDepth: number;
  /** The most values of a request's JSON, those inside lists and objects included. */
  readonly maxJsonValues: number;
}

/** Some settings cannot be used; the message names each, and what would be accepted. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

const environment = z.object({
  DATABASE_URL: z.string().default("file:./data"),
  DATABASE_POOL_MODE: z.enum(["direct", "session", "transaction"]).default("direct"),
  DATABASE_DIRECT_URL: z
    .url({ protocol: /^postgres(ql)?$/, error: "must be postgres://user@host/database" })
    .optional(),
  MIGRATE: z.enum(["on", "off"]).default("on"),
  DATABASE_POOL_SIZE: z.coerce.number().int().min(1).max(200).default(10),
  REDIS_URL: z.url({ protocol: /^rediss?$/, error: "must be redis://host:port or rediss://host:port" }).optional(),
  HOST: z
    .string()
    .default("127.0.0.1")
    .refine(isLoopback, {
      error:
        "must be a loopback address (127.0.0.1, ::1 or localhost): this version has no authentication, so it listens " +
        "on this machine only. Put an authenticating proxy before it.",
    }),
  PORT: z.coerce.number().int().min(0).max(65_535).default(4000),
  LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info"),
  CORS_ORIGINS: z
    .string()
    .default("")
    .transform(toList)
    .pipe(z.array(z.url({ protocol: /^https?$/ }))),
  RECOVERY_INTERVAL_SECONDS: z.coerce.number().min(0.1).max(3600).default(5),
  RETRY_FIRST_SECONDS: z.coerce.number().min(0).max(86_400).default(5),
  RETRY_MAX_SECONDS: z.coerce.number().min(0).max(86_400).default(900),
  REVISE_PREFERENCE_SECONDS: z.coerce.number().min(0).max(86_400).default(60),
  AUTH: z.enum(["off", "required"]).optional(),
  OPERATOR_KEY: z.string().min(32, "must have at least 32 characters").max(200).optional(),
  MAX_BODY_BYTES: z.coerce.number().int().min(1024).max(100_000_000).default(5_000_000),
  MAX_DOCUMENT_TOKENS: z.coerce.number().int().min(500).max(20_000).default(2_000),
  MAX_JSON_DEPTH: z.coerce.number().int().min(10).max(500).default(100),
  MAX_JSON_VALUES: z.coerce.number().int().min(1_000).max(10_000_000).default(100_000),
});

/**
 * Reads the settings from environment variables.
 * @throws ConfigError if any of them is invalid; its message usually names all invalid ones at once.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  // An empty variable counts as unset: Compose files and shells pass variables without a value as empty ones.
  const settings = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
  const parsed = environment.safeParse(settings);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `  ${path[0]?.toString() ?? "?"}: ${message}`);
    throw new ConfigError(`The server cannot start with these settings:\n${problems.join("\n")}`);
  }
  const values = parsed.data;
  const database = toDatabaseLocation(values);
  if (values.REDIS_URL !== undefined && database.kind !== "postgres") {
    throw new ConfigError(
      "The server cannot start with these settings:\n" +
        "  REDIS_URL: connects several servers of one PostgreSQL database; an embedded database has one server. Unset it.",
    );
  }
  return {
    database,
    redisUrl: values.REDIS_URL,
    host: values.HOST,
    port: values.PORT,
    logLevel: values.LOG_LEVEL,
    corsOrigins: values.CORS_ORIGINS.map((origin) => new URL(origin).origin),
    recoveryIntervalMs: values.RECOVERY_INTERVAL_SECONDS * 1000,
    backoff: { firstMs: values.RETRY_FIRST_SECONDS * 1000, maxMs: values.RETRY_MAX_SECONDS * 1000 },
    revisePreferenceMs: values.REVISE_PREFERENCE_SECONDS * 1000,
    // Whoever sets the operator's key wants it to be asked for.
    auth: values.AUTH ?? (values.OPERATOR_KEY === undefined ? "unset" : "required"),
    operatorKey: values.OPERATOR_KEY,
    maxBodyBytes: values.MAX_BODY_BYTES,
    maxDocumentTokens: values.MAX_DOCUMENT_TOKENS,
    maxJsonDepth: values.MAX_JSON_DEPTH,
    maxJsonValues: values.MAX_JSON_VALUES,
  };
}

function toDatabaseLocation({
  DATABASE_URL: url,
  DATABASE_POOL_SIZE: poolSize,
  DATABASE_POOL_MODE: poolMode,
  DATABASE_DIRECT_URL: directUrl,
  MIGRATE,
}: z.infer<typeof environment>): DatabaseLocation {
  if (url === "memory:") return { kind: "memory" };
  if (url.startsWith("file:") && url.length > "file:".length)
    return { kind: "folder", path: url.slice("file:".length) };
  if (/^postgres(ql)?:\/\//.test(url) && URL.canParse(url)) {
    for (const [setting, address] of Object.entries({ DATABASE_URL: url, DATABASE_DIRECT_URL: directUrl }))
      assertPublicSchema(setting, address);
    const migrates = MIGRATE === "on";
    return { kind: "postgres", url, poolSize, poolMode, migrates, ...(directUrl === undefined ? {} : { directUrl }) };
  }
  // The message does not repeat the value, which may contain a password.
  throw new ConfigError(
    "The server cannot start with these settings:\n" +
      "  DATABASE_URL: must be postgres://user@host/database, file:FOLDER (an embedded database), or memory:",
  );
}

/** Other tools of this field take a schema from the address. Ignored in silence, it would let two servers share one. */
function assertPublicSchema(setting: string, url: string | undefined): void {
  const schema = url === undefined ? null : new URL(url).searchParams.get("schema");
  if (schema === null || schema === "public") return;
  throw new ConfigError(
    "The server cannot start with these settings:\n" +
      `  ${setting}: the tables are in the schema \`public\`, and no other can be chosen. Use a database of its own for this server.`,
  );
}

/** Whether a host name or address is a loopback one, which only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** Splits a list that is separated by commas; empty items are dropped. */
function toList(text: string): string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}
