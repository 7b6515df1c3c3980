import { createSecretKey, randomUUID } from "node:crypto";
import { once } from "node:events";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { z } from "zod";
import { type AuthenticatorOptions, createAuthenticator } from "../../src/identity/authenticator.ts";
import { createApiKey } from "../../src/identity/keys.ts";
import { OPERATOR } from "../../src/identity/principal.ts";
import { deleteEndedSessions } from "../../src/identity/sessions.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, WORKSPACE } from "../support/engine.ts";
import { type ServerOptions, startTestServer, type TestServer } from "../support/server.ts";

/** Sessions of browsers (section 11): what gives one, where its cookie counts, and what it is worth elsewhere. */

const OPERATOR_KEY = "the-operator's-key-of-more-than-32-characters";
const SECRET = createSecretKey("s".repeat(32), "utf8");
const JWT = {
  issuer: "issuer",
  audience: "jobs",
  workspaceClaim: "workspace_id",
  rolesClaim: "roles",
  key: { key: SECRET, algorithm: "HS256" },
};
const FOREIGN = "https://app.example";

type Headers = Readonly<Record<string, string>>;

let db: TestDatabase;
let server: TestServer;
let byTls: TestServer;
let stranger: TestServer;
let authorization: string;
let apiKeyId: string;
const closers: (() => Promise<void> | void)[] = [];
beforeAll(async () => {
  db = await openTestDatabase();
  server = await serve({ operatorKey: OPERATOR_KEY, jwt: JWT }, { corsOrigins: [FOREIGN] });
  byTls = await serve({ operatorKey: OPERATOR_KEY }, { publicUrl: new URL("https://jobs.example.com") });
  stranger = await serve({ operatorKey: "another-key-of-another-operator-entirely" });
  const key = { name: "k", roles: ["VIEWER" as const], jobKinds: null, expiresAt: null, workspaceId: WORKSPACE };
  const made = ok(await createApiKey(engineOn(db), OPERATOR, key));
  authorization = `Bearer ${made.secret}`;
  apiKeyId = made.apiKey.apiKeyId;
});
afterAll(async () => {
  for (const close of closers.toReversed()) await close();
  await db.close();
});

async function serve(
  settings: Pick<AuthenticatorOptions, "operatorKey" | "jwt">,
  options: ServerOptions = {},
): Promise<TestServer> {
  const authenticator = createAuthenticator({ prisma: engineOn(db).prisma, onError: () => undefined, ...settings });
  const started = await startTestServer(db, {}, { authenticator, ...options });
  closers.push(() => authenticator.close(), started.close);
  return started;
}

const sessionsOf = ({ url }: TestServer) => new URL("/session", url).href;
const SAME = { "sec-fetch-site": "same-origin" };

async function logIn(headers: Headers, at = server) {
  const response = await fetch(sessionsOf(at), { method: "POST", headers });
  const setCookie = response.headers.get("set-cookie") ?? "";
  return { status: response.status, setCookie, cookie: setCookie.split(";")[0] ?? "" };
}

async function logOut(headers: Headers) {
  const response = await fetch(sessionsOf(server), { method: "DELETE", headers });
  return { status: response.status, setCookie: response.headers.get("set-cookie") };
}

/** The name of who the server says that calls; the status where it says nothing. */
async function whoIs(headers: Headers, at = server): Promise<unknown> {
  const query = "{ viewer { principal expiresAt } }";
  const body = JSON.stringify({ query });
  const response = await fetch(at.url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  });
  return response.status === 200 ? response.json() : response.status;
}
const made = z.object({
  data: z.object({ createApiKey: z.object({ apiKey: z.object({ expiresAt: z.string().nullable() }) }) }),
});
const viewer = (principal: string) => ({ data: { viewer: expect.objectContaining({ principal }) } });

async function aJwt(workspaceId: string, roles = ["VIEWER"]): Promise<string> {
  const exp = Math.floor(Date.now() / 1000) + 300;
  const claims = { iss: JWT.issuer, aud: JWT.audience, sub: "ada", exp, roles, workspace_id: workspaceId };
  return `Bearer ${await new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(SECRET)}`;
}

