import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { ForbiddenError, InvalidInputError, NotFoundError } from "../../src/errors.ts";
import { hashOfSecret, isApiKeySecret } from "../../src/identity/api-key.ts";
import { type CreateApiKey, createApiKey, listApiKeys, revokeApiKey, rotateApiKey } from "../../src/identity/keys.ts";
import { permissionsOf } from "../../src/identity/permissions.ts";
import { ANONYMOUS, type Principal } from "../../src/identity/principal.ts";
import { createWorkspace, updateWorkspace } from "../../src/identity/workspaces.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok } from "../support/engine.ts";

/** API keys and workspaces (section 11): nobody gives more than he has, and what ends stays ended. */

let db: TestDatabase;
let engine: EngineContext;
let workspaceId: string;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  workspaceId = ok(await createWorkspace(engine, { name: "one", workspaceId: null })).workspaceId;
});
afterAll(() => db.close());

const OPERATOR: Principal = { ...ANONYMOUS, name: "operator" };
const IN_AN_HOUR = new Date(Date.now() + 3_600_000);
const TOMORROW = new Date(Date.now() + 86_400_000);

function aKey(more: Partial<CreateApiKey> = {}): CreateApiKey {
  return { name: "a key", roles: ["VIEWER"], jobKinds: null, expiresAt: null, workspaceId, ...more };
}

/** A principal of the workspace that may manage keys. */
function anAdmin(more: Partial<Principal> = {}): Principal {
  const roles = more.roles ?? ["ADMIN"];
  const own = { ...ANONYMOUS, name: "key:admin", workspaceId, roles, permissions: permissionsOf(roles, false) };
  return { ...own, ...more };
}

describe("a workspace", () => {
  test("has a name; the same id with the same name may be sent again, and with another it is refused", async () => {
    const id = randomUUID();
    const made = ok(await createWorkspace(engine, { name: "two", workspaceId: id }));
    expect(made).toMatchObject({ workspaceId: id, name: "two", retentionDays: null });
    expect(ok(await createWorkspace(engine, { name: "two", workspaceId: id }))).toEqual(made);
    expect(await createWorkspace(engine, { name: "three", workspaceId: id })).toBeInstanceOf(InvalidInputError);
  });

  test("that came with its first job gets the name that it has not", async () => {
    const id = randomUUID();
    await db.prisma.$executeRaw`INSERT INTO workspaces (workspace_id) VALUES (${id}::uuid)`;
    expect(ok(await createWorkspace(engine, { name: "found", workspaceId: id })).name).toBe("found");
  });

  test("changes what is given, and nothing else", async () => {
    const { workspaceId: id } = ok(await createWorkspace(engine, { name: "four", workspaceId: null }));
    const change = { workspaceId: id, name: undefined, retentionDays: 30 };
    expect(ok(await updateWorkspace(engine, change))).toMatchObject({ name: "four", retentionDays: 30 });
    const back = { workspaceId: id, name: "4", retentionDays: null };
    expect(ok(await updateWorkspace(engine, back))).toMatchObject({ name: "4", retentionDays: null });
    expect(await updateWorkspace(engine, { ...change, workspaceId: randomUUID() })).toBeInstanceOf(NotFoundError);
  });
});

