import type { EngineContext } from "../../src/engine.ts";
import { createAuthenticator } from "../../src/identity/authenticator.ts";
import { type CreateApiKey, createApiKey } from "../../src/identity/keys.ts";
import { ANONYMOUS, type Principal } from "../../src/identity/principal.ts";
import { createWorkspace } from "../../src/identity/workspaces.ts";
import type { TestDatabase } from "./database.ts";
import { engineOn, ok } from "./engine.ts";
import { type ServerOptions, startTestServer, type TestServer } from "./server.ts";

/** Who may do everything: so the first workspace and key are made. */
export const OPERATOR: Principal = { ...ANONYMOUS, name: "operator" };
const OPERATOR_KEY = "the-operator's-key-of-more-than-32-characters";

/** A caller, as its requests name it. */
export interface Caller {
  readonly apiKeyId: string;
  /** Its name in events. */
  readonly principal: string;
  readonly headers: { readonly authorization: string };
}

/** A server that asks everybody for a credential, with a workspace. */
export interface GuardedServer extends TestServer {
  readonly workspaceId: string;
  /** The headers of the operator's requests. */
  readonly operator: Caller["headers"];
  /** Makes a key, of the workspace and a VIEWER where it is not said otherwise. */
  keyOf(more?: Partial<CreateApiKey>): Promise<Caller>;
}

/** Starts a server on a test's database that asks everybody for a credential. */
export async function startGuardedServer(
  database: TestDatabase,
  more: Partial<EngineContext> = {},
  options: ServerOptions = {},
): Promise<GuardedServer> {
  const { prisma } = database;
  const engine = engineOn(database);
  const { workspaceId } = ok(await createWorkspace(engine, { name: "guarded", workspaceId: null }));
  const authenticator = createAuthenticator({ prisma, operatorKey: OPERATOR_KEY, onError: () => undefined });
  const server = await startTestServer(database, more, { authenticator, ...options });
  return {
    ...server,
    workspaceId,
    operator: { authorization: `Bearer ${OPERATOR_KEY}` },
    keyOf: async (key = {}) => {
      const wanted = {
        name: "a key",
        roles: ["VIEWER" as const],
        jobKinds: null,
        expiresAt: null,
        workspaceId,
        ...key,
      };
      const { apiKey, secret } = ok(await createApiKey(engine, OPERATOR, wanted));
      const { apiKeyId } = apiKey;
      return { apiKeyId, principal: `key:${apiKeyId}`, headers: { authorization: `Bearer ${secret}` } };
    },
    close: async () => {
      await server.close();
      authenticator.close();
    },
  };
}
