import { isIP } from "node:net";
import proxyAddr from "proxy-addr";
import { z } from "zod";
import { AUTH_ENVIRONMENT, type AuthSettings, toAuthSettings } from "./auth-settings.ts";
import { ConfigError } from "./config-error.ts";
import type { DatabaseLocation } from "./db/database.ts";
import type { ListenAddress } from "./listen.ts";
import { isLoopback } from "./loopback.ts";
import { RATE_ENVIRONMENT, toRateLimits } from "./rate-settings.ts";
import type { RateLimits } from "./rates/rates.ts";
import type { Backoff } from "./runs/backoff.ts";
import { TRACING_ENVIRONMENT, type TracingSettings, toTracing } from "./tracing-settings.ts";

/** The settings of one server process; docs/configuration.md describes the environment variables. */
export interface Config extends AuthSettings {
  readonly database: DatabaseLocation;
  /** The Redis server for notify hints to other servers; undefined to use PostgreSQL's NOTIFY. */
  readonly redisUrl: string | undefined;
  readonly host: string;
  readonly port: number;
  /** Where monitoring asks for metrics, on a port of its own; undefined where it does not. */
  readonly metrics: ListenAddress | undefined;
  /** Where browsers and proxies find the server, without a path: its host and origin are the server's own. */
  readonly publicUrl: URL | undefined;
  /** Addresses and ranges of proxies whose word on the client is believed (src/http/proxies.ts). */
  readonly trustedProxies: readonly string[];
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  /** Origins of web pages that may call the server, beside its own. */
  readonly corsOrigins: readonly string[];
  /** Milliseconds from the end of one recovery of lost leases to the start of the next. */
  readonly recoveryIntervalMs: number;
  /** How long a job waits after a failed attempt before the next one. */
  readonly backoff: Backoff;
  /** Milliseconds for which a job that was sent back is reserved for the worker that had it. */
  readonly revisePreferenceMs: number;
  /** The currency of every cost, in ISO 4217's three letters. */
  readonly costCurrency: string;
  /** How much each principal may ask for, where callers must prove who they are. */
  readonly rates: RateLimits;
  /** Where traces are sent; undefined where there are none. */
  readonly tracing: TracingSettings | undefined;
  /** The path of the manifest of the only documents that are executed; undefined to execute any. */
  readonly trustedDocuments: string | undefined;
  /** The largest request body, and the largest WebSocket message, in bytes. */
  readonly maxBodyBytes: number;
  /** The most tokens of a GraphQL document. */
  readonly maxDocumentTokens: number;
  /** The most levels of lists and objects in a JSON value. */
  readonly maxJsonDepth: number;
  /** The most values of a request's JSON, those inside lists and objects included. */
  readonly maxJsonValues: number;
}

const environment = z.object({
  DATABASE_URL: z.string().default("file:./data"),
  DATABASE_POOL_MODE: z.enum(["direct", "session", "transaction"]).default("direct"),
  DATABASE_DIRECT_URL: z
    .url({ protocol: /^postgres(ql)?$/, error: "must be postgres://user@host/database" })
    .optional(),
  MIGRATE_DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/, error: "must be postgres://user@host/database" })
    .optional(),
  MIGRATE: z.enum(["on", "off"]).default("on"),
  DATABASE_POOL_SIZE: z.coerce.number().int().min(1).max(200).default(10),
  REDIS_URL: z.url({ protocol: /^rediss?$/, error: "must be redis://host:port or rediss://host:port" }).optional(),
  HOST: z.string().default("127.0.0.1"),
  PORT: z.coerce.number().int().min(0).max(65_535).default(4000),
  METRICS_PORT: z.coerce.number().int().min(0).max(65_535).optional(),
  METRICS_HOST: z.string().default("127.0.0.1"),
  PUBLIC_URL: z
    .url({ protocol: /^https?$/, error: "must be http://host or https://host, with a port where it has one" })
    .transform((url) => new URL(url))
    .refine(isOrigin, { error: "must have no path, query or password: the API is at /graphql of that host" })
    .optional(),
  TRUSTED_PROXIES: z
    .string()
    .default("")
    .transform(toList)
    .pipe(
      z.array(
        z.string().refine(isProxyRange, { error: "must be addresses or ranges, such as 10.0.0.0/8 or fd00::/8" }),
      ),
    ),
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
  COST_CURRENCY: z
    .string()
    .regex(/^[A-Z]{3}$/, { error: "must be the three letters of a currency (ISO 4217), such as USD or EUR" })
    .default("USD"),
  ...AUTH_ENVIRONMENT,
  ...RATE_ENVIRONMENT,
  ...TRACING_ENVIRONMENT,
  TRUSTED_DOCUMENTS: z.string().optional(),
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
    throw new ConfigError(
      ...parsed.error.issues.map(({ path, message }) => `${path[0]?.toString() ?? "?"}: ${message}`),
    );
  }
  const values = parsed.data;
  const database = toDatabaseLocation(values);
  if (values.REDIS_URL !== undefined && database.kind !== "postgres") {
    throw new ConfigError(
      "REDIS_URL: connects several servers of one PostgreSQL database; an embedded database has one server. Unset it.",
    );
  }
  const config: Config = {
    database,
    redisUrl: values.REDIS_URL,
    host: values.HOST,
    port: values.PORT,
    metrics: values.METRICS_PORT === undefined ? undefined : { host: values.METRICS_HOST, port: values.METRICS_PORT },
    publicUrl: values.PUBLIC_URL,
    trustedProxies: values.TRUSTED_PROXIES,
    logLevel: values.LOG_LEVEL,
    corsOrigins: values.CORS_ORIGINS.map((origin) => new URL(origin).origin),
    recoveryIntervalMs: values.RECOVERY_INTERVAL_SECONDS * 1000,
    backoff: { firstMs: values.RETRY_FIRST_SECONDS * 1000, maxMs: values.RETRY_MAX_SECONDS * 1000 },
    revisePreferenceMs: values.REVISE_PREFERENCE_SECONDS * 1000,
    costCurrency: values.COST_CURRENCY,
    ...toAuthSettings(values),
    rates: toRateLimits(values),
    tracing: toTracing(values),
    trustedDocuments: values.TRUSTED_DOCUMENTS,
    maxBodyBytes: values.MAX_BODY_BYTES,
    maxDocumentTokens: values.MAX_DOCUMENT_TOKENS,
    maxJsonDepth: values.MAX_JSON_DEPTH,
    maxJsonValues: values.MAX_JSON_VALUES,
  };
  assertHostFits(config);
  return config;
}