describe("a key that is made", () => {
  test("shows its secret once; only the hash is stored", async () => {
    const { apiKey, secret } = ok(await createApiKey(engine, OPERATOR, aKey({ roles: ["WORKER", "VIEWER"] })));
    expect(isApiKeySecret(secret)).toBe(true);
    expect(apiKey).toMatchObject({
      workspaceId,
      roles: ["WORKER", "VIEWER"],
      createdBy: "operator",
      prefix: secret.slice(0, 8),
      lastFour: secret.slice(-4),
    });
    expect(Buffer.from(apiKey.secretHash).equals(hashOfSecret(secret))).toBe(true);
    const [stored] = await db.prisma.$queryRaw<{ row: string }[]>`
      SELECT to_jsonb(k)::text AS row FROM api_keys k WHERE api_key_id = ${apiKey.apiKeyId}::uuid`;
    expect(stored?.row).not.toContain(secret.slice(8, -4));
  });

  test.each<[string, Principal, Partial<CreateApiKey>]>([
    [
      "a permission that its maker lacks",
      anAdmin({ roles: ["VIEWER"], permissions: permissionsOf(["VIEWER"], false) }),
      { roles: ["SUBMITTER"] },
    ],
    ["another workspace", anAdmin({ workspaceId: randomUUID() }), {}],
    ["the whole deployment, from a workspace", anAdmin(), { workspaceId: null }],
    ["all kinds, from some", anAdmin({ jobKinds: ["DOC_EDIT"] }), {}],
    ["another kind", anAdmin({ jobKinds: ["DOC_EDIT"] }), { jobKinds: ["DOC_EDIT", "TERMINAL_EXEC"] }],
    ["a longer life", anAdmin({ keysEndBy: IN_AN_HOUR }), { expiresAt: TOMORROW }],
    [
      "ADMIN of the deployment without WORKSPACES_MANAGE",
      { ...OPERATOR, permissions: permissionsOf(["ADMIN"], false) },
      { roles: ["ADMIN"], workspaceId: null },
    ],
  ])("is refused %s", async (_, maker, more) => {
    expect(await createApiKey(engine, maker, aKey(more))).toBeInstanceOf(ForbiddenError);
  });

  test("ends with its maker where it is given no end", async () => {
    const made = ok(await createApiKey(engine, anAdmin({ keysEndBy: IN_AN_HOUR }), aKey()));
    expect(made.apiKey.expiresAt).toEqual(IN_AN_HOUR);
  });

  test("has some of its maker's kinds", async () => {
    const maker = anAdmin({ jobKinds: ["DOC_EDIT", "DOC_SUMMARIZE"] });
    const made = ok(await createApiKey(engine, maker, aKey({ jobKinds: ["DOC_EDIT"] })));
    expect(made.apiKey.jobKinds).toEqual(["DOC_EDIT"]);
  });

  test("is not made with a time that has passed, or in a workspace that is not there", async () => {
    expect(await createApiKey(engine, OPERATOR, aKey({ expiresAt: new Date(0) }))).toBeInstanceOf(InvalidInputError);
    expect(await createApiKey(engine, OPERATOR, aKey({ workspaceId: randomUUID() }))).toBeInstanceOf(NotFoundError);
  });
});

describe("a rotation", () => {
  test("gives a new secret, and keeps the old one for as long as it says", async () => {
    const { apiKey, secret } = ok(await createApiKey(engine, OPERATOR, aKey()));
    const rotated = ok(await rotateApiKey(engine, OPERATOR, { apiKeyId: apiKey.apiKeyId, overlapSeconds: 60 }));
    expect(rotated.secret).not.toBe(secret);
    const { previousSecretHash, overlapUntil } = rotated.apiKey;
    expect(previousSecretHash && Buffer.from(previousSecretHash).equals(hashOfSecret(secret))).toBe(true);
    expect(Number(overlapUntil)).toBeGreaterThan(Date.now() + 50_000);
    const again = ok(await rotateApiKey(engine, OPERATOR, { apiKeyId: apiKey.apiKeyId, overlapSeconds: 0 }));
    expect(again.apiKey).toMatchObject({ previousSecretHash: null, overlapUntil: null });
  });

  test("takes what making the key would", async () => {
    const { apiKey } = ok(await createApiKey(engine, OPERATOR, aKey({ roles: ["ADMIN"] })));
    const reviewer = anAdmin({ roles: ["REVIEWER"], permissions: permissionsOf(["REVIEWER"], false) });
    const rotation = { apiKeyId: apiKey.apiKeyId, overlapSeconds: 0 };
    expect(await rotateApiKey(engine, reviewer, rotation)).toBeInstanceOf(ForbiddenError);
    expect(await rotateApiKey(engine, anAdmin({ workspaceId: randomUUID() }), rotation)).toBeInstanceOf(NotFoundError);
    ok(await revokeApiKey(engine, OPERATOR, { apiKeyId: apiKey.apiKeyId, includeDescendants: false }));
    expect(await rotateApiKey(engine, OPERATOR, rotation)).toBeInstanceOf(InvalidInputError);
  });
});

