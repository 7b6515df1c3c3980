import { createHmac, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { exportSPKI, generateKeyPair, SignJWT } from "jose";
import pLimit from "p-limit";
import { uuidv7 } from "uuidv7";
import { afterAll, beforeAll, expect, test } from "vitest";
import { schema } from "../../src/graphql/schema.ts";
import { newApiKeySecret, storedSecretOf } from "../../src/identity/api-key.ts";
import { type Authenticator, createAuthenticator } from "../../src/identity/authenticator.ts";
import { revokeApiKey, rotateApiKey } from "../../src/identity/keys.ts";
import { createWorkspace } from "../../src/identity/workspaces.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok } from "../support/engine.ts";
import { type GuardedServer, OPERATOR, startGuardedServer } from "../support/guarded-server.ts";
import { answerSchema } from "../support/http.ts";
import {
  INVALID,
  type InvalidCredential,
  MATRIX_FILE,
  type Matrix,
  matrixDocument,
  permissionNeeded,
  ROLE_NAMES,
  type RoleName,
  VALID,
  type ValidCredential,
} from "./matrix.ts";
import { documentOf, type RootField, rootFieldsOf, variablesOf } from "./sweep/root-fields.ts";

/** Every field of the schema, asked with every credential of every role: the answers are those of matrix.md. */

const OPERATOR_KEY = "an-operator's-key-of-more-than-32-characters";
const SETTINGS = { issuer: "https://issuer.example", audience: "ai-job-server" };
const ALGORITHM = "RS256";

/** Written to the database, instead of a wait until keys end by themselves. */
const ONE_SECOND_AGO = new Date(Date.now() - 1_000);

/** What a request sends to prove who it is. */
type Headers = Readonly<Record<string, string>>;

let db: TestDatabase;
let authenticator: Authenticator;
let server: GuardedServer;
let elsewhere: string;
/** By column of the matrix, the credentials that it stands for. */
let columns: readonly (readonly Headers[])[];

beforeAll(async () => {
  db = await openTestDatabase();
  const { publicKey, privateKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  const pem = await exportSPKI(publicKey);
  authenticator = createAuthenticator({
    prisma: db.prisma,
    operatorKey: OPERATOR_KEY,
    jwt: {
      ...SETTINGS,
      workspaceClaim: "workspace_id",
      rolesClaim: "roles",
      key: { key: createPublicKey(pem), algorithm: ALGORITHM },
    },
    onError: (error) => expect.unreachable(String(error)),
  });
  server = await startGuardedServer(db, {}, { authenticator });
  const engine = engineOn(db);
  elsewhere = ok(await createWorkspace(engine, { name: "elsewhere", workspaceId: null })).workspaceId;

  const key = (role: RoleName) => server.keyOf({ roles: [role] });
  const claimsOf = (role: RoleName, more: object = {}) => {
    const { issuer: iss, audience: aud } = SETTINGS;
    return { iss, aud, sub: "ada", exp: inSeconds(900), roles: [role], workspace_id: server.workspaceId, ...more };
  };
  const jwt = async (role: RoleName, more: object = {}) =>
    bearer(await new SignJWT(claimsOf(role, more)).setProtectedHeader({ alg: ALGORITHM }).sign(privateKey));
  const forged = (role: RoleName, alg: string, sign: (text: string) => string) => {
    const text = [{ alg }, claimsOf(role)]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");
    return bearer(`${text}.${sign(text)}`);
  };
  const inWrongWorkspace = (headers: Headers) => ({ ...headers, "x-workspace-id": elsewhere });

  const valid: Record<ValidCredential, (role: RoleName) => Promise<Headers>> = {
    key: async (role) => (await key(role)).headers,
    JWT: (role) => jwt(role),
  };
  const invalid: Record<InvalidCredential, (role: RoleName) => Promise<Headers>> = {
    "key, expired": async (role) => {
      const secret = newApiKeySecret();
      const { hash: secretHash, ...shown } = storedSecretOf(secret);
      const { workspaceId } = server;
      const times = { createdAt: new Date(0), expiresAt: ONE_SECOND_AGO };
      const row = { apiKeyId: uuidv7(), workspaceId, name: "expired", roles: [role], createdBy: "operator", ...times };
      await db.prisma.apiKey.create({ data: { ...row, secretHash: new Uint8Array(secretHash), ...shown } });
      return bearer(secret);
    },
    "key, revoked": async (role) => {
      const { apiKeyId, headers } = await key(role);
      ok(await revokeApiKey(engine, OPERATOR, { apiKeyId, includeDescendants: false }));
      return headers;
    },
    "key, rotated past its overlap": async (role) => {
      const { apiKeyId, headers } = await key(role);
      ok(await rotateApiKey(engine, OPERATOR, { apiKeyId, overlapSeconds: 60 }));
      await db.prisma.apiKey.update({ where: { apiKeyId }, data: { overlapUntil: ONE_SECOND_AGO } });
      return headers;
    },
    "key, wrong workspace": async (role) => inWrongWorkspace((await key(role)).headers),
    "JWT, wrong workspace": async (role) => inWrongWorkspace(await jwt(role)),
    "JWT of another issuer": (role) => jwt(role, { iss: "https://other.example" }),
    "JWT for another audience": (role) => jwt(role, { aud: "another" }),
    "JWT without signature (none)": async (role) => forged(role, "none", () => ""),
    "JWT signed with the public key (HS256)": async (role) =>
      forged(role, "HS256", (text) => createHmac("sha256", pem).update(text).digest("base64url")),
    "JWT, expired": (role) => jwt(role, { exp: inSeconds(-900) }),
    "JWT, not yet valid": (role) => jwt(role, { nbf: inSeconds(900) }),
  };
  const all = { roles: ["ADMIN" as const], workspaceId: null };
  const inWorkspace = { "x-workspace-id": server.workspaceId };
  const single = [
    ...(await Promise.all(VALID.flatMap((credential) => ROLE_NAMES.map(valid[credential])))),
    { ...(await server.keyOf(all)).headers, ...inWorkspace },
    { ...bearer(OPERATOR_KEY), ...inWorkspace },
  ];
  const ofEachRole = await Promise.all(INVALID.map((credential) => Promise.all(ROLE_NAMES.map(invalid[credential]))));
  columns = [[{}], ...single.map((headers) => [headers]), ...ofEachRole];
}, 120_000);
afterAll(async () => {
  await server.close();
  authenticator.close();
  await db.close();
});

const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` });
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;

/** Sends the smallest request for a field. @returns the word that stands for its answer. */
async function verdictOf(rootField: RootField, credential: Headers): Promise<string> {
  const variables = variablesOf(rootField, {});
  const isStream = rootField.operation === "subscription";
  const aborter = new AbortController();
  const response = await fetch(server.url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: isStream ? "text/event-stream" : "application/graphql-response+json",
      ...credential,
    },
    body: JSON.stringify({ query: documentOf(rootField, schema, Object.keys(variables), 0), variables }),
    signal: aborter.signal,
  });
  const { status, headers } = response;
  if (isStream && status === 200) {
    aborter.abort();
    return "yes";
  }
  const body = await response.text();
  // A stream that is refused says so in its one event.
  const [, text = body] = /^data: (\{.*)$/m.exec(body) ?? [];
  const { errors = [] } = answerSchema.parse(JSON.parse(text));
  const [error] = errors;
  const code = error?.extensions.code;
  if (status === 200) return code === undefined || code === "NOT_FOUND" ? "yes" : `200 ${text}`;
  if (status === 401 && code === "UNAUTHENTICATED" && headers.get("www-authenticate")?.startsWith("Bearer"))
    return "401";
  const isForbidden = status === 403 && code === "FORBIDDEN" && errors.length === 1;
  if (isForbidden && error?.message.includes(permissionNeeded(rootField, schema))) return "403";
  return isForbidden && error?.message.includes("x-workspace-id") ? "403 workspace" : `${status} ${text}`;
}

test("every field answers to every credential of every role as matrix.md says", async () => {
  const limit = pLimit(8);
  const rows = rootFieldsOf(schema).map(async (rootField) => {
    const cells = columns.map(async (credentials) => {
      const verdicts = await Promise.all(credentials.map((each) => limit(() => verdictOf(rootField, each))));
      return [...new Set(verdicts)].join(" or ");
    });
    return [rootField, await Promise.all(cells)] as const;
  });
  const matrix: Matrix = new Map(await Promise.all(rows));
  expect(matrixDocument(matrix, schema)).toBe(readFileSync(MATRIX_FILE, "utf8"));
}, 120_000);
