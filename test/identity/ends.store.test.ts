import { createSecretKey } from "node:crypto";
import { SignJWT } from "jose";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openDatabase } from "../../src/db/open.ts";
import type { EngineContext } from "../../src/engine.ts";
import { type Authenticator, createAuthenticator } from "../../src/identity/authenticator.ts";
import { type CreateApiKey, createApiKey, revokeApiKey, rotateApiKey } from "../../src/identity/keys.ts";
import { OPERATOR } from "../../src/identity/principal.ts";
import { openTestDatabase, serverSide, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, WORKSPACE } from "../support/engine.ts";
import { type OpenWork, openWork } from "../support/open-work.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { heldUp } from "../support/spawn-server.ts";

/**
 * What ends a principal ends all that is open for it (section 11): within a second on the server that is told, and within two on
 * another one of the same database, which the embedded store has not.
 */

const SECRET = createSecretKey("s".repeat(32), "utf8");
const JWT = { issuer: "issuer", audience: "jobs", workspaceClaim: "workspace_id", rolesClaim: "roles" };
const HERE_MS = 1_000;
const THERE_MS = 2_000;

let db: TestDatabase;
let engine: EngineContext;
let opened: { server: TestServer; authenticator: Authenticator }[];
let otherDatabase: Database | undefined;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  if (db.kind === "postgres") otherDatabase = await openDatabase(db.location);
});
beforeEach(async () => {
  opened = [];
  for (const database of otherDatabase ? [db, otherDatabase] : [db]) {
    const jwt = { ...JWT, key: { key: SECRET, algorithm: "HS256" } };
    const options = { operatorKey: undefined, jwt, onError: () => undefined };
    const authenticator = createAuthenticator({ prisma: serverSide(database).prisma, ...options });
    opened.push({ server: await startTestServer(database, {}, { authenticator }), authenticator });
  }
});
afterEach(async () => {
  for (const { server, authenticator } of opened) {
    await server.close();
    authenticator.close();
  }
});
afterAll(async () => {
  await otherDatabase?.close();
  await db.close();
});

/** A principal that may watch and work: the headers of its requests, and what ends it. */
interface Ending {
  readonly headers: Readonly<Record<string, string>>;
  /** Ends it. @returns since when it has ended, as `Date.now` counts. */
  end(): Promise<number>;
}

async function aKey(more: Partial<CreateApiKey> = {}) {
  const key = {
    name: "k",
    roles: ["ADMIN" as const],
    jobKinds: null,
    expiresAt: null,
    workspaceId: WORKSPACE,
    ...more,
  };
  const { apiKey, secret } = ok(await createApiKey(engine, OPERATOR, key));
  return { apiKeyId: apiKey.apiKeyId, headers: { authorization: `Bearer ${secret}` } };
}

async function aJwt(exp: number): Promise<Ending["headers"]> {
  const claims = { iss: JWT.issuer, aud: JWT.audience, sub: "ada", exp, roles: ["ADMIN"], workspace_id: WORKSPACE };
  return { authorization: `Bearer ${await new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(SECRET)}` };
}

/** The headers of a page of the first server's, with a session in place of a credential. */
async function aSession(headers: Ending["headers"]): Promise<Ending["headers"]> {
  const { status, headers: answered } = await fetch(sessions(), { method: "POST", headers });
  if (status !== 204) throw new Error(`No session: ${status}.`);
  const [cookie = ""] = (answered.get("set-cookie") ?? "").split(";");
  return { cookie, "sec-fetch-site": "same-origin" };
}

const sessions = () => new URL("/session", opened[0]?.server.url).href;
const revocation = (apiKeyId: string) => async () => {
  ok(await revokeApiKey(engine, OPERATOR, { apiKeyId, includeDescendants: false }));
  return Date.now();
};
const rotation = (apiKeyId: string, overlapSeconds: number) => async () => {
  const { apiKey } = ok(await rotateApiKey(engine, OPERATOR, { apiKeyId, overlapSeconds }));
  return apiKey.overlapUntil ? Number(apiKey.overlapUntil) : Date.now();
};
/** A whole second from now on, in which everything can be opened on a busy machine. */
const soon = () => Math.ceil(Date.now() / 1000) + 6;

