import { describe, expect, test } from "vitest";
import { ConfigError, isLoopback, readConfig } from "../../src/config.ts";

const DEFAULTS = {
  database: { kind: "folder", path: "./data" },
  host: "127.0.0.1",
  port: 4000,
  logLevel: "info",
  corsOrigins: [],
  recoveryIntervalMs: 5000,
  backoff: { firstMs: 5000, maxMs: 900_000 },
  revisePreferenceMs: 60_000,
  auth: "unset",
  operatorKey: undefined,
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
      LOG_LEVEL: "silent",
      CORS_ORIGINS: "http://localhost:3000 , https://app.example/path,",
      RECOVERY_INTERVAL_SECONDS: "0.5",
      RETRY_FIRST_SECONDS: "0",
      RETRY_MAX_SECONDS: "7.5",
      REVISE_PREFERENCE_SECONDS: "10",
      OPERATOR_KEY: "k".repeat(32),
      MAX_BODY_BYTES: "1024",
      MAX_DOCUMENT_TOKENS: "500",
      MAX_JSON_DEPTH: "50",
      MAX_JSON_VALUES: "1000",
      PATH: "/bin",
    };
    expect(readConfig(env)).toEqual({
      database: { kind: "memory" },
      host: "::1",
      port: 0,
      logLevel: "silent",
      corsOrigins: ["http://localhost:3000", "https://app.example"],
      recoveryIntervalMs: 500,
      backoff: { firstMs: 0, maxMs: 7500 },
      revisePreferenceMs: 10_000,
      // Whoever sets it wants it to be asked for.
      auth: "required",
      operatorKey: "k".repeat(32),
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
    const said = complaint({ PORT: "http", LOG_LEVEL: "loud", HOST: "0.0.0.0", CORS_ORIGINS: "*" });
    for (const name of ["PORT", "LOG_LEVEL", "HOST", "CORS_ORIGINS"]) expect(said).toContain(`\n  ${name}: `);
  });

  test.each(["postgres://me:hunter2@db:port/jobs", "mysql://me:hunter2@db/jobs", "POSTGRES//hunter2", "hunter2"])(
    "and the password in it is not repeated: %s",
    (url) => {
      expect(complaint({ DATABASE_URL: url })).not.toContain("hunter2");
    },
  );

  test("and a host that others can reach is told what to do about it", () => {
    expect(complaint({ HOST: "0.0.0.0" })).toMatch(/loopback.*authenticat.*proxy/s);
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