describe("a revocation", () => {
  async function aFamily() {
    const parent = ok(await createApiKey(engine, OPERATOR, aKey({ roles: ["ADMIN"] }))).apiKey;
    const as = anAdmin({ name: `key:${parent.apiKeyId}`, apiKeyId: parent.apiKeyId });
    const child = ok(await createApiKey(engine, as, aKey({ roles: ["ADMIN"] }))).apiKey;
    const asChild = anAdmin({ name: `key:${child.apiKeyId}`, apiKeyId: child.apiKeyId });
    const grandchild = ok(await createApiKey(engine, asChild, aKey())).apiKey;
    return [parent.apiKeyId, child.apiKeyId, grandchild.apiKeyId] as const;
  }
  const revokedOf = async (ids: readonly string[]) =>
    (await db.prisma.apiKey.findMany({ where: { apiKeyId: { in: [...ids] }, revokedAt: { not: null } } })).length;

  test("ends the key, or all that came from it", async () => {
    const ids = await aFamily();
    const [parent, child] = ids;
    ok(await revokeApiKey(engine, OPERATOR, { apiKeyId: child, includeDescendants: false }));
    expect(await revokedOf(ids)).toBe(1);
    const revoked = ok(await revokeApiKey(engine, OPERATOR, { apiKeyId: parent, includeDescendants: true }));
    expect(revoked.map(({ apiKeyId }) => apiKeyId).toSorted()).toEqual([...ids].toSorted());
    expect(await revokedOf(ids)).toBe(3);
  });

  test("may be repeated, and keeps the time of the first", async () => {
    const [id] = await aFamily();
    const revocation = { apiKeyId: id, includeDescendants: false };
    const [first] = ok(await revokeApiKey(engine, OPERATOR, revocation));
    expect(ok(await revokeApiKey(engine, OPERATOR, revocation))).toEqual([first]);
  });

  test("of a key of another workspace finds none", async () => {
    const [id] = await aFamily();
    const stranger = anAdmin({ workspaceId: randomUUID() });
    expect(await revokeApiKey(engine, stranger, { apiKeyId: id, includeDescendants: true })).toBeInstanceOf(
      NotFoundError,
    );
  });
});

test("keys of the whole deployment, and of other workspaces, are not listed for a workspace", async () => {
  const own = ok(await createWorkspace(engine, { name: "five", workspaceId: null })).workspaceId;
  const { apiKey } = ok(await createApiKey(engine, OPERATOR, aKey({ workspaceId: own })));
  ok(await createApiKey(engine, OPERATOR, aKey({ workspaceId: null })));
  const slice = { limit: 100, fromEnd: false };
  const seen = await listApiKeys(db.prisma, anAdmin({ workspaceId: own }), slice);
  expect(seen.map(({ apiKeyId }) => apiKeyId)).toEqual([apiKey.apiKeyId]);
  expect((await listApiKeys(db.prisma, OPERATOR, slice)).length).toBeGreaterThan(2);
});

describe("plain SQL", () => {
  test.each([
    ["brings a revoked key back", "revoked_at = NULL", "AJ004"],
    ["gives a revoked key a secret", "secret_hash = sha256('x')", "AJ004"],
    ["changes its roles", "roles = '{admin}'", "AJ007"],
    ["changes its workspace", "workspace_id = NULL", "AJ007"],
    ["makes it last", "expires_at = 'infinity'", "AJ007"],
    ["takes its name", "name = ''", "23514"],
    ["gives it a secret of another length", "secret_hash = 'x'", "23514"],
    ["gives an overlap without a secret", "overlap_until = now()", "23514"],
  ])("that %s is refused", async (what, change, state) => {
    const { apiKey } = ok(await createApiKey(engine, OPERATOR, aKey()));
    if (what.includes("revoked")) {
      ok(await revokeApiKey(engine, OPERATOR, { apiKeyId: apiKey.apiKeyId, includeDescendants: false }));
    }
    const update = db.prisma.$executeRawUnsafe(`UPDATE api_keys SET ${change} WHERE api_key_id = '${apiKey.apiKeyId}'`);
    await expect(update).rejects.toThrow(state);
  });

  test("that removes keys is refused", async () => {
    await expect(db.prisma.$executeRaw`DELETE FROM api_keys`).rejects.toThrow("AJ005");
    await expect(db.prisma.$executeRaw`TRUNCATE api_keys CASCADE`).rejects.toThrow("AJ005");
  });
});