const ENDINGS: Readonly<Record<string, () => Promise<Ending>>> = {
  "a key's revocation": async () => {
    const { apiKeyId, headers } = await aKey();
    return { headers, end: revocation(apiKeyId) };
  },
  "a key's rotation": async () => {
    const { apiKeyId, headers } = await aKey();
    return { headers, end: rotation(apiKeyId, 0) };
  },
  "the end of a rotation's overlap": async () => {
    const { apiKeyId, headers } = await aKey();
    return { headers, end: rotation(apiKeyId, 1) };
  },
  "a key's expiry": async () => {
    const at = soon();
    const { headers } = await aKey({ expiresAt: new Date(at * 1000) });
    return { headers, end: async () => at * 1000 };
  },
  "a JWT's exp": async () => {
    const at = soon();
    return { headers: await aJwt(at), end: async () => at * 1000 };
  },
  "the revocation of the key of a session": async () => {
    const { apiKeyId, headers } = await aKey();
    return { headers: await aSession(headers), end: revocation(apiKeyId) };
  },
  "the rotation of the key of a session": async () => {
    const { apiKeyId, headers } = await aKey();
    return { headers: await aSession(headers), end: rotation(apiKeyId, 0) };
  },
  "the exp of the JWT of a session": async () => {
    const at = soon();
    return { headers: await aSession(await aJwt(at)), end: async () => at * 1000 };
  },
  "the end of a session": async () => {
    const headers = await aSession((await aKey()).headers);
    const end = async () => {
      await fetch(sessions(), { method: "DELETE", headers });
      return Date.now();
    };
    return { headers, end };
  },
};

// Without `complete`, a browser's EventSource would come back for ever.
const SAID_AND_COMPLETE = expect.stringMatching(/UNAUTHENTICATED[^]*event: complete/);
const LAST_WORDS = {
  eventStream: SAID_AND_COMPLETE,
  sharedStream: SAID_AND_COMPLETE,
  webSocket: "4403",
  claim: expect.stringContaining("UNAUTHENTICATED"),
  requests: expect.stringContaining("UNAUTHENTICATED"),
};

async function expectEnds(ends: OpenWork, since: number, maxMs: number): Promise<void> {
  const heldUpBefore = heldUp(process.pid);
  const ended = await Promise.all(Object.entries(ends).map(async ([what, end]) => ({ what, ...(await end) })));
  expect(Object.fromEntries(ended.map(({ what, words }) => [what, words]))).toEqual(LAST_WORDS);
  // Other processes had the machine meanwhile; those of the database waited as long as this one.
  const heldUpMs = 2 * (heldUp(process.pid) - heldUpBefore);
  const late = ended.filter(({ at }) => at - since >= maxMs + heldUpMs);
  expect(late.map(({ what, at }) => `${what} after ${at - since} ms`)).toEqual([]);
}

describe("all that is open ends with", () => {
  test.each(Object.entries(ENDINGS))("%s", async (_, begin) => {
    const { headers, end } = await begin();
    const work = await Promise.all(opened.map(({ server }) => openWork(server.url, headers)));
    const since = await end();
    await Promise.all(work.map((each, at) => expectEnds(each, since, at === 0 ? HERE_MS : THERE_MS)));
  });
});

test("where it cannot be told for 5 seconds who calls, requests may try again, and streams go on from a cursor", async () => {
  const { headers } = await aKey();
  const { server } = opened[0] ?? {};
  if (!server) throw new Error("There is a server.");
  const ends = await openWork(server.url, headers);
  await db.prisma.$executeRawUnsafe("ALTER TABLE api_keys RENAME TO moved_away");
  try {
    expect((await ends.requests).words).toContain("TRY_AGAIN");
    expect((await ends.claim).words).toContain("TryAgainError");
    expect((await ends.webSocket).words).toBe("1013");
    for (const stream of [ends.eventStream, ends.sharedStream]) {
      const { words } = await stream;
      expect(words).not.toMatch(/complete|errors/);
    }
    expect((await ends.eventStream).words).toMatch(/\nid: .+\n\n$/);
    // An error status would end a browser's EventSource for good.
    const again = fetch(server.url, { headers: { ...headers, accept: "text/event-stream" } });
    await expect(again).rejects.toThrow("fetch failed");
  } finally {
    await db.prisma.$executeRawUnsafe("ALTER TABLE moved_away RENAME TO api_keys");
  }
});
