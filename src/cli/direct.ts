import { readConfig } from "../config.ts";
import type { Database } from "../db/database.ts";
import type { ApiKey, PrismaClient, Workspace } from "../db/generated/client/client.ts";
import { openDatabase } from "../db/open.ts";
import type { Slice } from "../db/slice.ts";
import { exact } from "../exact.ts";
import { orThrow } from "../graphql/result.ts";
import { viewerOf } from "../http/viewer.ts";
import { type CreateApiKey, createApiKey, kindsOf, listApiKeys, revokeApiKey, rotateApiKey } from "../identity/keys.ts";
import { OPERATOR } from "../identity/principal.ts";
import { createWorkspace, findWorkspaces, listWorkspaces } from "../identity/workspaces.ts";
import { type ApiKeyView, type Backend, PAGE_ROWS, type WorkspaceView } from "./backend.ts";
import { CommandError } from "./errors.ts";

/**
 * The commands against the database itself, as the operator: whoever may open the database may do everything with it.
 * @param env the server's environment variables.
 * @param workspaceId the workspace that the commands are in; undefined for none.
 * @throws ConfigError, or as `openDatabase`: FolderInUseError where a server runs on the embedded store.
 */
export async function openDirect(
  env: Readonly<Record<string, string | undefined>>,
  workspaceId: string | undefined,
): Promise<Backend> {
  const { database: location } = readConfig(env);
  if (location.kind === "memory")
    throw new CommandError("DATABASE_URL=memory: has nothing before a server starts, and keeps nothing. Use --url.");
  return backendOn(await openDatabase(location), workspaceId);
}

/** @returns the commands on an open database, which they close. */
export function backendOn({ prisma, close }: Database, workspaceId: string | undefined): Backend {
  // A server reads all keys in use twice a second, so it needs no hint.
  const context = { prisma, notifyCommit: () => undefined };
  const viewer = viewerOf(workspaceId, OPERATOR);
  const view = async (apiKey: ApiKey) => one(await viewsOf(prisma, [apiKey]));
  return {
    createKey: async ({ allWorkspaces, ...rest }) => {
      const key = exact<CreateApiKey>()({ ...rest, workspaceId: allWorkspaces ? null : viewer.workspaceId });
      const { apiKey, secret } = orThrow(await createApiKey(context, OPERATOR, key));
      return { apiKey: await view(apiKey), secret };
    },
    listKeys: () =>
      toTheEnd(
        async (slice) => viewsOf(prisma, await listApiKeys(prisma, OPERATOR, slice)),
        ({ apiKeyId }) => apiKeyId,
      ),
    rotateKey: async (which) => {
      const { apiKey, secret } = orThrow(await rotateApiKey(context, OPERATOR, which));
      return { apiKey: await view(apiKey), secret };
    },
    revokeKey: async (which) => viewsOf(prisma, orThrow(await revokeApiKey(context, OPERATOR, which))),
    createWorkspace: async (workspace) => viewOf(orThrow(await createWorkspace(context, workspace))),
    listWorkspaces: () =>
      toTheEnd(
        async (slice) => (await listWorkspaces(prisma, slice)).map(viewOf),
        (workspace) => workspace.workspaceId,
      ),
    close,
  };
}

async function toTheEnd<Row>(
  read: (slice: Slice<string>) => Promise<readonly Row[]>,
  idOf: (row: Row) => string,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (;;) {
    const last = rows.at(-1);
    const page = await read({ limit: PAGE_ROWS, after: last && idOf(last), fromEnd: false });
    rows.push(...page);
    if (page.length < PAGE_ROWS) return rows;
  }
}

async function viewsOf(prisma: PrismaClient, keys: readonly ApiKey[]): Promise<readonly ApiKeyView[]> {
  const ids = new Set(keys.flatMap(({ workspaceId }) => (workspaceId === null ? [] : [workspaceId])));
  const workspaces = new Map((await findWorkspaces(prisma, [...ids])).map((each) => [each.workspaceId, viewOf(each)]));
  return keys.map((key) => {
    const { apiKeyId, name, prefix, lastFour, workspaceId, roles, createdBy } = key;
    const workspace = workspaceId === null ? undefined : workspaces.get(workspaceId);
    const kinds = kindsOf(key);
    return {
      apiKeyId,
      name,
      prefix,
      lastFour,
      workspace: workspace ? { workspaceId: workspace.workspaceId, name: workspace.name } : null,
      roles,
      jobKinds: kinds && [...kinds],
      createdAt: key.createdAt.toISOString(),
      createdBy,
      expiresAt: key.expiresAt?.toISOString() ?? null,
      revokedAt: key.revokedAt?.toISOString() ?? null,
      lastUsedAt: key.lastUsedAt?.toISOString() ?? null,
      overlapUntil: key.overlapUntil?.toISOString() ?? null,
    };
  });
}

function viewOf({ workspaceId, name, createdAt, retentionDays }: Workspace): WorkspaceView {
  return { workspaceId, name: name ?? workspaceId, createdAt: createdAt.toISOString(), retentionDays };
}

function one<Row>([row]: readonly Row[]): Row {
  if (row === undefined) throw new Error("Each key has one view.");
  return row;
}
