import { describe, expect, test } from "vitest";
import { METRIC_NAMES } from "../../src/db/job-columns.ts";
import { snakeCase } from "../../src/db/rows.ts";
import { type Json, redact, redactText } from "../../src/log/redact.ts";

const MASK = "[redacted]";
const JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

describe("a value is masked, whatever it looks like, under a key that names a secret", () => {
  test.each([
    "password",
    "Password",
    "PASSWORD",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "secrets",
    "client_secret",
    "clientSecret",
    "client-secret",
    "aws.secret.key",
    "token",
    "access_token",
    "accessToken",
    "refreshTokens",
    "APIToken",
    "DBPassword",
    "api_key",
    "apiKey",
    "api-key",
    "api key",
    "APIKey",
    "x-api-key",
    "OPENAI_API_KEY",
    "authorization",
    "Proxy-Authorization",
    "cookie",
    "set-cookie",
    "credentials",
    "privateKey",
    "aws_access_key",
  ])("%s", (key) => {
    expect(redact({ [key]: "x" })).toEqual({ [key]: MASK });
    expect(redact({ [key]: ["x", { deep: 1 }] })).toEqual({ [key]: MASK });
    expect(redact({ [key]: 1234 })).toEqual({ [key]: MASK });
  });

  test.each([
    "key",
    "keyboard",
    "tokenizer",
    "secretary",
    "author",
    "passport",
    "monkey",
    "trigger",
    "lease",
    "description",
    "",
  ])("and stays under another: %j", (key) => {
    expect(redact({ [key]: "x" })).toEqual({ [key]: "x" });
  });

  test.each(METRIC_NAMES.flatMap((name) => [name, snakeCase(name)]))("and a counter is none: %s", (name) => {
    expect(redact({ delta: { [name]: 5 } })).toEqual({ delta: { [name]: 5 } });
    expect(redact({ delta: { [name]: 0 } })).toEqual({ delta: { [name]: 0 } });
  });

  test("null says nothing, and stays", () => {
    expect(redact({ password: null, token: null })).toEqual({ password: null, token: null });
  });
});

