import { createHmac, createPublicKey, createSecretKey, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import type { JwtKey } from "../../src/auth-settings.ts";
import type { Database } from "../../src/db/database.ts";
import { TryAgainError } from "../../src/errors.ts";
import { UNAUTHENTICATED } from "../../src/identity/authentication.ts";
import { type Authenticator, createAuthenticator } from "../../src/identity/authenticator.ts";
import { permissionsOf } from "../../src/identity/permissions.ts";
import { openTestDatabase } from "../support/database.ts";
import { WORKSPACE } from "../support/engine.ts";
import { PROTOCOLS, watch } from "../support/live.ts";
import { startTestServer } from "../support/server.ts";

/** JWTs (section 11): whose are accepted, who they are of, and that they end. */

const ISSUER = "https://issuer.example";
const AUDIENCE = "ai-job-server";
const SETTINGS = { issuer: ISSUER, audience: AUDIENCE, workspaceClaim: "workspace_id", rolesClaim: "roles" };

let database: Database;
const opened: Authenticator[] = [];
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(async () => {
  for (const authenticator of opened) authenticator.close();
  await database.close();
});

function authenticatorWith(key: JwtKey): Authenticator {
  const jwt = { ...SETTINGS, key };
  const options = { prisma: database.prisma, operatorKey: undefined, jwt, onError: () => undefined };
  const authenticator = createAuthenticator(options);
  opened.push(authenticator);
  return authenticator;
}

const ask = (authenticator: Authenticator, jwt: string) =>
  authenticator.authenticate({ authorization: `Bearer ${jwt}` });
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;

/** The claims of a JWT that is accepted, with changes; undefined leaves one out. */
function claimsWith(changes: Readonly<Record<string, unknown>> = {}): JWTPayload {
  const claims = {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: "ada",
    exp: inSeconds(300),
    roles: ["SUBMITTER"],
    workspace_id: WORKSPACE,
  };
  return Object.fromEntries(Object.entries({ ...claims, ...changes }).filter(([, value]) => value !== undefined));
}

async function keyPair(algorithm: string) {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const pem = await exportSPKI(publicKey);
  const key: KeyObject = createPublicKey(pem);
  const sign = (changes = {}, header = {}) =>
    new SignJWT(claimsWith(changes)).setProtectedHeader({ alg: algorithm, ...header }).sign(privateKey);
  return { key, pem, sign, publicKey };
}

const RSA = await keyPair("RS256");

describe("a JWT with one public key", () => {
  test.each(["RS256", "ES256", "EdDSA"])(
    "is accepted, signed by %s: its subject, in its workspace, with its roles",
    async (algorithm) => {
      const { key, sign } = await keyPair(algorithm);
      const authenticator = authenticatorWith({ key, algorithm });
      const exp = inSeconds(300);
      const jwt = await sign({ exp });
      const principal = await ask(authenticator, jwt);
      expect(principal).toEqual({
        name: "jwt:ada",
        workspaceId: WORKSPACE,
        roles: ["SUBMITTER"],
        permissions: new Set(["JOBS_READ", "JOBS_SUBMIT", "JOBS_OPERATE"]),
        jobKinds: null,
        expiresAt: new Date(exp * 1000),
        keysEndBy: new Date(exp * 1000),
        apiKeyId: null,
      });
      // From memory, and without a promise.
      expect(ask(authenticator, jwt)).toBe(principal);
    },
  );

  test("may come a minute too early or too late, and no more", async () => {
    const authenticator = authenticatorWith({ key: RSA.key, algorithm: "RS256" });
    for (const near of [{ exp: inSeconds(-30) }, { nbf: inSeconds(30) }])
      expect(await ask(authenticator, await RSA.sign(near))).toMatchObject({ name: "jwt:ada" });
    for (const far of [{ exp: inSeconds(-75) }, { nbf: inSeconds(90) }])
      expect(await ask(authenticator, await RSA.sign(far))).toBe(UNAUTHENTICATED);
  });

  test.each<[string, Record<string, unknown>]>([
    ["another issuer", { iss: "https://other.example" }],
    ["no issuer", { iss: undefined }],
    ["another audience", { aud: "other" }],
    ["no audience", { aud: undefined }],
    ["no end", { exp: undefined }],
    ["an end that is no number", { exp: "tomorrow" }],
    ["an end that no date has", { exp: 1e300 }],
    ["no subject", { sub: undefined }],
    ["an empty subject", { sub: "" }],
    ["a subject of 300 characters", { sub: "a".repeat(300) }],
    ["a subject with a line break", { sub: "ada\nroot" }],
    ["no workspace", { workspace_id: undefined }],
    ["a workspace that is none", { workspace_id: "one" }],
    ["several workspaces", { workspace_id: [WORKSPACE] }],
    ["no roles", { roles: undefined }],
    ["an empty list of roles", { roles: [] }],
    ["an unknown role beside a known one", { roles: ["VIEWER", "OWNER"] }],
    ["a role that every object has", { roles: ["constructor"] }],
    ["roles as a text", { roles: "VIEWER" }],
  ])("is refused with %s", async (_, changes) => {
    const authenticator = authenticatorWith({ key: RSA.key, algorithm: "RS256" });
    expect(await ask(authenticator, await RSA.sign(changes))).toBe(UNAUTHENTICATED);
  });

  test("never gets more than its workspace", async () => {
    const authenticator = authenticatorWith({ key: RSA.key, algorithm: "RS256" });
    const principal = await ask(authenticator, await RSA.sign({ roles: ["ADMIN"] }));
    expect(principal).toMatchObject({ workspaceId: WORKSPACE });
    expect(principal).toHaveProperty("permissions", permissionsOf(["ADMIN"], false));
  });

  test("is refused without a signature, with another's, and with the public key taken for a secret", async () => {
    const authenticator = authenticatorWith({ key: RSA.key, algorithm: "RS256" });
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const unsigned = `${part({ alg: "none" })}.${part(claimsWith())}`;
    const hs256 = `${part({ alg: "HS256" })}.${part(claimsWith())}`;
    const mac = createHmac("sha256", RSA.pem).update(hs256).digest("base64url");
    const valid = await RSA.sign();
    const [header, , signature] = valid.split(".");
    const stranger = await (await keyPair("RS256")).sign();
    for (const forged of [
      `${unsigned}.`,
      `${unsigned}.AA`,
      `${hs256}.${mac}`,
      `${header}.${part(claimsWith({ roles: ["ADMIN"] }))}.${signature}`,
      stranger,
      `${valid}x`,
    ])
      expect(await ask(authenticator, forged)).toBe(UNAUTHENTICATED);
    // One that is known to be none is not verified again.
    expect(ask(authenticator, stranger)).toBe(UNAUTHENTICATED);
  });
});

test("a shared secret accepts HS256 alone", async () => {
  const secret = createSecretKey("s".repeat(32), "utf8");
  const authenticator = authenticatorWith({ key: secret, algorithm: "HS256" });
  const sign = (alg: string) => new SignJWT(claimsWith()).setProtectedHeader({ alg }).sign(Buffer.from("s".repeat(32)));
  expect(await ask(authenticator, await sign("HS256"))).toMatchObject({ name: "jwt:ada" });
  expect(await ask(authenticator, await sign("HS512"))).toBe(UNAUTHENTICATED);
  expect(await ask(authenticator, await RSA.sign())).toBe(UNAUTHENTICATED);
});

test("other names of the claims are those that are set", async () => {
  const jwt = {
    ...SETTINGS,
    workspaceClaim: "https://x.example/ws",
    rolesClaim: "groups",
    key: { key: RSA.key, algorithm: "RS256" },
  };
  const authenticator = createAuthenticator({
    prisma: database.prisma,
    operatorKey: undefined,
    jwt,
    onError: () => undefined,
  });
  opened.push(authenticator);
  expect(
    await ask(authenticator, await RSA.sign({ "https://x.example/ws": WORKSPACE, groups: ["VIEWER"] })),
  ).toMatchObject({
    roles: ["VIEWER"],
  });
});

describe("a key set", () => {
  let issuer: Server;
  let url: URL;
  let fetched = 0;
  let status = 200;
  beforeAll(async () => {
    const jwk = { ...(await exportJWK(RSA.publicKey)), kid: "one", alg: "RS256" };
    issuer = createServer((_request, response) => {
      fetched += 1;
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify({ keys: [jwk] }));
    });
    issuer.listen(0, "127.0.0.1");
    await once(issuer, "listening");
    const address = issuer.address();
    url = new URL(`http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}/keys`);
  });
  afterAll(() => {
    issuer.closeAllConnections();
    issuer.close();
  });

  test("is fetched once, however many JWTs name keys that are not in it", async () => {
    const authenticator = authenticatorWith({ jwksUrl: url });
    fetched = 0;
    expect(await ask(authenticator, await RSA.sign({}, { kid: "one" }))).toMatchObject({ name: "jwt:ada" });
    for (let at = 0; at < 50; at++) {
      const unknown = await RSA.sign({ sub: `s${at}` }, { kid: `another ${at}` });
      expect(await ask(authenticator, unknown)).toBe(UNAUTHENTICATED);
    }
    expect(fetched).toBe(1);
  });

  test("that cannot be fetched lets try again, and is not tried for each JWT", async () => {
    const authenticator = authenticatorWith({ jwksUrl: url });
    fetched = 0;
    status = 500;
    for (let at = 0; at < 20; at++)
      expect(await ask(authenticator, await RSA.sign({ sub: `s${at}` }, { kid: "one" }))).toBeInstanceOf(TryAgainError);
    expect(fetched).toBe(1);
    status = 200;
    const jwt = await RSA.sign({}, { kid: "one" });
    await vi.waitUntil(async () => !((await ask(authenticator, jwt)) instanceof Error), {
      timeout: 10_000,
      interval: 100,
    });
  });
});