describe("a session", () => {
  test("is the principal, in a cookie that no script reads and no other site sends, for 12 hours", async () => {
    const { status, setCookie, cookie } = await logIn({ authorization });
    expect(status).toBe(204);
    expect(setCookie).toMatch(/^ajs_session=[\w-]{43}; Path=\/; Max-Age=(4319\d|43200); HttpOnly; SameSite=Strict$/);
    const answer = await whoIs({ cookie, ...SAME });
    expect(answer).toEqual(viewer(`key:${apiKeyId}`));
    expect(await whoIs({ cookie: `theme=dark; ${cookie}; other=1`, ...SAME })).toEqual(answer);
  });

  test("makes keys that end with its credential, and not with itself", async () => {
    const make = async (credential: string) => {
      const { cookie } = await logIn({ authorization: credential });
      const query =
        'mutation { createApiKey(input: { name: "made in it", roles: [VIEWER] }) { ... on CreateApiKeyPayload { apiKey { expiresAt } } } }';
      const response = await fetch(server.url, {
        method: "POST",
        headers: { "content-type": "application/json", "x-workspace-id": WORKSPACE, cookie, ...SAME },
        body: JSON.stringify({ query }),
      });
      return made.parse(await response.json()).data.createApiKey.apiKey.expiresAt;
    };
    const keyOf = async (expiresAt: Date | null) => {
      const key = { name: "admin", roles: ["ADMIN" as const], jobKinds: null, expiresAt, workspaceId: WORKSPACE };
      return `Bearer ${ok(await createApiKey(engineOn(db), OPERATOR, key)).secret}`;
    };
    expect(await make(`Bearer ${OPERATOR_KEY}`)).toBeNull();
    expect(await make(await keyOf(null))).toBeNull();
    const ends = new Date(Date.now() + 30 * 24 * 3600 * 1000);
    expect(await make(await keyOf(ends))).toBe(ends.toISOString());
    // A token's end is not known any more; the session ends with it at the latest.
    expect(Date.parse((await make(await aJwt(WORKSPACE, ["ADMIN"]))) ?? "")).toBeLessThan(Date.now() + 301_000);
  });

  test("is the operator's, or a JWT's subject's until its exp", async () => {
    const operator = await logIn({ authorization: `Bearer ${OPERATOR_KEY}` });
    expect(await whoIs({ cookie: operator.cookie, ...SAME })).toEqual(viewer("operator"));
    const jwt = await logIn({ authorization: await aJwt(WORKSPACE) });
    expect(Number(/Max-Age=(\d+)/.exec(jwt.setCookie)?.[1])).toBeLessThanOrEqual(300);
    expect(await whoIs({ cookie: jwt.cookie, ...SAME })).toEqual(viewer("jwt:ada"));
  });

  test("is had by a valid credential alone, and in a workspace that exists", async () => {
    const { cookie } = await logIn({ authorization });
    for (const headers of [{}, { authorization: "Bearer nonsense" }, { cookie, ...SAME }])
      expect(await logIn(headers)).toMatchObject({ status: 401, setCookie: "" });
    expect(await logIn({ authorization: await aJwt(randomUUID()) })).toMatchObject({ status: 404, setCookie: "" });
  });

  test("is worth something on every server of the database that accepts what it was made with", async () => {
    const { cookie: ofKey } = await logIn({ authorization });
    expect(await whoIs({ cookie: ofKey, ...SAME }, stranger)).toEqual(viewer(`key:${apiKeyId}`));
    const { cookie: ofOperator } = await logIn({ authorization: `Bearer ${OPERATOR_KEY}` });
    const { cookie: ofJwt } = await logIn({ authorization: await aJwt(WORKSPACE) });
    for (const cookie of [ofOperator, ofJwt]) expect(await whoIs({ cookie, ...SAME }, stranger)).toBe(401);
  });

  test("ends with DELETE, which may be repeated, and takes the cookie away", async () => {
    const { cookie } = await logIn({ authorization });
    const other = await logIn({ authorization });
    expect(await whoIs({ cookie, ...SAME })).toEqual(viewer(`key:${apiKeyId}`));
    for (let time = 0; time < 2; time++)
      expect(await logOut({ cookie, ...SAME })).toEqual({
        status: 204,
        setCookie: "ajs_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict",
      });
    expect(await whoIs({ cookie, ...SAME })).toBe(401);
    expect(await whoIs({ cookie: other.cookie, ...SAME })).toEqual(viewer(`key:${apiKeyId}`));
  });

  test("is stored by its hash, and deleted when it has ended", async () => {
    const { cookie } = await logIn({ authorization });
    const rows = () => db.prisma.$queryRaw<{ row: string }[]>`SELECT to_jsonb(s)::text AS row FROM sessions s`;
    expect(JSON.stringify(await rows())).not.toContain(cookie.split("=")[1]);
    await db.prisma.$executeRaw`
      INSERT INTO sessions SELECT sha256('ended'), workspace_id, principal, roles, api_key_id, credential_hash,
        now() - interval '2 hours', now() - interval '1 hour' FROM sessions LIMIT 1`;
    const before = (await rows()).length;
    await deleteEndedSessions(engineOn(db).prisma);
    expect((await rows()).length).toBe(before - 1);
    expect(await whoIs({ cookie, ...SAME })).toEqual(viewer(`key:${apiKeyId}`));
  });
});

