import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";
import { ConfigError } from "../../src/config-error.ts";

/** The settings of who may call, and the files that they name. */

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "settings-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function aFile(text: string): Promise<string> {
  const path = join(folder, `${Math.random()}.txt`);
  await writeFile(path, text);
  return path;
}

const PUBLIC = { type: "spki", format: "pem" } as const;
const rsa = (modulusLength: number) =>
  generateKeyPairSync("rsa", { modulusLength }).publicKey.export(PUBLIC).toString();
const ec = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve }).publicKey.export(PUBLIC).toString();
const ed25519 = generateKeyPairSync("ed25519");
const JWT = { JWT_ISSUER: "https://issuer.example", JWT_AUDIENCE: "jobs" };
const SECRET = "s".repeat(32);

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

describe("the operator's key", () => {
  test("may be in a file, with a line break behind it", async () => {
    const { auth, operatorKey } = readConfig({ OPERATOR_KEY_FILE: await aFile(`${SECRET}\n`) });
    expect({ auth, operatorKey }).toEqual({ auth: "required", operatorKey: SECRET });
  });

  test("is refused in two places, too short, with a space, and in a file that is not there", async () => {
    expect(complaint({ OPERATOR_KEY: SECRET, OPERATOR_KEY_FILE: await aFile(SECRET) })).toContain("Unset one");
    expect(complaint({ OPERATOR_KEY_FILE: await aFile("short") })).toMatch(/OPERATOR_KEY_FILE: .*32 characters/);
    expect(complaint({ OPERATOR_KEY_FILE: await aFile("") })).toMatch(/OPERATOR_KEY_FILE: .*32 characters/);
    expect(complaint({ OPERATOR_KEY: `${SECRET} x` })).toMatch(/OPERATOR_KEY: .*without a space/);
    expect(complaint({ OPERATOR_KEY_FILE: join(folder, "none") })).toMatch(/OPERATOR_KEY_FILE: .*ENOENT/);
  });
});

describe("JWTs", () => {
  test("are accepted by a secret, a key set, or a public key, and then everybody is asked", async () => {
    expect(readConfig({ ...JWT, JWT_SECRET: SECRET })).toMatchObject({
      auth: "required",
      jwt: {
        issuer: JWT.JWT_ISSUER,
        audience: JWT.JWT_AUDIENCE,
        workspaceClaim: "workspace_id",
        rolesClaim: "roles",
        key: { algorithm: "HS256" },
      },
    });
    const JWT_JWKS_URL = "https://issuer.example/keys";
    expect(readConfig({ ...JWT, JWT_JWKS_URL }).jwt?.key).toEqual({ jwksUrl: new URL(JWT_JWKS_URL) });
    const keys = { RS256: rsa(2048), ES256: ec("P-256"), EdDSA: ed25519.publicKey.export(PUBLIC).toString() };
    for (const [algorithm, pem] of Object.entries(keys))
      expect(readConfig({ ...JWT, JWT_PUBLIC_KEY_FILE: await aFile(pem) }).jwt?.key).toMatchObject({ algorithm });
    const claims = { JWT_WORKSPACE_CLAIM: "ws", JWT_ROLES_CLAIM: "groups" };
    expect(readConfig({ ...JWT, JWT_SECRET: SECRET, ...claims }).jwt).toMatchObject({
      workspaceClaim: "ws",
      rolesClaim: "groups",
    });
  });

  test.each<[string, Record<string, string>, RegExp]>([
    ["no issuer", { JWT_AUDIENCE: "jobs", JWT_SECRET: SECRET }, /JWT_ISSUER: is missing/],
    ["no audience", { JWT_ISSUER: "i", JWT_SECRET: SECRET }, /JWT_AUDIENCE: is missing/],
    ["no key", JWT, /JWT_JWKS_URL, JWT_PUBLIC_KEY_FILE, JWT_SECRET: one must be set/],
    ["nothing but a claim's name", { JWT_ROLES_CLAIM: "groups" }, /JWT_ISSUER: is missing/],
    ["two families", { ...JWT, JWT_SECRET: SECRET, JWT_JWKS_URL: "https://i.example" }, /only one may be set/],
    ["a short secret", { ...JWT, JWT_SECRET: "short" }, /JWT_SECRET: .*32/],
    ["a key set over http", { ...JWT, JWT_JWKS_URL: "http://issuer.example/keys" }, /JWT_JWKS_URL: .*https/],
    ["a key set in a file", { ...JWT, JWT_JWKS_URL: "file:///keys" }, /JWT_JWKS_URL: must be https/],
    ["a file that is not there", { ...JWT, JWT_PUBLIC_KEY_FILE: "/nowhere" }, /JWT_PUBLIC_KEY_FILE: .*ENOENT/],
  ])("with %s stop the start", (_, env, problem) => {
    expect(complaint(env)).toMatch(problem);
  });

  test.each<[string, () => string]>([
    ["a short RSA key", () => rsa(1024)],
    ["another curve", () => ec("P-384")],
    ["a private key", () => ed25519.privateKey.export({ type: "pkcs8", format: "pem" }).toString()],
    ["something else", () => "ssh-rsa AAAA"],
  ])("with %s as the public key stop the start", async (_, pem) => {
    expect(complaint({ ...JWT, JWT_PUBLIC_KEY_FILE: await aFile(pem()) })).toMatch(
      /JWT_PUBLIC_KEY_FILE: (must have|has a private)/,
    );
  });

  test("and no complaint repeats a secret", async () => {
    const said = [
      complaint({ OPERATOR_KEY: "hunter2", JWT_SECRET: "hunter2" }),
      complaint({ OPERATOR_KEY_FILE: await aFile("hunter2") }),
      complaint({ JWT_SECRET: `hunter2${SECRET}` }),
    ];
    expect(said.join()).not.toContain("hunter2");
  });
});