describe("the end of a JWT", () => {
  const version = () => 1;

  test("ends requests, streams and sockets within a second of it", async () => {
    const authenticator = authenticatorWith({ key: RSA.key, algorithm: "RS256" });
    const server = await startTestServer(database, {}, { authenticator });
    const exp = inSeconds(4);
    const headers = { authorization: `Bearer ${await RSA.sign({ exp })}`, "content-type": "application/json" };
    const post = () => fetch(server.url, { method: "POST", headers, body: '{"query":"{ __typename }"}' });
    expect((await post()).status).toBe(200);
    const query = "subscription { aiJobsChanged { version } }";
    const watched = PROTOCOLS.map((protocol) => watch(protocol, server.url, { query, headers }, version));
    const streams = watched.map((changes) =>
      changes
        .until(() => false)
        .then(
          () => "nothing",
          (error: unknown) => ({ why: String(error), late: Date.now() - exp * 1000 }),
        ),
    );
    const socket = new WebSocket(server.url.replace("http", "ws"), "graphql-transport-ws", { headers });
    await once(socket, "open");
    socket.send('{"type":"connection_init"}');
    const closed = once(socket, "close");
    expect((await closed)[0]).toBe(4403);
    const late = Date.now() - exp * 1000;
    const why = expect.stringMatching(/UNAUTHENTICATED|4403/);
    const ends = await Promise.all(streams);
    expect(ends).toEqual(ends.map(() => ({ why, late: expect.any(Number) })));
    for (const each of [late, ...ends.flatMap((end) => (typeof end === "string" ? [] : [end.late]))]) {
      expect(each).toBeGreaterThanOrEqual(-50);
      expect(each).toBeLessThan(1_000);
    }
    expect((await post()).status).toBe(401);
    for (const changes of watched) await changes[Symbol.asyncDispose]();
    await server.close();
  });
});