describe("the cookie counts", () => {
  test("for a request of the server's own page alone", async () => {
    const { cookie } = await logIn({ authorization });
    const { origin, port } = new URL(server.url);
    const me = viewer(`key:${apiKeyId}`);
    expect(await whoIs({ cookie, ...SAME })).toEqual(me);
    expect(await whoIs({ cookie, origin })).toEqual(me);
    for (const site of ["cross-site", "same-site", "none"])
      expect(await whoIs({ cookie, "sec-fetch-site": site })).toBe(401);
    expect(await whoIs({ cookie })).toBe(401);
    // May call the server, but not with its cookies.
    expect(await whoIs({ cookie, origin: FOREIGN })).toBe(401);
    expect(await whoIs({ cookie, origin: `http://evil.example:${port}` })).toBe(403);
    expect(await whoIs({ cookie, origin: "null" })).toBe(403);
  });

  test("where no Authorization header is sent, even a wrong one", async () => {
    const { cookie } = await logIn({ authorization });
    expect(await whoIs({ cookie, ...SAME, authorization: "Bearer nonsense" })).toBe(401);
    expect(await whoIs({ cookie, ...SAME, authorization: `Bearer ${OPERATOR_KEY}` })).toEqual(viewer("operator"));
  });

  test("behind TLS by another name, over TLS alone, and for a page of the public address", async () => {
    const { setCookie, cookie } = await logIn({ authorization }, byTls);
    expect(setCookie).toMatch(
      /^__Host-ajs_session=[\w-]{43}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict; Secure$/,
    );
    const me = viewer(`key:${apiKeyId}`);
    expect(await whoIs({ cookie, origin: "https://jobs.example.com" }, byTls)).toEqual(me);
    expect(await whoIs({ cookie, ...SAME }, byTls)).toEqual(me);
    expect(await whoIs({ cookie, origin: new URL(byTls.url).origin }, byTls)).toBe(401);
    const plain = cookie.replace("__Host-", "");
    expect(await whoIs({ cookie: plain, ...SAME }, byTls)).toBe(401);
  });

  test("for a WebSocket of the server's own page alone", async () => {
    const { cookie } = await logIn({ authorization });
    const outcome = async (headers: Headers) => {
      const socket = new WebSocket(server.url.replace("http", "ws"), "graphql-transport-ws", { headers });
      const closed = once(socket, "close").then(([code]: unknown[]) => code);
      await once(socket, "open");
      socket.send('{"type":"connection_init"}');
      const answered = once(socket, "message").then(([data]: unknown[]) => String(data));
      const result: unknown = await Promise.race([answered, closed]);
      socket.terminate();
      return result;
    };
    expect(await outcome({ cookie, origin: new URL(server.url).origin })).toBe('{"type":"connection_ack"}');
    expect(await outcome({ cookie, ...SAME })).toBe('{"type":"connection_ack"}');
    expect(await outcome({ cookie })).toBe(4403);
    expect(await outcome({ cookie, origin: FOREIGN })).toBe(4403);
  });
});

test("a page of another origin neither begins nor ends a session", async () => {
  const { cookie } = await logIn({ authorization });
  for (const headers of [{ origin: FOREIGN }, { "sec-fetch-site": "cross-site" }] satisfies Headers[]) {
    expect(await logIn({ ...headers, authorization })).toMatchObject({ status: 403, setCookie: "" });
    expect(await logOut({ ...headers, cookie })).toMatchObject({ status: 403 });
  }
  expect(await whoIs({ cookie, ...SAME })).toEqual(viewer(`key:${apiKeyId}`));
});

test("a server that asks nobody has no sessions, and other methods are refused", async () => {
  const open = await startTestServer(db);
  expect((await logIn({ authorization }, open)).status).toBe(404);
  await open.close();
  expect((await fetch(sessionsOf(server), { headers: { authorization } })).status).toBe(405);
});

describe("plain SQL", () => {
  const columns = "secret_hash, workspace_id, principal, roles, api_key_id, credential_hash, created_at, expires_at";
  test.each([
    ["gives a session another life", "UPDATE sessions SET expires_at = expires_at + interval '1 hour'", "AJ007"],
    [
      "makes one of 13 hours",
      `INSERT INTO sessions (${columns}) SELECT sha256('a'), workspace_id, principal, roles, api_key_id, credential_hash, now(), now() + interval '13 hours' FROM sessions LIMIT 1`,
      "23514",
    ],
    [
      "makes one of an operator in a workspace",
      `INSERT INTO sessions (${columns}) SELECT sha256('b'), '${WORKSPACE}', 'operator', '{admin}', NULL, credential_hash, now(), now() + interval '1 hour' FROM sessions LIMIT 1`,
      "23514",
    ],
    [
      "makes one of a JWT without a workspace",
      `INSERT INTO sessions (${columns}) SELECT sha256('c'), NULL, 'jwt:ada', '{admin}', NULL, credential_hash, now(), now() + interval '1 hour' FROM sessions LIMIT 1`,
      "23514",
    ],
    [
      "makes one of a key in another workspace",
      `INSERT INTO sessions (${columns}) SELECT sha256('d'), NULL, principal, roles, api_key_id, credential_hash, now(), now() + interval '1 hour' FROM sessions WHERE api_key_id IS NOT NULL LIMIT 1`,
      "AJ006",
    ],
  ])("that %s is refused", async (_, sql, state) => {
    await logIn({ authorization });
    await expect(db.prisma.$executeRawUnsafe(sql)).rejects.toThrow(state);
  });
});
