import { describe, expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";
import { ConfigError } from "../../src/config-error.ts";
import { isLoopback } from "../../src/loopback.ts";

const DEFAULTS = {
  database: { kind: "folder", path: "./data" },
  host: "127.0.0.1",
  port: 4000,
  publicUrl: undefined,
  trustedProxies: [],
  logLevel: "info",
  corsOrigins: [],
  recoveryIntervalMs: 5000,
  backoff: { firstMs: 5000, maxMs: 900_000 },
  revisePreferenceMs: 60_000,
  costCurrency: "USD",
  trustedDocuments: undefined,
  auth: "unset",
  operatorKey: undefined,
  jwt: undefined,
  rates: {
    complexityPerMinute: 3_000_000,
    commandsPerSecond: 1_000,
    maxStreams: 1_000,
    maxLongPolls: 1_000,
    failedLoginsPerMinute: 120,
  },
  maxBodyBytes: 5_000_000,
  maxDocumentTokens: 2_000,
  maxJsonDepth: 100,
  maxJsonValues: 100_000,
};

/** Why the server does not start with these settings. */
function complaint(env: Readonly<Record<string, string>>): string {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error("These settings were accepted.");
}

describe("the settings", () => {
  test("are all there where nothing is set", () => {
    expect(readConfig({})).toEqual(DEFAULTS);
  });

  test("are the defaults where a variable is set to nothing", () => {
    const unset = { DATABASE_URL: "", DATABASE_POOL_SIZE: "", HOST: "", PORT: "", LOG_LEVEL: "", CORS_ORIGINS: "" };
    expect(readConfig({ ...unset, RECOVERY_INTERVAL_SECONDS: "", MAX_BODY_BYTES: "" })).toEqual(DEFAULTS);
  });

  test("are what the variables say, and nothing of the other variables", () => {
    const env = {
      DATABASE_URL: "memory:",
      HOST: "::1",
      PORT: "0",
      PUBLIC_URL: "https://jobs.example.com",
      TRUSTED_PROXIES: "10.1.2.3, fd00::/8, loopback",
      LOG_LEVEL: "silent",
      CORS_ORIGINS: "http://localhost:3000 , https://app.example/path,",
      RECOVERY_INTERVAL_SECONDS: "0.5",
      RETRY_FIRST_SECONDS: "0",
      RETRY_MAX_SECONDS: "7.5",
      REVISE_PREFERENCE_SECONDS: "10",
      COST_CURRENCY: "EUR",
      TRUSTED_DOCUMENTS: "persisted-documents.json",
      OPERATOR_KEY: "k".repeat(32),
      MAX_BODY_BYTES: "1024",
      MAX_DOCUMENT_TOKENS: "500",
      MAX_JSON_DEPTH: "50",
      MAX_JSON_VALUES: "1000",
      RATE_COMPLEXITY_PER_MINUTE: "60000",
      RATE_COMMANDS_PER_SECOND: "0",
      RATE_FAILED_LOGINS_PER_MINUTE: "5",
      MAX_STREAMS_PER_PRINCIPAL: "10",
      MAX_LONG_POLLS_PER_PRINCIPAL: "20",
      PATH: "/bin",
    };
    expect(readConfig(env)).toEqual({
      database: { kind: "memory" },
      host: "::1",
      port: 0,
      publicUrl: new URL("https://jobs.example.com"),
      trustedProxies: ["10.1.2.3", "fd00::/8", "loopback"],
      logLevel: "silent",
      corsOrigins: ["http://localhost:3000", "https://app.example"],
      recoveryIntervalMs: 500,
      backoff: { firstMs: 0, maxMs: 7500 },
      revisePreferenceMs: 10_000,
      costCurrency: "EUR",
      // Whoever sets it wants it to be asked for.
      auth: "required",
      trustedDocuments: "persisted-documents.json",
      operatorKey: "k".repeat(32),
      jwt: undefined,
      rates: {
        complexityPerMinute: 60_000,
        commandsPerSecond: 0,
        maxStreams: 10,
        maxLongPolls: 20,
        failedLoginsPerMinute: 5,
      },
      maxBodyBytes: 1024,
      maxDocumentTokens: 500,
      maxJsonDepth: 50,
      maxJsonValues: 1000,
    });
  });

  test.each([
    ["memory:", { kind: "memory" }],
    ["file:./jobs", { kind: "folder", path: "./jobs" }],
    ["file:/var/lib/jobs", { kind: "folder", path: "/var/lib/jobs" }],
    ["postgres://me@db/jobs", { kind: "postgres", url: "postgres://me@db/jobs", poolSize: 7 }],
    ["postgresql://me:pw@db:5433/jobs?sslmode=require", { kind: "postgres", poolSize: 7 }],
  ])("know a database by its address: %s", (url, database) => {
    expect(readConfig({ DATABASE_URL: url, DATABASE_POOL_SIZE: "7" }).database).toMatchObject(database);
  });

  test.each(["0.0.0.0", "::", "192.168.1.2", "jobs.internal"])("let a server with auth listen on %s", (HOST) => {
    expect(readConfig({ HOST, AUTH: "required" }).host).toBe(HOST);
    expect(readConfig({ HOST, OPERATOR_KEY: "k".repeat(32) }).host).toBe(HOST);
  });
});

describe("a setting that cannot be used stops the start, and is named:", () => {
  test.each([
    ["PORT", "http"],
    ["PORT", "-1"],
    ["PORT", "65536"],
    ["PORT", "80.5"],
    ["DATABASE_POOL_SIZE", "0"],
    ["DATABASE_POOL_SIZE", "201"],
    ["DATABASE_POOL_SIZE", "many"],
    ["LOG_LEVEL", "loud"],
    ["LOG_LEVEL", "INFO"],
    ["CORS_ORIGINS", "*"],
    ["CORS_ORIGINS", "http://a.example,ftp://b.example"],
    ["RECOVERY_INTERVAL_SECONDS", "0"],
    ["RECOVERY_INTERVAL_SECONDS", "3601"],
    ["MAX_BODY_BYTES", "1023"],
    ["MAX_BODY_BYTES", "5MB"],
    ["MAX_DOCUMENT_TOKENS", "499"],
    ["MAX_JSON_DEPTH", "9"],
    ["MAX_JSON_DEPTH", "501"],
    ["MAX_JSON_VALUES", "999"],
    ["HOST", "0.0.0.0"],
    ["HOST", "::"],
    ["HOST", "192.168.1.2"],
    ["HOST", "example.com"],
    ["HOST", "localhost.example.com"],
    ["HOST", "127.0.0.1.example.com"],
    ["TRUSTED_PROXIES", "proxy.example"],
    ["TRUSTED_PROXIES", "10.0.0.0/33"],
    ["TRUSTED_PROXIES", "10"],
    ["TRUSTED_PROXIES", "0.0.0.0/0"],
    ["TRUSTED_PROXIES", "::/0"],
    ["TRUSTED_PROXIES", "10.0.0.1:80"],
    ["PUBLIC_URL", "jobs.example.com"],
    ["PUBLIC_URL", "ftp://jobs.example.com"],
    ["PUBLIC_URL", "https://jobs.example.com/api"],
    ["PUBLIC_URL", "https://jobs.example.com/?a=b"],
    ["PUBLIC_URL", "https://me:pw@jobs.example.com"],
    ["DATABASE_URL", "mysql://root@db/jobs"],
    ["DATABASE_URL", "file:"],
    ["DATABASE_URL", "./data"],
    ["DATABASE_URL", "postgres:/db"],
    ["DATABASE_URL", "postgres://me:pw@db:port/jobs"],
  ])("%s=%s", (name, value) => {
    expect(complaint({ [name]: value })).toMatch(
      new RegExp(`^The server cannot start with these settings:\\n {2}${name}: `),
    );
  });

  test.each(["http://127.0.0.1:6379", "127.0.0.1:6379", "redis", "unix:/tmp/redis.sock"])(
    "REDIS_URL where it is no address of a Redis: %s",
    (url) => {
      expect(complaint({ DATABASE_URL: "postgres://db/jobs", REDIS_URL: url })).toContain(
        "\n  REDIS_URL: must be redis://",
      );
    },
  );

  test.each(["memory:", "file:./data"])("REDIS_URL where there is one server only, since its store is %s", (url) => {
    expect(complaint({ DATABASE_URL: url, REDIS_URL: "redis://127.0.0.1:6379" })).toMatch(/REDIS_URL: .*embedded/);
  });

  test("every one of several, at once", () => {
    const said = complaint({ PORT: "http", LOG_LEVEL: "loud", PUBLIC_URL: "jobs", CORS_ORIGINS: "*" });
    for (const name of ["PORT", "LOG_LEVEL", "PUBLIC_URL", "CORS_ORIGINS"]) expect(said).toContain(`\n  ${name}: `);
  });

  test.each(["postgres://me:hunter2@db:port/jobs", "mysql://me:hunter2@db/jobs", "POSTGRES//hunter2", "hunter2"])(
    "and the password in it is not repeated: %s",
    (url) => {
      expect(complaint({ DATABASE_URL: url })).not.toContain("hunter2");
    },
  );

  test("and a host that others can reach is told what to do about it", () => {
    expect(complaint({ HOST: "0.0.0.0" })).toMatch(/loopback.*AUTH=required/s);
    expect(complaint({ HOST: "0.0.0.0", AUTH: "off", OPERATOR_KEY: "k".repeat(32) })).toMatch(/loopback/);
  });
});

test.each([
  ["127.0.0.1", true],
  ["127.255.255.254", true],
  ["::1", true],
  ["localhost", true],
  ["LOCALHOST", false],
  ["127.0.0.1.example.com", false],
  ["128.0.0.1", false],
  ["0.0.0.0", false],
  ["::ffff:127.0.0.1", false],
  ["", false],
])("whether %j means this machine only: %s", (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});