/** Where nobody is asked who they are, whoever reaches the server may do everything. */
function assertHostFits({ host, auth }: Config): void {
  if (auth === "required" || isLoopback(host)) return;
  throw new ConfigError(
    "HOST: must be a loopback address (127.0.0.1, ::1 or localhost) on a server that asks nobody who they are. For any " +
      "other address, set AUTH=required, OPERATOR_KEY or the JWT_ settings.",
  );
}

function isOrigin({ href, origin }: URL): boolean {
  return href === `${origin}/`;
}

function toDatabaseLocation({
  DATABASE_URL: url,
  DATABASE_POOL_SIZE: poolSize,
  DATABASE_POOL_MODE: poolMode,
  DATABASE_DIRECT_URL: directUrl,
  MIGRATE_DATABASE_URL: migrateUrl,
  MIGRATE,
}: z.infer<typeof environment>): DatabaseLocation {
  if (url === "memory:") return { kind: "memory" };
  if (url.startsWith("file:") && url.length > "file:".length)
    return { kind: "folder", path: url.slice("file:".length) };
  if (/^postgres(ql)?:\/\//.test(url) && URL.canParse(url)) {
    const addresses = { DATABASE_URL: url, DATABASE_DIRECT_URL: directUrl, MIGRATE_DATABASE_URL: migrateUrl };
    for (const [setting, address] of Object.entries(addresses)) assertPublicSchema(setting, address);
    const migrates = MIGRATE === "on";
    const others = {
      ...(directUrl === undefined ? {} : { directUrl }),
      ...(migrateUrl === undefined ? {} : { migrateUrl }),
    };
    return { kind: "postgres", url, poolSize, poolMode, migrates, ...others };
  }
  // The message does not repeat the value, which may contain a password.
  throw new ConfigError(
    "DATABASE_URL: must be postgres://user@host/database, file:FOLDER (an embedded database), or memory:",
  );
}

/** Other tools of this field take a schema from the address. Ignored in silence, it would let two servers share one. */
function assertPublicSchema(setting: string, url: string | undefined): void {
  const schema = url === undefined ? null : new URL(url).searchParams.get("schema");
  if (schema === null || schema === "public") return;
  throw new ConfigError(
    `${setting}: the tables are in the schema \`public\`, and no other can be chosen. Use a database of its own for this server.`,
  );
}

/** Whether a text is an address, a range in CIDR notation, or the name of such ranges: `loopback`, `linklocal`, `uniquelocal`. */
function isProxyRange(text: string): boolean {
  const [address = ""] = text.split("/", 1);
  if (isIP(address) === 0 && !["loopback", "linklocal", "uniquelocal"].includes(text)) return false;
  try {
    proxyAddr.compile([text]);
    return true;
  } catch {
    return false;
  }
}

/** Splits a list that is separated by commas; empty items are dropped. */
function toList(text: string): string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}