describe("a secret in a text is masked wherever it stands", () => {
  test.each([
    ["a bearer token", "Authorization: Bearer abc.DEF-123_~+/=", `Authorization: ${MASK}`],
    ["a bearer token in capitals", "BEARER ABCDEFGH", MASK],
    ["basic credentials", "Authorization: Basic dXNlcjpwYXNzd29yZA==", `Authorization: ${MASK}`],
    ["a JWT", `The token ${JWT} has expired.`, `The token ${MASK} has expired.`],
    ["a JWT without a signature", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0. is it", `${MASK} is it`],
    ["an OpenAI key", "key=sk-proj-abcdefghijklmnop0123456789 is wrong", `key=${MASK} is wrong`],
    ["an Anthropic key", "sk-ant-api03-abcdefghijklmnop_0123456789", MASK],
    ["a Stripe key", "sk_live_51H8abcdefghijklmnop", MASK],
    ["a GitHub token", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", MASK],
    ["a fine-grained GitHub token", "github_pat_11ABCDEFG0123456789_abcdefghijk", MASK],
    ["a GitLab token", "glpat-abcdefghij0123456789", MASK],
    ["a Slack token", "xoxb-123456789012-abcdefghijkl", MASK],
    ["an AWS key id", "AKIAIOSFODNN7EXAMPLE was used", `${MASK} was used`],
    ["a Google key", "?key=AIzaSyA-abcdefghijklmnopqrstuvwxyz01234&q=1", `?key=${MASK}&q=1`],
    ["a connection string", "postgres://me:hunter2@db.example:5432/jobs", `${MASK}db.example:5432/jobs`],
    ["a connection string without a user", "redis://:hunter2@cache.example/0", `${MASK}cache.example/0`],
    [
      "a connection string with an escaped password",
      "cannot reach mongodb+srv://me:p%40ss@db.example",
      `cannot reach ${MASK}db.example`,
    ],
    [
      "a private key",
      "-----BEGIN PRIVATE KEY-----\nMIIBVgIBADANBg==\n-----END PRIVATE KEY----- and then",
      `${MASK} and then`,
    ],
    [
      "a private key with headers",
      "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB\n\nMIIB\n-----END RSA PRIVATE KEY-----.",
      `${MASK}.`,
    ],
    ["a private key that is cut off", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk", MASK],
    ["a PGP key", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOY\n-----END PGP PRIVATE KEY BLOCK-----", MASK],
    ["two at once", "Bearer abcdefgh1 and ghp_abcdefghij0123", `${MASK} and ${MASK}`],
  ])("%s", (_, text, masked) => {
    expect(redactText(text)).toBe(masked);
    expect(redact({ list: [{ deep: [text] }] })).toEqual({ list: [{ deep: [masked] }] });
  });
});

describe("what is harmless stays", () => {
  test.each([
    "The bearer of this letter is a friend.",
    "basic information about the project",
    "Basic instructions: read on.",
    "risk-assessment of the desk-organizer",
    "sk-1 is short",
    "eye-catching, eyJ.a.b",
    "https://example.org:8080/path?x=1#y",
    "mail me@example.org, or ask at 10:30@noon",
    "postgres://db.example:5432/jobs",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "AKIA is a prefix, and AIza another",
    "Grüße, 漢字, 😀 — “quotes”",
    "a password is needed",
    "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b",
    "0".repeat(64),
    "",
  ])("%j", (text) => {
    expect(redactText(text)).toBe(text);
  });

  test("numbers, truth values, null and the shape around them", () => {
    const payload: Json = { a: [1, -0.5, true, false, null, [], {}], b: { c: { d: "text" } } };
    expect(redact(payload)).toEqual(payload);
  });

  test("a key named __proto__ is a key like any other", () => {
    const payload: Json = JSON.parse('{"__proto__": {"password": "x", "name": "y"}}');
    expect(JSON.stringify(redact(payload))).toBe('{"__proto__":{"password":"[redacted]","name":"y"}}');
  });
});

test("what is passed in is left as it was", () => {
  const payload = { password: "x", list: ["Bearer abcdefgh1"] };
  redact(payload);
  expect(payload).toEqual({ password: "x", list: ["Bearer abcdefgh1"] });
});

describe("ten times the text takes about ten times the time", () => {
  // For each pattern, beginnings that never come to its end.
  test.each([
    ["bearer ", "bearer "],
    ["bearer and white space", `bearer${" ".repeat(999)}`],
    ["basic ", "basic "],
    ["basic and letters", `basic ${"a".repeat(999)}-`],
    ["the beginnings of a JWT", "-eyJ"],
    ["the heads of JWTs, and long second parts", `${"-eyJ".repeat(490)}.${"-a".repeat(1990)} `],
    ["sk-", "sk-aaaaaaaaaaaa "],
    ["ghp_", "ghp_a "],
    ["AKIA", "AKIA"],
    ["AIza", "AIza-"],
    ["the beginnings of a key's first line", "-----BEGIN "],
    ["the beginnings of keys", "-----BEGIN PRIVATE KEY-----"],
    ["the ends of keys", "-----END A PRIVATE KEY----"],
    ["a key's first line, far from the next", `-----BEGIN PRIVATE KEY-----${"a".repeat(9999)}-`],
    ["the beginnings of an address", "ab://"],
    ["addresses with half a password", `ab://${"a".repeat(200)}:${"b".repeat(200)} `],
    ["schemes without an end", "a+"],
    ["names in camel case", "aB"],
  ])("%s", (_, unit) => {
    const short = unit.repeat(Math.ceil(10_000 / unit.length));
    const long = short.repeat(10);
    best(short);
    // Linear is 10 times the time, quadratic 100 times; 40 leaves room for a busy machine.
    expect(best(long)).toBeLessThan(Math.max(best(short), 2) * 40);
  });
});

function best(text: string): number {
  return Math.min(...[1, 2, 3].map(() => milliseconds(text)));
}

function milliseconds(text: string): number {
  const startedAt = performance.now();
  redact({ [text]: text });
  return performance.now() - startedAt;
}
